//! Which part of a log a fork takes over: what was committed before one round of one node, and of what was
//! under way at that moment whatever was paid for. Pure; it must not know what the nodes do.

use std::collections::{HashMap, HashSet};

use super::event::Event;
use super::run::LogEntry;
use crate::nodes::PauseReason;

/// Who resumes an execution that begins with a part of another one's log; the last event of that part says so.
pub const BY_FORK: &str = "fork";

/// One execution of one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Round {
    pub node_id: String,
    /// From 1.
    pub iteration: u32,
}

/// What of a log goes into a fork.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Positions in the log, in order.
    pub entries: Vec<usize>,
    /// Rounds that came to an end, in the order in which they did.
    pub done: Vec<Round>,
    /// Batches that came to none: their finished items stay, the others are still to be done.
    pub open: Vec<Round>,
    /// Rounds without an effect that were under way: they begin again, with the inputs that they had.
    pub begun: Vec<Round>,
}

/// Chooses what a fork before `cut` takes over: the rounds that began before it and came to an end, then or later,
/// and the finished items of batches that did not. What only failed, waited or was cancelled runs again, and so does
/// what was under way at the cut without an effect: it costs nothing, and what it publishes must not be there before
/// the node at the cut takes its inputs. Of such a round it is kept that it began. `None` when that round never began.
pub fn kept(log: &[LogEntry], cut: &Round) -> Option<Kept> {
    let rounds = rounds(log);
    let cut_at = rounds.iter().position(|it| it.as_ref() == Some(cut))?;
    let before: HashSet<&Round> = rounds[..cut_at].iter().flatten().collect();
    let mut begins_again = free_and_under_way(&log[..cut_at], &rounds);
    let mut kept = Kept::default();
    let of_before = || log.iter().zip(&rounds).filter_map(|(it, round)| Some((&it.event, round.as_ref()?)));
    let of_before = || of_before().filter(|(_, round)| before.contains(round));
    let of_ended = of_before().filter(|(event, round)| is_end(event) && !begins_again.contains(round));
    kept.done.extend(of_ended.map(|(_, round)| round.clone()));
    let done: HashSet<&Round> = kept.done.iter().collect();
    for (event, round) in of_before() {
        if matches!(event, Event::NodeOutput(_)) && !done.contains(round) && !kept.open.contains(round) {
            kept.open.push(round.clone());
        }
    }
    let mut begun = HashSet::new();
    for (at, entry) in log.iter().enumerate() {
        let Some(round) = rounds[at].as_ref().filter(|it| before.contains(it)) else { continue };
        let stays = if done.contains(round) {
            belongs_to_a_finished_round(&entry.event)
        } else if begins_again.contains(round) {
            matches!(entry.event, Event::NodeStarted(_)) && begun.insert(round)
        } else if kept.open.contains(round) {
            // That it began is said once: the attempts after the first are not this execution's.
            matches!(entry.event, Event::NodeStarted(_)) && begun.insert(round)
                || matches!(entry.event, Event::NodeOutput(_))
        } else {
            false
        };
        if stays {
            kept.entries.push(at);
        }
    }
    kept.begun = rounds[..cut_at].iter().flatten().filter(|it| begins_again.remove(it)).cloned().collect();
    Some(kept)
}

/// The rounds without an effect that begin in this beginning of a log and do not end in it.
fn free_and_under_way<'a>(log: &[LogEntry], rounds: &'a [Option<Round>]) -> HashSet<&'a Round> {
    let mut open = HashSet::new();
    for (entry, round) in log.iter().zip(rounds) {
        let Some(round) = round else { continue };
        match &entry.event {
            Event::NodeStarted(it) if !it.effect => _ = open.insert(round),
            Event::NodeOutput(_) | Event::InteractivePrompt(_) => _ = open.remove(round),
            event if is_end(event) => _ = open.remove(round),
            _ => {}
        }
    }
    open
}

