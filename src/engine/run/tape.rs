//! What nodes hear from outside, kept for replays: each attempt writes its calls on a tape of its own, and the
//! tape goes into the transaction of what came of the attempt. An attempt that a crash cut short leaves none.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::Run;
use crate::compile::NodeIdx;
use crate::engine::journal::Recording;
use crate::ids::without_execution_ids;
use crate::nodes::Effect;
use crate::nodes::ports::Ports;
use crate::nodes::ports::tape::{Kind, Step, Tape, taped};
use crate::secret::Scrubber;

/// The calls of one attempt of one node.
#[derive(Default)]
pub(super) struct Written(Mutex<Calls>);

#[derive(Default)]
struct Calls {
    next: u64,
    /// By number, so in the order in which they began.
    all: BTreeMap<u64, Call>,
}

struct Call {
    place: String,
    kind: Kind,
    request: String,
    reply: Option<String>,
}

impl Written {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the calls of the places that fit.
    fn take(&self, fits: impl Fn(&str) -> bool) -> Vec<Call> {
        let mut calls = self.calls();
        let all = std::mem::take(&mut calls.all);
        let (taken, left): (BTreeMap<_, _>, _) = all.into_iter().partition(|(_, it)| fits(&it.place));
        calls.all = left;
        taken.into_values().collect()
    }
}

impl Tape for Written {
    fn call(&self, place: &str, kind: Kind, request: String) -> Step {
        let mut calls = self.calls();
        let number = calls.next;
        calls.next += 1;
        calls.all.insert(number, Call { place: place.to_owned(), kind, request, reply: None });
        Step::Make(number)
    }

    fn reply(&self, call: u64, reply: String) {
        if let Some(call) = self.calls().all.get_mut(&call) {
            call.reply = Some(reply);
        }
    }

    fn is_replay(&self) -> bool {
        false
    }

    fn missed(&self, _error: crate::error::Error) {}
}

impl Run {
    /// The ports of the next attempt of `node`: over a tape if there is anything to write on it.
    pub(super) fn ports_of(&mut self, node: NodeIdx) -> Arc<Ports> {
        if let Some(replay) = &self.replay {
            let live = &self.live[&node];
            let tape = replay.tape(&self.plan.nodes[node], live.iteration, live.attempt, &self.ports);
            return taped(&self.ports, tape);
        }
        let plan_node = &self.plan.nodes[node].node;
        let hears = plan_node.effect() == Effect::Outside || plan_node.reads();
        if !hears || !self.options.is_recorded {
            return Arc::clone(&self.ports);
        }
        let tape = Arc::new(Written::default());
        if let Some(live) = self.live.get_mut(&node) {
            live.tape = Some(Arc::clone(&tape));
        }
        taped(&self.ports, tape)
    }

    /// Keeps what an attempt of `node` heard, or only what item `index` of its batch did.
    pub(super) fn keep_calls(&mut self, node: NodeIdx, index: Option<usize>) {
        let Some(live) = self.live.get(&node) else { return };
        let Some(tape) = &live.tape else { return };
        let calls = match index {
            None => tape.take(|_| true),
            Some(index) => tape.take(|place| place.split('.').next() == Some(index.to_string().as_str())),
        };
        if calls.is_empty() {
            return;
        }
        let (node_id, iteration, attempt) = (Arc::clone(&self.plan.nodes[node].id), live.iteration, live.attempt);
        let scrubber = self.ports.secrets.scrubber();
        self.record.add_recordings(calls.into_iter().map(|call| Recording {
            node_id: Arc::clone(&node_id),
            iteration,
            attempt,
            place: call.place,
            kind: Cow::Borrowed(call.kind.name()),
            request: comparable(&call.request, scrubber),
            reply: call.reply.map(|it| scrubbed(it, scrubber)),
        }));
    }

    /// Keeps the calls that are broken off because the execution ends.
    pub(super) fn keep_broken_off_calls(&mut self) {
        let live: Vec<NodeIdx> = self.live.keys().copied().collect();
        live.into_iter().for_each(|node| self.keep_calls(node, None));
    }
}

/// Returns a request as it is compared: without secrets, and without the ids of executions, which are others
/// in each run.
pub(super) fn comparable(request: &str, scrubber: &Scrubber) -> String {
    without_execution_ids(&scrubbed(request.to_owned(), scrubber))
}

/// Blots secrets out of JSON text; it stays JSON.
fn scrubbed(text: String, scrubber: &Scrubber) -> String {
    if let Cow::Borrowed(_) = scrubber.text(&text) {
        return text;
    }
    match serde_json::from_str::<Value>(&text) {
        Ok(mut value) => {
            scrubber.scrub_value(&mut value);
            value.to_string()
        }
        Err(_) => scrubber.text(&text).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn a_request_is_compared_without_secrets_and_ids() {
        let scrubber = Scrubber::default();
        scrubber.add(&Secret::new("canary\"1").expect("there is text"));
        scrubber.add(&Secret::new("12345").expect("there is text"));
        let id = format!("exec_{}", "0a".repeat(16));
        for (request, expected) in [
            (format!(r#"{{"key":"{id}:n:1","x":"exec_1"}}"#), r#"{"key":"exec_:n:1","x":"exec_1"}"#),
            (r#"{"a":"Bearer canary\"1","n":12345,"m":1}"#.to_owned(), r#"{"a":"Bearer ***","n":"***","m":1}"#),
            (format!("[\"{id}{id}\"]"), "[\"exec_exec_\"]"),
            ("[]".to_owned(), "[]"),
        ] {
            assert_eq!(comparable(&request, &scrubber), expected, "{request}");
        }
    }

    #[test]
    fn the_calls_of_one_item_are_kept_without_those_of_others() {
        let tape = Written::default();
        for place in ["1.1", "11.1", "1.2", ""] {
            assert!(matches!(tape.call(place, Kind::Http, "{}".to_owned()), Step::Make(_)));
        }
        tape.reply(2, "{\"ok\":1}".to_owned());
        let of_item = tape.take(|it| it.split('.').next() == Some("1"));
        let seen: Vec<_> = of_item.iter().map(|it| (it.place.as_str(), it.reply.is_some())).collect();
        assert_eq!(seen, [("1.1", false), ("1.2", true)]);
        assert_eq!(tape.take(|_| true).len(), 2);
    }
}
