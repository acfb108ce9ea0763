//! Waiting for an execution on behalf of a call: progress notifications while it lasts, and its end when the
//! client cancels or the server stops. Ending a wait never ends an execution.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::{Peer, RequestContext};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::handlers::run_diagram::{OnProgress, ProgressNote, Waiting};
use crate::shown;

/// Least time between two notifications (mcp.md 2.2).
const INTERVAL: Duration = Duration::from_secs(1);
/// Silence after which a sign of life is sent; with [`INTERVAL`] at most 5 s pass between two.
const HEARTBEAT: Duration = Duration::from_secs(4);
/// What a sign of life adds, so that progress always increases; a committed node adds 1.
const BEAT: f64 = 0.001;
/// Longest message, in characters: it names a node by its label.
const MESSAGE_CHARS_MAX: usize = 120;

/// The waits of one call, one after the other; what they report strictly increases over all of them.
pub struct Waits<'a> {
    context: &'a RequestContext<RoleServer>,
    stop: &'a CancellationToken,
    pulse: Pulse,
}

impl<'a> Waits<'a> {
    /// Nothing has been waited for yet.
    pub fn new(context: &'a RequestContext<RoleServer>, stop: &'a CancellationToken) -> Self {
        Self { context, stop, pulse: Pulse::default() }
    }

    /// Carries out `start` with a [`Waiting`] that follows this request and this server.
    pub async fn during<T, F>(&mut self, start: impl FnOnce(Waiting) -> F) -> T
    where
        F: Future<Output = T>,
    {
        let cancel = self.context.ct.child_token();
        let (notes, seen) = watch::channel(None);
        let token = self.context.meta.get_progress_token();
        let on_progress = token.as_ref().map(|_| -> OnProgress {
            Box::new(move |note: &ProgressNote| {
                notes.send_replace(Some(note.clone()));
            })
        });
        let mut work = pin!(start(Waiting { cancel: cancel.clone(), on_progress, on_token: None }));
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = self.stop.cancelled() => {}
            () = report(&self.context.peer, token, seen, &mut self.pulse) => {}
        }
        // Either the server stops, or nobody listens any more: the handler answers with what is there now.
        cancel.cancel();
        work.await
    }
}

/// Sends notifications until one cannot be delivered; without a token it never ends.
async fn report(
    peer: &Peer<RoleServer>,
    token: Option<ProgressToken>,
    mut notes: watch::Receiver<Option<ProgressNote>>,
    pulse: &mut Pulse,
) {
    let Some(token) = token else { return std::future::pending().await };
    loop {
        let changed = tokio::time::timeout(HEARTBEAT, notes.changed()).await;
        if let Ok(Err(_)) = changed {
            // The handler dropped its end: the result is about to come.
            return std::future::pending().await;
        }
        let note = notes.borrow_and_update().clone();
        if peer.notify_progress(pulse.beat(note, token.clone())).await.is_err() {
            return;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Makes values that strictly increase, whatever is reported.
#[derive(Default)]
struct Pulse {
    last: Option<f64>,
}

impl Pulse {
    fn beat(&mut self, note: Option<ProgressNote>, token: ProgressToken) -> ProgressNotificationParam {
        // Counts of node executions are far below 2^52.
        let done = note.as_ref().map_or(0.0, |it| it.done as f64);
        let value = match self.last {
            Some(last) if done <= last => last + BEAT,
            _ => done,
        };
        self.last = Some(value);
        let mut notification = ProgressNotificationParam::new(token, value);
        if let Some(note) = note {
            if let Some(total) = note.total.filter(|it| value <= *it as f64) {
                notification = notification.with_total(total as f64);
            }
            notification = notification.with_message(shown::line(&note.message, MESSAGE_CHARS_MAX));
        }
        notification
    }
}

#[cfg(test)]
mod tests {
    use rmcp::model::NumberOrString;

    use super::*;

    #[test]
    fn a_message_is_one_short_line_of_what_can_be_seen() {
        let message = format!("la\u{202e}bel\n{} done", "x".repeat(500));
        let note = ProgressNote {
            done: 1,
            total: None,
            message,
            label: String::new(),
            phase: String::new(),
            duration_ms: None,
        };
        let sent = Pulse::default().beat(Some(note), ProgressToken(NumberOrString::Number(1)));
        let shown = sent.message.expect("a message");
        assert!(shown.starts_with("label xxx") && shown.chars().count() == MESSAGE_CHARS_MAX, "{shown}");
    }

    #[test]
    fn progress_strictly_increases_and_never_passes_its_total() {
        let mut pulse = Pulse::default();
        let mut values = Vec::new();
        for done in [None, Some(0), Some(0), Some(2), Some(2), Some(2), Some(1), Some(3)] {
            let note = done.map(|done| ProgressNote {
                done,
                total: Some(2),
                message: "save done".into(),
                label: "save".into(),
                phase: "node_completed".into(),
                duration_ms: None,
            });
            let sent = pulse.beat(note, ProgressToken(NumberOrString::Number(1)));
            assert!(sent.total.is_none_or(|total| sent.progress <= total), "{sent:?}");
            values.push(sent.progress);
        }
        assert!(values.windows(2).all(|pair| pair[0] < pair[1]), "{values:?}");
        assert_eq!((values[0], values[3], values[7]), (0.0, 2.0, 3.0));
    }
}
