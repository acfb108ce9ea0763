//! A replay: the run of an execution that has ended, once more, with nothing but its recordings for an outside.
//! Nodes end in the order in which they ended then, because what comes later may depend on it: which of two
//! tokens is newer, what a conversation holds. Durations and ids are its own; everything else is the same.

mod miss;
mod playback;
mod recorded;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};

use self::miss::Missed;
use self::playback::Playback;
pub use self::recorded::Recorded;
use self::recorded::{Ended, Round, Turn};
use super::attempt::{Finished, Work};
use super::tape::comparable;
use super::{End, Run};
use crate::compile::NodeIdx;
use crate::compile::plan::PlanNode;
use crate::engine::event::Event;
use crate::error::Error;
use crate::nodes::integrated_api::providers::Providers;
use crate::nodes::ports::Ports;
use crate::nodes::ports::commands::NoCommands;
use crate::nodes::ports::http::NoNetwork;
use crate::nodes::ports::secrets::Secrets;
use crate::nodes::ports::tape::{Kind, Tape};
use crate::nodes::{Outcome, Output, Question};
use crate::secret::{Scrubber, Secret};

/// What recordings show of a secret; it stands for every secret that a replay asks for.
const STAND_IN: &str = "***";

/// What a replay goes by, and how far it is.
pub(super) struct Replay {
    recorded: Arc<Recorded>,
    /// What came out of attempts then, in order, without what has come out now.
    order: VecDeque<Turn>,
    /// What has come out of attempts and is not yet its turn.
    held: Vec<Finished>,
    /// Questions that each round of a node has asked.
    asked: HashMap<Round, usize>,
    missed: Arc<Missed>,
}

impl Replay {
    pub(super) fn new(recorded: Arc<Recorded>) -> Self {
        let order = recorded.order.iter().cloned().collect();
        Self { recorded, order, held: Vec::new(), asked: HashMap::new(), missed: Arc::default() }
    }

    /// What an attempt of `node` is answered from.
    pub(super) fn tape(&self, node: &PlanNode, iteration: u32, attempt: u32, ports: &Arc<Ports>) -> Arc<dyn Tape> {
        Arc::new(Playback::new(
            Arc::clone(&self.recorded),
            (node.id.to_string(), iteration),
            (node.label.to_string(), attempt),
            Arc::clone(&ports.secrets),
            Arc::clone(&self.missed),
        ))
    }

    /// When `round` started then.
    pub(super) fn started_at(&self, node: &str, iteration: u32) -> Option<crate::clock::Timestamp> {
        self.recorded.started.get(&(node.to_owned(), iteration)).copied()
    }

    /// Takes note of what happens now: its turn is over.
    pub(super) fn passed(&mut self, event: &Event, node: &str) {
        let round = |iteration| (node.to_owned(), iteration);
        let turn = match event {
            Event::NodeCompleted(it) => Turn::Out(round(it.iteration)),
            Event::NodeError(it) => Turn::Out(round(it.iteration)),
            Event::NodeRetry(it) => Turn::Out(round(it.iteration)),
            Event::InteractivePrompt(it) => {
                *self.asked.entry(round(it.iteration)).or_default() += 1;
                Turn::Out(round(it.iteration))
            }
            Event::InteractiveResponse(it) => Turn::Answer(round(it.iteration)),
            _ => return,
        };
        if let Some(at) = self.order.iter().position(|it| *it == turn) {
            self.order.remove(at);
        }
    }
}

impl Run {
    /// The next thing that came out of an attempt: in a replay the one whose turn it is.
    pub(super) fn next_finished(&mut self) -> Result<Option<Finished>, Error> {
        loop {
            let Some(replay) = &mut self.replay else { return Ok(self.finished.pop_front()) };
            replay.held.extend(self.finished.drain(..));
            if let Some((node, error)) = replay.missed.take() {
                let node = self.plan.nodes.iter().position(|it| *it.id == *node);
                return Ok(node.map(|node| Finished { node, result: Err(error) }));
            }
            let Some(turn) = replay.order.front().cloned() else { return Ok(self.after_the_recorded()) };
            let node = self.plan.nodes.iter().position(|it| *it.id == *turn.round().0);
            let live = node.filter(|it| self.live.get(it).is_some_and(|live| live.iteration == turn.round().1));
            let Some(node) = live else {
                // The run has gone another way, which shows in what it asks for or in its result.
                replay.order.pop_front();
                continue;
            };
            if let Some(at) = replay.held.iter().position(|it| it.node == node) {
                return Ok(Some(replay.held.remove(at)));
            }
            let waiting = self.state.nodes[node].waiting.as_ref().filter(|it| it.answer.is_none());
            match (&turn, waiting.map(|it| it.question.clone())) {
                (Turn::Answer(round), Some(question)) => self.answer_as_then(node, &round.clone(), question)?,
                // Nobody answered then, and so nobody is waited for.
                (Turn::Out(_), Some(question)) => {
                    let result = self.plan.nodes[node].node.expire(&question);
                    self.finished.push_back(Finished { node, result });
                }
                (_, None) => return Ok(None),
            }
        }
    }

