//! The schedule against the model on random graphs: equal actions at every step, an ending that leaves
//! nothing usable behind, and a run that goes on alike when it is restored in the middle.
//!
//! `PROPTEST_CASES` sets how many graphs each property is tried on.

use std::sync::Arc;

use dipeo::compile::{EdgeIdx, Graph, GraphEdge, GraphNode, NodeIdx, Rank};
use dipeo::diagram::Handle;
use dipeo::engine::schedule::{Action, Ending, Input, Limits, Schedule};
use dipeo::nodes::Published;
use proptest::prelude::*;

use crate::schedule_model::Model;

/// Graphs that each property is tried on unless `PROPTEST_CASES` says otherwise.
const GRAPHS: u32 = 2_000;

/// A graph and everything that decides how its run goes.
#[derive(Clone, Debug)]
struct Case {
    nodes: Vec<GraphNode>,
    edges: Vec<GraphEdge>,
    limits: Limits,
    /// Read round and round: which node completes, how, and when somebody intervenes.
    choices: Vec<u32>,
}

fn cases() -> impl Strategy<Value = Case> {
    let kinds = proptest::collection::vec((0..16_u8, 1..6_u32), 1..12);
    let ends = proptest::collection::vec((any::<u8>(), any::<u8>(), any::<u8>()), 1..40);
    let limits = (8..120_u32, 2..15_u32, 1..6_u32);
    let choices = proptest::collection::vec(any::<u32>(), 1..40);
    (kinds, ends, limits, choices).prop_map(|(kinds, ends, (node_executions, node_iterations, parallel), choices)| {
        let mut nodes = vec![node(0, 1)];
        nodes.extend(kinds.into_iter().map(|(kind, max)| node(kind, max)));
        let edges = ends.into_iter().filter_map(|it| edge(&nodes, it)).collect();
        Case { nodes, edges, limits: Limits { node_executions, node_iterations, parallel }, choices }
    })
}

fn node(kind: u8, max: u32) -> GraphNode {
    let rank = match kind {
        0 | 1 => Rank::Start,
        2..=5 => Rank::Condition,
        6..=9 => Rank::PersonJob,
        _ => Rank::Other,
    };
    GraphNode {
        rank,
        is_endpoint: kind == 10,
        max_iteration: (rank == Rank::PersonJob).then_some(max),
        skippable: kind == 2,
        is_hook_start: kind == 1,
    }
}

/// Most connections lead a little further down the file, as in diagrams people write; the others anywhere.
fn edge(nodes: &[GraphNode], (from, to, how): (u8, u8, u8)) -> Option<GraphEdge> {
    let from = usize::from(from) % nodes.len();
    let to = if how % 3 == 0 { usize::from(to) } else { from + 1 + usize::from(to) % 3 } % nodes.len();
    if nodes[from].is_endpoint || nodes[to].rank == Rank::Start {
        return None;
    }
    let output = match how / 3 % 8 {
        0 => Handle::Error,
        it if nodes[from].rank == Rank::Condition => [Handle::CondTrue, Handle::CondFalse][usize::from(it) % 2],
        _ => Handle::Default,
    };
    let takes_first = nodes[to].rank == Rank::PersonJob && how / 24 % 3 == 0;
    Some(GraphEdge { from, output, to, input: if takes_first { Handle::First } else { Handle::Default } })
}

/// One entry of a run's history: what went in, and what came out.
type History = Vec<(Input, Vec<Action>)>;

impl Case {
    fn schedule(&self) -> Schedule {
        Schedule::new(Arc::new(Graph::new(self.nodes.clone(), self.edges.clone())), self.limits)
    }

    fn input(&self, step: usize, running: &[NodeIdx], is_held: bool) -> Input {
        let choice = self.choices[step % self.choices.len()] as usize + step / self.choices.len();
        let (choice, how) = (choice / 1_000, choice % 1_000);
        if running.is_empty() {
            return if how % 2 == 0 { Input::Once { only: None } } else { Input::Release };
        }
        let node = running[choice % running.len()];
        match how {
            401..=440 if is_held => Input::Once { only: None },
            441..=500 if is_held => Input::Once { only: Some(choice % self.nodes.len()) },
            0 => Input::Cancelled,
            1 => Input::NodeFailed { node },
            2..=20 => Input::Hold,
            21..=400 if is_held => Input::Release,
            it => Input::NodeDone { node, published: self.published(node, it) },
        }
    }

    fn published(&self, node: NodeIdx, how: usize) -> Published {
        match (how % 20, self.nodes[node].rank == Rank::Condition) {
            (0, _) => Published::Error,
            (_, false) => Published::Normal,
            (it, true) => [Published::True, Published::False][it % 2],
        }
    }

    /// Feeds `step`, which answers with actions and with what runs then, until it says that the run is over.
    fn drive(
        &self,
        mut step: impl FnMut(Input) -> Result<(Vec<Action>, Vec<NodeIdx>), TestCaseError>,
    ) -> Result<History, TestCaseError> {
        let (mut history, mut input, mut is_held) = (History::new(), Input::Started, false);
        loop {
            is_held = matches!(input, Input::Hold) || (is_held && !matches!(input, Input::Release));
            let (actions, running) = step(input)?;
            let is_over = matches!(actions.last(), Some(Action::Finish(_)));
            history.push((input, actions));
            if is_over {
                return Ok(history);
            }
            input = self.input(history.len(), &running, is_held);
        }
    }

