//! Following an execution, here or elsewhere. A server is asked for page after page; it answers as soon as something
//! has happened.

use std::collections::VecDeque;

use super::super::progress::Seen;
use super::{Context, Remote};
use crate::engine::Status;
use crate::error::Error;
use crate::handlers::execution_object::ExecutionObject;
use crate::handlers::follow_execution::{self, EventRecord, Follow, Request, Until};
use crate::handlers::follow_page::{self, Page};
use crate::handlers::run_diagram::Waiting;
use crate::handlers::{by_name, see_result};
use crate::limits::WAIT_SECONDS_MAX;

/// The events of one execution, pulled one by one.
pub enum Followed {
    Here(Box<Follow>),
    Elsewhere(Pages),
}

impl Followed {
    /// Returns the next event, waiting for it; `None` after the last one.
    ///
    /// # Errors
    ///
    /// What `follow_execution` says.
    pub async fn next(&mut self) -> Result<Option<EventRecord>, Error> {
        match self {
            Self::Here(follow) => follow.next().await,
            Self::Elsewhere(pages) => pages.next().await,
        }
    }
}

/// The events that a server tells.
pub struct Pages {
    remote: Remote,
    request: follow_page::Request,
    ready: VecDeque<EventRecord>,
    is_over: bool,
}

impl Pages {
    /// Asks for the first page without waiting, so that a wrong question is answered before anything is shown.
    async fn begin(remote: Remote, request: Request) -> Result<Self, Error> {
        let Request { execution_id, since, until } = request;
        let request = follow_page::Request { execution_id, since, until, wait_seconds: Some(0) };
        let mut me = Self { remote, request, ready: VecDeque::new(), is_over: false };
        me.look().await?;
        me.request.wait_seconds = Some(WAIT_SECONDS_MAX);
        Ok(me)
    }

    async fn next(&mut self) -> Result<Option<EventRecord>, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if self.is_over {
                return Ok(None);
            }
            self.look().await?;
        }
    }

    async fn look(&mut self) -> Result<(), Error> {
        let page: Page = self.remote.response(by_name::FOLLOW_PAGE, &self.request).await?;
        self.is_over = page.is_over;
        self.request.since = page.events.last().map(|it| it.seq).or(self.request.since);
        self.ready.extend(page.events);
        Ok(())
    }
}

impl Context<'_> {
    /// Begins to follow an execution.
    pub(in crate::cli) async fn follow_execution(&self, request: Request) -> Result<Followed, Error> {
        match &self.remote {
            None => {
                let follow = follow_execution::follow_execution(self.app, &self.caller, request).await?;
                Ok(Followed::Here(Box::new(follow)))
            }
            Some(remote) => Pages::begin(remote.clone(), request).await.map(Followed::Elsewhere),
        }
    }
}

impl Remote {
    /// Asks until the execution has ended or somebody has to act, or until the person here has had enough.
    pub(super) async fn settled(&self, started: ExecutionObject, waiting: Waiting) -> Result<ExecutionObject, Error> {
        let Waiting { cancel, on_progress, .. } = waiting;
        let execution_id = started.execution_id.clone();
        let told = async {
            if let Some(mut on_progress) = on_progress {
                let (execution_id, until) = (execution_id.clone(), Some(Until::Pause));
                let mut pages = Pages::begin(self.clone(), Request { execution_id, since: None, until }).await?;
                let mut seen = Seen::default();
                while let Some(event) = pages.next().await? {
                    if let Some(note) = seen.note(&event) {
                        on_progress(&note);
                    }
                }
            }
            self.at_rest(&execution_id).await
        };
        cancel.run_until_cancelled(told).await.unwrap_or(Ok(started))
    }

    async fn at_rest(&self, execution_id: &str) -> Result<ExecutionObject, Error> {
        loop {
            let request = see_result::Request {
                execution_id: execution_id.to_owned(),
                wait_seconds: Some(WAIT_SECONDS_MAX),
                ..see_result::Request::default()
            };
            let object: ExecutionObject = self.response(by_name::SEE_RESULT, &request).await?;
            if !matches!(object.status, Status::Pending | Status::Running) {
                return Ok(object);
            }
        }
    }
}
