//! What persons said and heard.

use async_graphql::{Context, Object};

use crate::error::Error;
use crate::handlers::list_conversations::{self, list_conversations};
use crate::http::graphql::caller::desk;
use crate::http::graphql::types::paging;
use crate::http::graphql::types::results::envelope;
use crate::http::graphql::types::scalars::Json;

#[derive(Default)]
pub struct ConversationQueries;

#[Object(rename_args = "snake_case")]
impl ConversationQueries {
    /// One conversation for each person of each execution, newest execution first.
    #[expect(clippy::too_many_arguments, reason = "they are the arguments of the field")]
    async fn list_conversations(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "By id or label.")] person_id: Option<String>,
        execution_id: Option<String>,
        #[graphql(desc = "With this text in one of the messages shown.")] search: Option<String>,
        #[graphql(desc = "Also messages outside of what the person remembers.")] show_forgotten: Option<bool>,
        #[graphql(desc = "At most so many (100, up to 1000).")] limit: Option<f64>,
        #[graphql(desc = "How many of the newest to leave out.")] offset: Option<f64>,
        #[graphql(desc = "With a message from then on: RFC 3339.")] since: Option<String>,
    ) -> Result<Vec<Json>, Error> {
        let (app, caller) = desk(context);
        let request = list_conversations::Request {
            person_id,
            execution_id,
            search,
            show_forgotten: show_forgotten == Some(true),
            limit: Some(paging::limit(limit)?),
            offset: paging::offset(offset)?,
            since,
        };
        let found = list_conversations(app, caller, request).await?;
        Ok(found.conversations.iter().map(|it| envelope(it).into()).collect())
    }
}