/// Of each event the round it belongs to.
fn rounds(log: &[LogEntry]) -> Vec<Option<Round>> {
    let mut current: HashMap<&str, u32> = HashMap::new();
    let mut rounds = Vec::with_capacity(log.len());
    for entry in log {
        let node_id = entry.node_id.as_deref().unwrap_or_default();
        let iteration = match &entry.event {
            Event::NodeStarted(it) => Some(it.iteration),
            Event::NodeCompleted(it) => Some(it.iteration),
            Event::NodeOutput(it) => Some(it.iteration),
            Event::NodeError(it) => Some(it.iteration),
            Event::NodeRetry(it) => Some(it.iteration),
            Event::InteractivePrompt(it) => Some(it.iteration),
            Event::InteractiveResponse(it) => Some(it.iteration),
            // They are said of what the node does just then.
            Event::ToolCallStarted(_) | Event::ToolCallFinished(_) | Event::ExecutionLog(_) => {
                current.get(node_id).copied()
            }
            // A fork pays for itself.
            Event::BudgetReserved(_) | Event::BudgetSettled(_) => None,
            Event::NodeSkipped(_)
            | Event::Control(_)
            | Event::ExecutionStarted(_)
            | Event::ExecutionPaused(_)
            | Event::ExecutionResumed(_)
            | Event::ExecutionCompleted(_)
            | Event::ExecutionError(_)
            | Event::ExecutionAborted(_) => None,
        };
        rounds.push(iteration.map(|iteration| {
            current.insert(node_id, iteration);
            Round { node_id: node_id.to_owned(), iteration }
        }));
    }
    rounds
}

fn is_end(event: &Event) -> bool {
    match event {
        Event::NodeCompleted(_) => true,
        Event::NodeError(it) => it.handled,
        _ => false,
    }
}

/// A round may have failed, been held or been given up before it came to its end in another process; only what
/// led to the end is taken over.
fn belongs_to_a_finished_round(event: &Event) -> bool {
    match event {
        Event::NodeError(it) => it.handled,
        Event::InteractivePrompt(it) => it.question.reason != PauseReason::Breakpoint,
        _ => true,
    }
}

