//! What clients are told without asking: `subscriptions/listen` for modern clients, `resources/subscribe` and
//! the `list_changed` notifications for legacy ones. What changed when is known by the handler
//! [`watch_resources`]; here it becomes messages, one at a time, so that whoever reads slowly waits alone.

use std::sync::{Arc, Mutex, PoisonError};

use axum::http::request::Parts;
use rmcp::model::{ResourceUpdatedNotificationParam, SubscriptionFilter};
use rmcp::service::{Peer, ServiceError, SubscriptionContext, SubscriptionSendError, SubscriptionSink};
use rmcp::{ErrorData, RoleServer};
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::resources::protocol_error;
use super::server::McpServer;
use crate::error::Error;
use crate::handlers::caller::Identity;
use crate::handlers::watch_resources::{self, Change, Subscription, watch_resources};
use crate::handlers::{App, Caller};

/// Of what a client asks for, what it could get at all. What this caller may follow has been sorted out before
/// ([`narrow`]), because the library does not say here who asks. Prompts never change while this version runs.
pub fn accepted(requested: &SubscriptionFilter) -> SubscriptionFilter {
    let mut accepted = requested.clone();
    accepted.prompts_list_changed = None;
    if let Some(uris) = &mut accepted.resource_subscriptions {
        uris.retain(|it| watch_resources::has_followable_form(it));
    }
    accepted
}

/// Serves one `subscriptions/listen` until the client leaves or the server stops; then it ends with a result.
///
/// # Errors
///
/// `-32600` when the caller has too many subscriptions.
pub async fn listen(server: &McpServer, context: SubscriptionContext) -> Result<(), ErrorData> {
    let caller = server.caller(context.request_context());
    let accepted = context.accepted();
    let uris = accepted.resource_subscriptions.as_deref().unwrap_or_default();
    let request = watch_resources::Request {
        tools_list: accepted.tools_list_changed == Some(true),
        resources_list: accepted.resources_list_changed == Some(true),
        uris: watch_resources::followable(server.app(), &caller, uris),
    };
    let subscription = watch_resources(server.shared_app(), &caller, &request).map_err(|it| protocol_error(&it))?;
    tokio::select! {
        () = context.cancelled() => {}
        () = server.stop().cancelled() => {}
        () = Box::pin(pass_on(&subscription, context.sink())) => {}
    }
    Ok(())
}

/// Sends what changes until the client is gone.
async fn pass_on(subscription: &Subscription, sink: &SubscriptionSink) {
    loop {
        for change in subscription.next().await {
            let sent = match change {
                Change::ToolsList => sink.notify_tool_list_changed().await,
                Change::ResourcesList => sink.notify_resource_list_changed().await,
                Change::Resource(uri) => sink.notify_resource_updated(uri).await,
            };
            if let Err(error) = sent {
                log_lost(&error);
                return;
            }
        }
    }
}

/// A client that went away is no news.
fn log_lost(error: &SubscriptionSendError) {
    tracing::debug!(%error, "a subscription ended");
}

// --- legacy sessions ---------------------------------------------------------------------------------------

/// What one legacy session is told. A clone is the beginning of another session, and dropping it is the end:
/// transports clone the server once for each.
#[derive(Default)]
pub struct Session {
    open: Mutex<Option<Open>>,
}

struct Open {
    subscription: Arc<Subscription>,
    /// Ends the task that sends.
    _end: DropGuard,
}

impl Clone for Session {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Session {
    /// Begins to tell the client of changed lists.
    pub fn begin(&self, server: &McpServer, caller: &Caller, peer: &Peer<RoleServer>) {
        if let Err(error) = self.subscription(server, caller, peer) {
            tracing::warn!("a session is not told of changes: {error}");
        }
    }

    /// Follows one more resource.
    ///
    /// # Errors
    ///
    /// As [`watch_resources`].
    pub fn subscribe(
        &self,
        server: &McpServer,
        caller: &Caller,
        peer: &Peer<RoleServer>,
        uri: &str,
    ) -> Result<(), Error> {
        watch_resources::follow(&*self.subscription(server, caller, peer)?, caller, uri)
    }

    /// Follows a resource no longer; one that it did not follow is fine.
    pub fn unsubscribe(&self, uri: &str) {
        if let Some(open) = &*self.open.lock().unwrap_or_else(PoisonError::into_inner) {
            open.subscription.unfollow(uri);
        }
    }

    /// The session's subscription, made now if it is not there yet.
    fn subscription(
        &self,
        server: &McpServer,
        caller: &Caller,
        peer: &Peer<RoleServer>,
    ) -> Result<Arc<Subscription>, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &*open {
            return Ok(Arc::clone(&open.subscription));
        }
        let request = watch_resources::Request { tools_list: true, resources_list: true, uris: Vec::new() };
        let subscription = Arc::new(watch_resources(server.shared_app(), caller, &request)?);
        let end = server.stop().child_token();
        tokio::spawn(tell(Arc::clone(&subscription), peer.clone(), end.clone()));
        *open = Some(Open { subscription: Arc::clone(&subscription), _end: end.drop_guard() });
        Ok(subscription)
    }
}

