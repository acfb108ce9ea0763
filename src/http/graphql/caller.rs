//! Who asks: whom the HTTP server recognised, else the owner of the database, as for every other route.

use std::sync::Arc;

use async_graphql::Context;

use crate::handlers::caller::{Door, Identity};
use crate::handlers::{App, Caller};

/// The caller of a request, limited by what this server lets clients do.
pub fn caller_of(app: &App, identity: Option<Identity>) -> Caller {
    let identity = identity.unwrap_or_else(Identity::owner).limited_to(app.client_scopes());
    Caller::client(identity, Door::Http)
}

/// The application and who asks it: what every field hands to its handler.
pub fn desk<'c>(context: &Context<'c>) -> (&'c Arc<App>, &'c Caller) {
    (context.data_unchecked::<Arc<App>>(), context.data_unchecked::<Caller>())
}
