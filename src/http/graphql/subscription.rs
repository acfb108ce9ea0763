//! The one subscription: what happens to an execution, from its first event on or from where the client was.

use async_graphql::{Context, Result, Subscription};
use futures_util::Stream;
use futures_util::stream::try_unfold;

use super::caller::desk;
use super::types::execution::ExecutionUpdateType;
use crate::error::Error;
use crate::handlers::follow_execution::{Request, follow_execution};

/// What can be followed.
pub struct Subscription;

/// What can be followed.
#[Subscription(rename_args = "snake_case")]
impl Subscription {
    /// Every event of an execution: those that were, then those that come. It ends with the execution.
    async fn execution_updates(
        &self,
        context: &Context<'_>,
        execution_id: String,
        #[graphql(desc = "The events after this one; from the beginning when absent.")] last_seq: Option<i32>,
    ) -> Result<impl Stream<Item = Result<ExecutionUpdateType>> + use<>, Error> {
        let (app, caller) = desk(context);
        let since = last_seq.map(place).transpose()?;
        let follow = follow_execution(app, caller, Request { execution_id, since, until: None }).await?;
        Ok(try_unfold(follow, async |mut follow| match follow.next().await? {
            Some(record) => Ok(Some((ExecutionUpdateType::of(record)?, follow))),
            None => Ok(None),
        }))
    }
}

fn place(last_seq: i32) -> Result<u64, Error> {
    u64::try_from(last_seq).map_err(|_| {
        Error::invalid("INVALID_INPUT", format!("`last_seq` is {last_seq}"))
            .hint("give the `seq` of the last event you have; leave `last_seq` out to begin at the first")
    })
}