/// Sends what changes until the session ends.
async fn tell(subscription: Arc<Subscription>, peer: Peer<RoleServer>, end: CancellationToken) {
    let sending = async {
        loop {
            for change in subscription.next().await {
                if let Err(error) = tell_one(&peer, change).await {
                    tracing::debug!(%error, "a session ended");
                    return;
                }
            }
        }
    };
    tokio::select! {
        () = end.cancelled() => {}
        () = sending => {}
    }
}

async fn tell_one(peer: &Peer<RoleServer>, change: Change) -> Result<(), ServiceError> {
    match change {
        Change::ToolsList => peer.notify_tool_list_changed().await,
        Change::ResourcesList => peer.notify_resource_list_changed().await,
        Change::Resource(uri) => peer.notify_resource_updated(ResourceUpdatedNotificationParam::new(uri)).await,
    }
}

// --- who may follow what -----------------------------------------------------------------------------------

/// Takes out of a request what its caller may not follow, so that what is acknowledged is what will be told.
pub fn narrow(app: &App, caller: &Caller, filter: &mut SubscriptionFilter) {
    if let Some(uris) = &mut filter.resource_subscriptions {
        *uris = watch_resources::followable(app, caller, uris);
    }
}

/// [`narrow`] for a message over HTTP: the text to put in its place. `None` for every other message and for one
/// that cannot be read: the endpoint says what is wrong.
pub fn narrowed_message(server: &McpServer, parts: &Parts, message: &[u8]) -> Option<String> {
    let method = parts.headers.get("mcp-method").and_then(|it| it.to_str().ok());
    if method != Some("subscriptions/listen") {
        return None;
    }
    let caller = server.caller_of(parts.extensions.get::<Identity>().cloned());
    narrow_message(server.app(), &caller, message)
}

fn narrow_message(app: &App, caller: &Caller, bytes: &[u8]) -> Option<String> {
    let mut message: Value = serde_json::from_slice(bytes).ok()?;
    let uris = message.pointer_mut("/params/notifications/resourceSubscriptions")?;
    let asked: Vec<String> = serde_json::from_value(uris.clone()).ok()?;
    *uris = watch_resources::followable(app, caller, &asked).into();
    Some(message.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::tests::app;

    #[test]
    fn prompts_and_what_never_changes_are_not_accepted() {
        let id = format!("dipeo://executions/exec_{}", "0".repeat(32));
        let parts = ["", "/messages", "/transitions"].map(|part| format!("{id}{part}"));
        let followed = ["dipeo://diagrams", "dipeo://diagrams/a/b", "dipeo://executions"].map(str::to_owned);
        let never = ["dipeo://guide/light-format", "dipeo://executions/x", "file:///etc/passwd", ""];
        let all: Vec<String> =
            followed.iter().chain(&parts).cloned().chain(never.into_iter().map(str::to_owned)).collect();
        let requested = SubscriptionFilter::builder()
            .tools_list_changed()
            .prompts_list_changed()
            .resources_list_changed()
            .resource_subscriptions(all)
            .build();
        let accepted = accepted(&requested);
        assert_eq!((accepted.tools_list_changed, accepted.prompts_list_changed), (Some(true), None));
        assert_eq!(accepted.resources_list_changed, Some(true));
        let uris = accepted.resource_subscriptions.expect("some");
        assert_eq!(uris, [followed.to_vec(), parts.to_vec()].concat());
    }

    #[test]
    fn a_request_keeps_only_what_is_there_and_everything_else_in_it() {
        let (folder, app) = app();
        std::fs::create_dir_all(folder.path().join("work")).expect("made");
        std::fs::write(folder.path().join("work/a.light.yaml"), "nodes: []").expect("written");
        let message = |uris: Value| serde_json::json!({"id": 7, "params": {"_meta": {"x": 1}, "notifications": {"resourceSubscriptions": uris}}});
        let unknown = format!("dipeo://executions/exec_{}", "0".repeat(32));
        let asked =
            message(serde_json::json!(["dipeo://diagrams/a", unknown, "dipeo://diagrams/b", "dipeo://diagrams/a"]));
        let narrowed = narrow_message(&app, &Caller::owner_client(), asked.to_string().as_bytes()).expect("read");
        assert_eq!(narrowed, message(serde_json::json!(["dipeo://diagrams/a"])).to_string());
        for as_it_is in ["", "{", "{}", r#"{"params":{"notifications":{"resourceSubscriptions":[1]}}}"#] {
            assert_eq!(narrow_message(&app, &Caller::owner_client(), as_it_is.as_bytes()), None, "{as_it_is}");
        }
    }
}