    /// Drives the schedule and the model side by side to the end.
    fn check_against_model(&self) -> Result<(), TestCaseError> {
        let mut schedule = self.schedule();
        let mut model = Model::new(self.nodes.clone(), self.edges.clone(), self.limits);
        let history = self.drive(|input| {
            let (actions, expected) = (schedule.step(input), model.step(input));
            let shown: Vec<Action> = actions.iter().cloned().map(without_particulars).collect();
            prop_assert_eq!(shown, expected);
            Ok((actions, model.running()))
        })?;
        prop_assert_eq!(schedule.step(Input::Release), [], "nothing comes after the end");
        self.check_end(&schedule, &model, history.last())
    }

    fn run(&self) -> Result<History, TestCaseError> {
        let mut schedule = self.schedule();
        self.drive(|input| {
            let actions = schedule.step(input);
            Ok((actions, schedule.running().collect()))
        })
    }

    fn check_end(
        &self,
        schedule: &Schedule,
        model: &Model,
        last: Option<&(Input, Vec<Action>)>,
    ) -> Result<(), TestCaseError> {
        let Some(Action::Finish(ending)) = last.and_then(|(_, actions)| actions.last()) else {
            return Err(TestCaseError::fail("a run ends with an ending"));
        };
        match ending {
            Ending::Stuck { .. } => return Err(TestCaseError::fail("a usable token is left")),
            Ending::Completed | Ending::NoEndpoint { .. } => {
                prop_assert!(!model.has_usable_token());
                prop_assert_eq!(schedule.running().count(), 0);
            }
            Ending::NodeLimit { cycle, .. } | Ending::IterationLimit { cycle, .. } => {
                prop_assert!(model.is_way_round(cycle), "{:?} is no way round", cycle);
            }
            Ending::Failed { .. } | Ending::Cancelled => {}
        }
        for node in 0..self.nodes.len() {
            prop_assert_eq!(schedule.started(node), model.started(node));
            let most = self.nodes[node].max_iteration.unwrap_or(self.limits.node_iterations);
            prop_assert!(schedule.started(node) <= most);
        }
        prop_assert!(schedule.n_started() <= self.limits.node_executions);
        Ok(())
    }

    /// Replays the first `n_inputs` inputs and the first `n_actions` actions of the last of them as a
    /// log would, then lets the run go on; everything must be as it was.
    fn check_restored(&self, history: &History, n_inputs: usize, n_actions: usize) -> Result<(), TestCaseError> {
        let mut schedule = self.schedule();
        let mut is_held = false;
        for (index, (input, actions)) in history[..n_inputs].iter().enumerate() {
            match *input {
                Input::NodeDone { node, published } => schedule.restore_done(node, published),
                Input::Hold => is_held = true,
                Input::Release => is_held = false,
                Input::Started | Input::NodeFailed { .. } | Input::Cancelled | Input::Once { .. } => {}
            }
            let n_actions = if index + 1 == n_inputs { n_actions } else { actions.len() };
            for (node, edges) in actions[..n_actions].iter().filter_map(as_start) {
                prop_assert_eq!(&schedule.restore_start(node), edges);
            }
        }
        if is_held {
            schedule.step(Input::Hold);
        }
        let is_no_report = |it: &&Action| !matches!(it, Action::Replaced { .. });
        let rest: Vec<Action> = history[n_inputs - 1].1[n_actions..].iter().filter(is_no_report).cloned().collect();
        prop_assert_eq!(schedule.resume(), rest, "restored after {} inputs and {} actions", n_inputs, n_actions);
        for (input, actions) in &history[n_inputs..] {
            prop_assert_eq!(&schedule.step(*input), actions, "restored after {} inputs", n_inputs);
        }
        Ok(())
    }
}

fn as_start(action: &Action) -> Option<(NodeIdx, &Vec<EdgeIdx>)> {
    match action {
        Action::Start { node, edges, .. } => Some((*node, edges)),
        Action::Replaced { .. } | Action::Finish(_) => None,
    }
}

/// The model names no loops and lists no tokens: they are for messages, not for what happens.
fn without_particulars(action: Action) -> Action {
    let Action::Finish(ending) = action else { return action };
    Action::Finish(match ending {
        Ending::NodeLimit { node, .. } => Ending::NodeLimit { node, cycle: Vec::new(), rounds: 0 },
        Ending::IterationLimit { node, .. } => Ending::IterationLimit { node, cycle: Vec::new(), rounds: 0 },
        Ending::NoEndpoint { .. } => Ending::NoEndpoint { waiting: Vec::new() },
        Ending::Stuck { .. } => Ending::Stuck { nodes: Vec::new() },
        Ending::Completed | Ending::Failed { .. } | Ending::Cancelled => ending,
    })
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: GRAPHS, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_schedule_does_what_the_rule_says_and_never_gets_stuck(case in cases()) {
        case.check_against_model()?;
    }

    #[test]
    fn a_restored_run_goes_on_as_if_nothing_had_happened(case in cases(), cut in any::<(u16, u16)>()) {
        let history = case.run()?;
        // A run that ended is not restored, so the cut comes before an input that ended it by itself.
        let n_before = history.iter().take_while(|(input, _)| !ends_at_once(*input)).count();
        let n_inputs = 1 + usize::from(cut.0) % n_before;
        let (input, actions) = &history[n_inputs - 1];
        let n_starts = actions.iter().filter(|it| !matches!(it, Action::Finish(_))).count();
        // Half a step of a held run is no step any more: what was not started then waits.
        let is_step = matches!(input, Input::Once { .. });
        if is_step && n_starts < actions.len() {
            return Ok(());
        }
        let n_actions = if is_step { n_starts } else { usize::from(cut.1) % (n_starts + 1) };
        case.check_restored(&history, n_inputs, n_actions)?;
    }
}

fn ends_at_once(input: Input) -> bool {
    matches!(input, Input::Cancelled | Input::NodeFailed { .. })
}