/// The round from which a failed execution goes on: that of the node that failed it, else of the first node that
/// began and came to no end. `None` when everything that began has ended.
pub fn failed_round(log: &[LogEntry]) -> Option<Round> {
    let rounds = rounds(log);
    let all = || log.iter().zip(&rounds).filter_map(|(it, round)| Some((&it.event, round.as_ref()?)));
    let ended: HashSet<&Round> = all().filter(|(event, _)| is_end(event)).map(|(_, round)| round).collect();
    let is_failure = |event: &Event| matches!(event, Event::NodeError(it) if !it.handled);
    let mut unfinished = all().filter(|(_, round)| !ended.contains(round));
    let failed = unfinished.clone().rfind(|(event, _)| is_failure(event));
    failed.or_else(|| unfinished.next()).map(|(_, round)| round.clone())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use serde_json::{Map, Value, json};

    use super::*;
    use crate::clock::Timestamp;
    use crate::engine::event::{
        ExecutionPaused, InteractivePrompt, NodeCompleted, NodeError, NodeOutput, NodeStarted, StoredOutput,
    };
    use crate::nodes::report::ItemDone;
    use crate::nodes::{Published, Question};

    /// A log in short: `>a` begins, `-a` begins without an effect, `a.` completes, `a!` fails, `a~` fails and goes on,
    /// `a?` asks, `a|` is held,
    /// `a+` an item is done, `=` a pause. A digit behind the name is the round.
    fn log(text: &str) -> Vec<LogEntry> {
        text.split_whitespace().zip(1..).map(|(it, seq)| entry(it, seq)).collect()
    }

    fn entry(text: &str, seq: u64) -> LogEntry {
        let word = text.trim_start_matches(['>', '-']).trim_end_matches(['.', '!', '~', '?', '|', '+', '=']);
        let name = word.trim_end_matches(|it: char| it.is_ascii_digit());
        let iteration = word[name.len()..].parse().unwrap_or(1);
        let question = |reason| InteractivePrompt { iteration, question: Question::new(reason, "?") };
        let failed = |handled| NodeError { iteration, error: json!({}), handled, warnings: Vec::new() };
        let event = match text.chars().next_back() {
            Some('.') => Event::NodeCompleted(NodeCompleted {
                iteration,
                attempt: 1,
                output: StoredOutput { body: Arc::new(Value::Null), forms: None },
                handles: Published::Normal,
                duration_ms: 0,
                store_ms: 0,
                meta: Map::new(),
                variables: Map::new(),
                exposed: Map::new(),
                warnings: Vec::new(),
            }),
            Some('!') => Event::NodeError(failed(false)),
            Some('~') => Event::NodeError(failed(true)),
            Some('?') => Event::InteractivePrompt(question(PauseReason::Input)),
            Some('|') => Event::InteractivePrompt(question(PauseReason::Breakpoint)),
            Some('+') => Event::NodeOutput(NodeOutput { iteration, item: ItemDone::default() }),
            Some('=') => {
                Event::ExecutionPaused(ExecutionPaused { reason: PauseReason::Input, waiting_for: Vec::new() })
            }
            _ => Event::NodeStarted(NodeStarted {
                kind: String::new(),
                iteration,
                attempt: 1,
                inputs: BTreeMap::new(),
                effect: !text.starts_with('-'),
            }),
        };
        LogEntry { seq, node_id: (!name.is_empty()).then(|| name.to_owned()), event, at: Timestamp::default() }
    }

    fn round(text: &str) -> Round {
        let name = text.trim_end_matches(|it: char| it.is_ascii_digit());
        Round { node_id: name.to_owned(), iteration: text[name.len()..].parse().unwrap_or(1) }
    }

    #[test]
    fn what_began_before_the_cut_and_ended_is_taken_over() {
        for (what, text, cut, expected) in [
            ("a chain", ">s s. >a a. >b b. >c c.", "b", ">s s. >a a."),
            ("the first node", ">s s. >a a.", "s", ""),
            ("a round of a loop", ">a a. >c c. >a2 a2. >c2 c2. >a3 a3.", "a2", ">a a. >c c."),
            ("another node of that round", ">a a. >c c. >a2 a2. >c2 c2.", "c2", ">a a. >c c. >a2 a2."),
            ("a branch under way that completes", ">s s. >a >b b. a. >c", "b", ">s s. >a a."),
            ("one without an effect begins again", "-s s. -a >b b. a.", "b", "-s s. -a"),
            ("unless it had ended before", "-s s. -a a. -c >b c. b.", "b", "-s s. -a a. -c"),
            ("and what follows it does not", ">s s. >a >b a. >a2 a2. b.", "b", ">s s. >a a."),
            ("a branch that fails", ">s s. >a >b b. a!", "b", ">s s."),
            ("a branch that fails and goes on", ">s s. >a >b b. a~", "b", ">s s. >a a~"),
            ("a branch that waits", ">s s. >a >b a? b. =", "b", ">s s."),
            ("one that was answered", ">s s. >a a? = a. >b b.", "b", ">s s. >a a? a."),
            ("one that was held", ">s s. a| = >a a. >b b.", "b", ">s s. >a a."),
            ("a cut where a node was held", ">s s. b| >a >b b. a.", "b", ">s s."),
            ("a failure that was repaired", ">s s. >a a! >a a. >b", "b", ">s s. >a >a a."),
            ("items of a batch that failed", ">s s. >a a+ >b a+ a!", "b", ">s s. >a a+ a+"),
            ("its second attempt", ">s s. >a a+ a! >a a+ >b", "b", ">s s. >a a+ a+"),
            ("items of the node itself", ">s s. >b b+ b!", "b", ">s s."),
        ] {
            let log = log(text);
            let words: Vec<&str> = text.split_whitespace().collect();
            let kept = kept(&log, &round(cut)).expect("it began");
            let shown: Vec<&str> = kept.entries.iter().map(|at| words[*at]).collect();
            assert_eq!(shown.join(" "), expected, "{what}");
        }
    }

    #[test]
    fn the_rounds_that_ended_are_named_in_the_order_of_their_ends() {
        let log = log(">s s. >a >b b+ >c c. a. b!");
        let kept = kept(&log, &round("c")).expect("it began");
        assert_eq!((kept.done, kept.open), (vec![round("s"), round("a")], vec![round("b")]));
    }

    #[test]
    fn a_round_that_never_began_has_no_before() {
        for cut in ["b", "a2"] {
            assert_eq!(kept(&log(">s s. >a a."), &round(cut)), None, "{cut}");
        }
    }

    #[test]
    fn a_failed_execution_goes_on_from_the_node_that_failed_it() {
        for (text, expected) in [
            (">s s. >a a!", Some("a")),
            (">s s. >a >b b. a!", Some("a")),
            (">s s. >a a~ >b >c", Some("b")),
            (">s s. >a2 a2! >a2 a2. >b2 b2!", Some("b2")),
            (">s s. >a a! >a a. >b", Some("b")),
            (">s s. >a a.", None),
        ] {
            assert_eq!(failed_round(&log(text)), expected.map(round), "{text}");
        }
    }
}
