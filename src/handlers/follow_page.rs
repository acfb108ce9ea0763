//! What has happened in an execution since a mark, for whoever cannot hold a stream open: one answer, as soon as there is
//! something to tell.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use serde::{Deserialize, Serialize};

use super::follow_execution::{self, EventRecord, Until, follow_execution};
use super::{App, Caller};
use crate::error::Error;
use crate::limits::WAIT_SECONDS_MAX;

/// Most events in one answer; what is more comes with the next.
const EVENTS_MAX: usize = 200;

/// Which execution, from where, how far, and how long nothing may happen.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub execution_id: String,
    /// The events after this one; absent = from the beginning.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<Until>,
    /// Answer without events after so many seconds (0).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wait_seconds: Option<u32>,
}

/// Some events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    pub events: Vec<EventRecord>,
    /// Nothing comes behind them.
    pub is_over: bool,
}

/// Waits for the first event after the mark and returns it with what has happened by then.
///
/// # Errors
///
/// What `follow_execution` says.
pub async fn follow_page(app: &Arc<App>, caller: &Caller, request: Request) -> Result<Page, Error> {
    let Request { execution_id, since, until, wait_seconds } = request;
    let request = follow_execution::Request { execution_id, since, until };
    let mut follow = follow_execution(app, caller, request).await?;
    let patience = Duration::from_secs(wait_seconds.unwrap_or(0).min(WAIT_SECONDS_MAX).into());
    let mut page = Page { events: Vec::new(), is_over: false };
    match tokio::time::timeout(patience, follow.next()).await {
        Ok(first) => page.events.extend(first?),
        Err(_) => return Ok(page),
    }
    while page.events.len() < EVENTS_MAX {
        match follow.next().now_or_never() {
            Some(Ok(Some(event))) => page.events.push(event),
            Some(Ok(None)) | None => break,
            Some(Err(error)) => return Err(error),
        }
    }
    page.is_over = follow.is_over();
    Ok(page)
}
