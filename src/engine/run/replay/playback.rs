//! The tape of one attempt in a replay: finds what the same call of the same attempt was answered then.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::miss::{self, Missed};
use super::recorded::{Recorded, Round};
use crate::engine::run::tape::comparable;
use crate::error::Error;
use crate::nodes::ports::secrets::Secrets;
use crate::nodes::ports::tape::{Kind, Step, Tape};

pub(super) struct Playback {
    recorded: Arc<Recorded>,
    round: Round,
    label: String,
    /// As [`Recorded::nth_attempt`] counts.
    attempt: usize,
    secrets: Arc<dyn Secrets>,
    /// Calls that were answered already: the same call again gets the next reply.
    used: Mutex<HashSet<usize>>,
    missed: Arc<Missed>,
}

impl Playback {
    /// `attempt` counts from 1; a replay has no attempt more for a crash.
    pub(super) fn new(
        recorded: Arc<Recorded>,
        round: Round,
        (label, attempt): (String, u32),
        secrets: Arc<dyn Secrets>,
        missed: Arc<Missed>,
    ) -> Self {
        let attempt = usize::try_from(attempt).unwrap_or(usize::MAX).saturating_sub(1);
        Self { recorded, round, label, attempt, secrets, used: Mutex::default(), missed }
    }

    /// The first recorded call that is this one and was not answered yet: outer `None` = there is none, inner
    /// `None` = it was broken off.
    fn find(&self, place: &str, kind: Kind, request: &str) -> Option<Option<String>> {
        let calls = self.recorded.calls.get(&self.round)?;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |(at, call): &(usize, &crate::engine::Recording)| {
            !used.contains(at)
                && call.kind == kind.name()
                && call.place == place
                && self.recorded.nth_attempt(&self.round, call.attempt) == self.attempt
                && comparable(&call.request, self.secrets.scrubber()) == request
        };
        let (at, call) = calls.iter().enumerate().find(is_it)?;
        used.insert(at);
        Some(call.reply.clone())
    }
}

impl Tape for Playback {
    fn call(&self, place: &str, kind: Kind, request: String) -> Step {
        let request = comparable(&request, self.secrets.scrubber());
        match self.find(place, kind, &request) {
            Some(Some(reply)) => Step::Reply(reply),
            Some(None) => Step::Never,
            None if self.recorded.was_cut_short(&self.round) => Step::Never,
            None => {
                let error = || miss::error(&self.recorded, &self.round, &self.label, (kind, &request));
                self.missed.note(error(), &self.round.0);
                Step::Missing(error())
            }
        }
    }

    fn reply(&self, _call: u64, _reply: String) {}

    fn is_replay(&self) -> bool {
        true
    }

    fn missed(&self, error: Error) {
        self.missed.note(error, &self.round.0);
    }
}