    /// Everything that came out then has come out: the run ends as it ended then, or goes on as far as it can.
    fn after_the_recorded(&mut self) -> Option<Finished> {
        let replay = self.replay.as_mut()?;
        match &replay.recorded.ended {
            Ended::Aborted { by, reason } => {
                self.ending = Some(End::Aborted { by: by.clone(), reason: reason.clone() });
                return None;
            }
            Ended::Completed { by, reason } => {
                self.ending = Some(End::Completed { by: by.clone(), reason: reason.clone() });
                return None;
            }
            Ended::TimedOut => {
                self.ending = Some(End::TimedOut);
                return None;
            }
            Ended::BySchedule => {}
        }
        if !replay.held.is_empty() {
            return Some(replay.held.remove(0));
        }
        let open = self.state.open_questions();
        let (node, _) = *open.first().filter(|_| open.len() == self.live.len())?;
        let plan_node = &self.plan.nodes[node];
        let error = miss::error(
            &replay.recorded,
            &(plan_node.id.to_string(), self.live[&node].iteration),
            &plan_node.label,
            (Kind::Question, "null"),
        );
        Some(Finished { node, result: Err(error) })
    }

    fn answer_as_then(&mut self, node: NodeIdx, round: &Round, question: Question) -> Result<(), Error> {
        let Some(replay) = &mut self.replay else { return Ok(()) };
        let nth = replay.asked.get(round).copied().unwrap_or_default();
        let asked = comparable(&recorded::question(&question), self.ports.secrets.scrubber());
        let label = &self.plan.nodes[node].label;
        match replay.recorded.answer(round, nth, &asked) {
            Some(answer) => self.take_answer(node, answer, "replay"),
            None => {
                replay.missed.note(miss::error(&replay.recorded, round, label, (Kind::Question, &asked)), &round.0);
                Ok(())
            }
        }
    }

    /// The value of a node that somebody gave it then instead of running it.
    pub(super) fn given_then(&self, node: NodeIdx, work: &Work) -> Option<Finished> {
        let replay = self.replay.as_ref().filter(|_| matches!(work, Work::Run))?;
        let round = (self.plan.nodes[node].id.to_string(), self.live[&node].iteration);
        let (body, published) = replay.recorded.given.get(&round)?;
        let output = Output { body: Arc::clone(body), published: *published, ..Output::default() };
        Some(Finished { node, result: Ok(Outcome::Done(output)) })
    }
}

/// The ports below the tape of a replay: they reach nothing but the store and what needs no outside.
pub(super) fn ports(ports: &Arc<Ports>) -> Arc<Ports> {
    static SECRET: OnceLock<Option<Secret>> = OnceLock::new();
    let stand_in = SECRET.get_or_init(|| Secret::new(STAND_IN)).clone();
    Arc::new(Ports {
        http: Arc::new(NoNetwork),
        commands: Arc::new(NoCommands),
        providers: stand_in.clone().map_or_else(Arc::default, |it| Arc::new(Providers::of_replay(it))),
        secrets: Arc::new(StandIns { secrets: Arc::clone(&ports.secrets), stand_in }),
        ..Ports::clone(ports)
    })
}

/// Has every secret, and each is the same.
struct StandIns {
    secrets: Arc<dyn Secrets>,
    stand_in: Option<Secret>,
}

impl Secrets for StandIns {
    fn find(&self, _name: &str) -> Result<Option<Secret>, Error> {
        Ok(self.stand_in.clone())
    }

    fn scrubber(&self) -> &Scrubber {
        self.secrets.scrubber()
    }
}
