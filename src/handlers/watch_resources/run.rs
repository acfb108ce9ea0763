//! The one task that reads the log and the file system for all subscriptions of this process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Topic;
use super::files::DiagramFiles;
use super::pace::{Pace, Urgency};
use crate::engine::Status;
use crate::error::Error;
use crate::handlers::diagram_tools::{DiagramTool, diagram_tools};
use crate::handlers::{App, Caller};
use crate::ids::ExecutionId;
use crate::store::Moved;

/// Least time between two looks at the log: under load many commits share one.
const LOG_PAUSE: Duration = Duration::from_millis(50);

/// What the task follows, as far as somebody wants it.
#[derive(Default)]
pub(super) struct Sources {
    log: Option<Log>,
    diagrams: Option<Diagrams>,
    pace: Pace<News>,
}

/// One thing to tell, and whose execution it is about: a list is paced for each principal, or somebody would
/// hear of what is not theirs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct News {
    topic: Topic,
    of: Option<String>,
}

impl News {
    fn tell(&self, app: &App) {
        app.watch.tell(&self.topic, |caller| caller.may_see(self.of.as_deref()));
    }
}

/// Tells it now or lets it wait for its second.
fn announce(app: &App, news: &News, urgency: Urgency, pace: &mut Pace<News>) {
    if app.watch.is_wanted(&news.topic) && pace.changed(news, urgency, Instant::now()) {
        news.tell(app);
    }
}

/// The log of all executions, from a mark on.
#[derive(Default)]
struct Log {
    mark: u64,
    changes: Option<watch::Receiver<u64>>,
    next_look: Option<Instant>,
    /// The status in which each open execution was seen last: the list shows it.
    open: HashMap<ExecutionId, Status>,
}

impl Sources {
    pub fn follow_log(&mut self, mark: u64) {
        self.log = Some(Log { mark, ..Log::default() });
    }

    pub fn forget_log(&mut self) {
        self.log = None;
    }

    pub fn follow_diagrams(&mut self, diagrams: Diagrams) {
        self.diagrams = Some(diagrams);
    }

    pub fn forget_diagrams(&mut self) {
        self.diagrams = None;
    }
}

/// The files of diagrams, and those that are tools as every server's owner sees them.
pub(super) struct Diagrams {
    files: DiagramFiles,
    tools: Vec<DiagramTool>,
}

impl Diagrams {
    /// Follows them from how they are now.
    pub fn new(app: &App) -> Self {
        let files = DiagramFiles::new(app.workspace.clone());
        Self { files, tools: tools(app).unwrap_or_default() }
    }

    /// Compares the tools with the last look.
    fn have_tools_changed(&mut self, app: &App) -> bool {
        match tools(app) {
            Ok(now) => {
                let has_changed = now != self.tools;
                self.tools = now;
                has_changed
            }
            Err(error) => {
                tracing::warn!("subscriptions could not read the diagrams: {}", error.chain());
                false
            }
        }
    }
}

fn tools(app: &App) -> Result<Vec<DiagramTool>, Error> {
    Ok(diagram_tools(app, &Caller::owner_client())?.listed().to_vec())
}

/// Whether nothing may follow for long.
pub(super) fn is_settled(status: Status) -> bool {
    status == Status::Paused || status.has_ended()
}

/// Runs until nobody listens any more.
pub(super) async fn run(app: Arc<App>) {
    let mut sources = Sources::default();
    while app.watch.supply(&mut sources) {
        let Sources { log, diagrams, pace } = &mut sources;
        let due = pace.next_due();
        let timer = async {
            match due {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = app.watch.has_moved.notified() => {}
            () = log_changed(&app, log) => look_at_log(&app, log, pace),
            () = files_changed(diagrams) => look_at_files(&app, diagrams, pace),
            () = timer => {}
        }
        for news in pace.take_due(Instant::now()) {
            news.tell(&app);
        }
    }
}

/// Waits until the log may have grown.
async fn log_changed(app: &App, log: &mut Option<Log>) {
    let Some(log) = log else { return std::future::pending().await };
    let receiver = match &mut log.changes {
        Some(receiver) => receiver,
        None => {
            let Ok(store) = app.store() else { return std::future::pending().await };
            let mut receiver = store.changes();
            // What was committed since the mark was taken.
            receiver.mark_changed();
            log.changes.insert(receiver)
        }
    };
    if receiver.changed().await.is_err() {
        // The database was closed: the process is about to end.
        return std::future::pending().await;
    }
    if let Some(at) = log.next_look {
        // Should another event come first, the change is still there to be seen.
        receiver.mark_changed();
        tokio::time::sleep_until(at).await;
        receiver.mark_unchanged();
    }
}

fn look_at_log(app: &App, log: &mut Option<Log>, pace: &mut Pace<News>) {
    let Some(log) = log else { return };
    log.next_look = Some(Instant::now() + LOG_PAUSE);
    match moved(app, log) {
        Ok(moved) => moved.iter().for_each(|it| tell_of(app, it, log, pace)),
        // The mark stays where it was, so the next look sees it all.
        Err(error) => tracing::warn!("subscriptions could not read the log: {}", error.chain()),
    }
}

fn moved(app: &App, log: &mut Log) -> Result<Vec<Moved>, Error> {
    let (moved, mark) = app.store()?.moved_since(log.mark)?;
    log.mark = mark;
    Ok(moved)
}

fn tell_of(app: &App, moved: &Moved, log: &mut Log, pace: &mut Pace<News>) {
    let urgency = if is_settled(moved.status) { Urgency::Settled } else { Urgency::Progress };
    let of = moved.principal.clone();
    let one = News { topic: Topic::Execution(moved.execution_id.clone()), of: of.clone() };
    announce(app, &one, urgency, pace);
    let before = log.open.insert(moved.execution_id.clone(), moved.status);
    if moved.status.has_ended() {
        log.open.remove(&moved.execution_id);
    }
    if before != Some(moved.status) {
        announce(app, &News { topic: Topic::Executions, of }, Urgency::Progress, pace);
    }
}

async fn files_changed(diagrams: &mut Option<Diagrams>) {
    match diagrams {
        Some(diagrams) => diagrams.files.changed().await,
        None => std::future::pending().await,
    }
}

fn look_at_files(app: &App, diagrams: &mut Option<Diagrams>, pace: &mut Pace<News>) {
    let Some(diagrams) = diagrams else { return };
    let changed = diagrams.files.look();
    if changed.names.is_empty() {
        return;
    }
    // The list of resources shows descriptions too, so any change may concern it.
    let mut topics = vec![Topic::Diagrams, Topic::ResourcesList];
    if diagrams.have_tools_changed(app) {
        topics.push(Topic::ToolsList);
    }
    topics.extend(changed.names.into_iter().map(Topic::Diagram));
    for topic in topics {
        announce(app, &News { topic, of: None }, Urgency::Progress, pace);
    }
}
