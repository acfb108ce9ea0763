//! Runs of small graphs, each written as two lines: what there is, and what starts in which order.
//!
//! Nodes: `a`, `s:start`, `h:hook`, `c:cond`, `c:skip` (skippable), `p:person=2` (max_iteration), `e:end`.
//! Connections: `a>b`, `c.yes>b`, `c.no>b`, `a.err>b`, `a>p.first`. Outcomes: `c=NNY` are the branches a
//! condition takes, `a=E` a failure that flows on, `a=F` one that fails the run.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::*;
use crate::compile::{GraphEdge, GraphNode};
use crate::diagram::Handle;

struct Sketch {
    labels: Vec<String>,
    graph: Arc<Graph>,
}

impl Sketch {
    fn read(nodes: &str, connections: &str) -> Self {
        let (labels, nodes): (Vec<String>, Vec<GraphNode>) = nodes.split_whitespace().map(read_node).unzip();
        let find = |label: &str| {
            labels.iter().position(|it| it == label).unwrap_or_else(|| panic!("no node is called `{label}`"))
        };
        let edges = connections.split_whitespace().map(|text| {
            let (from, to) = text.split_once('>').unwrap();
            let (from, output) = from.split_once('.').unwrap_or((from, ""));
            let (to, input) = to.split_once('.').unwrap_or((to, ""));
            GraphEdge { from: find(from), output: handle(output), to: find(to), input: handle(input) }
        });
        let edges = edges.collect();
        Self { graph: Arc::new(Graph::new(nodes, edges)), labels }
    }

    fn names(&self, nodes: &[NodeIdx]) -> String {
        nodes.iter().map(|&it| self.labels[it].as_str()).collect::<Vec<_>>().join(" ")
    }

    fn connection(&self, edge: EdgeIdx) -> String {
        let edge = self.graph.edges[edge];
        format!("{}>{}", self.labels[edge.from], self.labels[edge.to])
    }

    fn ending(&self, ending: &Ending) -> String {
        match ending {
            Ending::Completed => "completed".into(),
            Ending::NoEndpoint { waiting } => {
                let tokens = waiting.iter().map(|it| format!(" {} {:?}", self.connection(it.edge), it.why));
                format!("no endpoint{}", tokens.collect::<String>())
            }
            Ending::Stuck { nodes } => format!("stuck {}", self.names(nodes)),
            Ending::NodeLimit { node, cycle, rounds } => {
                format!("node limit at {}: {} x{rounds}", self.labels[*node], self.names(cycle))
            }
            Ending::IterationLimit { node, cycle, rounds } => {
                format!("iteration limit at {}: {} x{rounds}", self.labels[*node], self.names(cycle))
            }
            Ending::Failed { node } => format!("failed at {}", self.labels[*node]),
            Ending::Cancelled => "cancelled".into(),
        }
    }
}

fn read_node(text: &str) -> (String, GraphNode) {
    let (label, kind) = text.split_once(':').unwrap_or((text, ""));
    let (kind, max) = kind.split_once('=').unwrap_or((kind, ""));
    let rank = match kind {
        "start" | "hook" => Rank::Start,
        "cond" | "skip" => Rank::Condition,
        "person" => Rank::PersonJob,
        _ => Rank::Other,
    };
    let node = GraphNode {
        rank,
        is_endpoint: kind == "end",
        max_iteration: max.parse().ok(),
        skippable: kind == "skip",
        is_hook_start: kind == "hook",
    };
    (label.to_owned(), node)
}

fn handle(text: &str) -> Handle {
    match text {
        "yes" => Handle::CondTrue,
        "no" => Handle::CondFalse,
        "err" => Handle::Error,
        "first" => Handle::First,
        _ => Handle::Default,
    }
}

/// Which of the running nodes, in the order of their starts, completes next.
#[derive(Clone, Copy, Debug)]
enum Timing {
    Fifo,
    Lifo,
    /// Any of them; the number names the sequence.
    Mixed(usize),
}

impl Timing {
    fn next(self, step: usize, n_running: usize) -> usize {
        match self {
            Self::Fifo => 0,
            Self::Lifo => n_running - 1,
            Self::Mixed(seed) => (seed * 31 + step * (seed + 7)) % n_running,
        }
    }
}

struct Drive<'a> {
    sketch: &'a Sketch,
    outcomes: HashMap<NodeIdx, VecDeque<char>>,
    running: Vec<NodeIdx>,
    said: Vec<String>,
    ending: Option<String>,
}

impl<'a> Drive<'a> {
    fn new(sketch: &'a Sketch, outcomes: &str) -> Self {
        let read = |text: &str| {
            let (label, outcomes) = text.split_once('=').unwrap();
            (sketch.labels.iter().position(|it| it == label).unwrap(), outcomes.chars().collect())
        };
        let outcomes = outcomes.split_whitespace().map(read).collect();
        Self { sketch, outcomes, running: Vec::new(), said: Vec::new(), ending: None }
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            assert_eq!(self.ending, None, "nothing comes after the end");
            match action {
                Action::Start { node, .. } => {
                    self.running.push(node);
                    self.said.push(self.sketch.labels[node].clone());
                }
                Action::Replaced { edge } => self.said.push(format!("({})", self.sketch.connection(edge))),
                Action::Finish(ending) => self.ending = Some(self.sketch.ending(&ending)),
            }
        }
    }

    /// What `node` does: the next of its outcomes, the last one over and over.
    fn outcome(&mut self, node: NodeIdx) -> Input {
        let outcomes = self.outcomes.entry(node).or_default();
        let outcome = if 1 < outcomes.len() { outcomes.pop_front() } else { outcomes.front().copied() };
        let published = match outcome {
            Some('Y') => Published::True,
            Some('N') => Published::False,
            Some('E') => Published::Error,
            Some('F') => return Input::NodeFailed { node },
            _ => Published::Normal,
        };
        Input::NodeDone { node, published }
    }

    fn run(mut self, schedule: &mut Schedule, timing: Timing) -> String {
        let actions = schedule.step(Input::Started);
        self.carry_out(actions);
        for step in 0.. {
            if self.ending.is_some() || self.running.is_empty() {
                break;
            }
            let node = self.running.remove(timing.next(step, self.running.len()));
            let input = self.outcome(node);
            let actions = schedule.step(input);
            self.carry_out(actions);
        }
        format!("{} | {}", self.said.join(" "), self.ending.unwrap_or_else(|| "still running".into()))
    }
}

fn run(sketch: &Sketch, outcomes: &str, limits: Limits, timing: Timing) -> String {
    let mut schedule = Schedule::new(sketch.graph.clone(), limits);
    Drive::new(sketch, outcomes).run(&mut schedule, timing)
}

/// Checks the order of starts when completions are handled in the order of starts.
#[track_caller]
fn check_fifo(nodes: &str, connections: &str, outcomes: &str, expected: &str) {
    let sketch = Sketch::read(nodes, connections);
    assert_eq!(run(&sketch, outcomes, Limits::default(), Timing::Fifo), expected);
}

/// Checks an order of starts that holds whatever takes how long.
#[track_caller]
fn check(nodes: &str, connections: &str, outcomes: &str, expected: &str) {
    let sketch = Sketch::read(nodes, connections);
    for timing in [Timing::Fifo, Timing::Lifo].into_iter().chain((0..20).map(Timing::Mixed)) {
        assert_eq!(run(&sketch, outcomes, Limits::default(), timing), expected, "{timing:?}");
    }
}

/// Checks how often each node starts and how the run ends, whatever takes how long.
#[track_caller]
fn check_counts(nodes: &str, connections: &str, outcomes: &str, expected: &str) {
    let sketch = Sketch::read(nodes, connections);
    for timing in [Timing::Fifo, Timing::Lifo].into_iter().chain((0..20).map(Timing::Mixed)) {
        let mut schedule = Schedule::new(sketch.graph.clone(), Limits::default());
        let said = Drive::new(&sketch, outcomes).run(&mut schedule, timing);
        let counts = (0..sketch.labels.len()).filter(|&it| 0 < schedule.started(it));
        let counts: Vec<String> = counts.map(|it| format!("{}{}", sketch.labels[it], schedule.started(it))).collect();
        let ending = said.rsplit(" | ").next().unwrap();
        assert_eq!(format!("{} | {ending}", counts.join(" ")), expected, "{timing:?}: {said}");
    }
}

const BRANCH: (&str, &str) =
    ("s:start c1 cond:cond big small e:end", "s>c1 c1>cond cond.yes>big cond.no>small big>e small>e");

#[test]
fn a_merge_does_not_wait_for_the_branch_that_was_not_taken() {
    check(BRANCH.0, BRANCH.1, "cond=Y", "s c1 cond big e | completed");
    check(BRANCH.0, BRANCH.1, "cond=N", "s c1 cond small e | completed");
}

#[test]
fn an_endpoint_that_is_never_reached_does_not_fail_the_run() {
    let edges = "s>c1 c1>cond cond.yes>big cond.no>small big>e";
    check(BRANCH.0, edges, "cond=Y", "s c1 cond big e | completed");
    let edges = "s>c1 c1>cond cond.yes>big cond.no>small big>e small>e2";
    check("s:start c1 cond:cond big small e:end e2:end", edges, "cond=Y", "s c1 cond big e | completed");
}

#[test]
fn an_endpoint_ends_nothing() {
    let edges = "s>a s>b a>e1 b>c c>e2";
    check_fifo("s:start a b c e1:end e2:end", edges, "", "s a b e1 c e2 | completed");
    check_counts("s:start a b c e1:end e2:end", edges, "", "s1 a1 b1 c1 e11 e21 | completed");
}

#[test]
fn a_join_waits_for_every_source_that_can_still_come() {
    check("s:start a b j", "s>a s>b a>j b>j", "", "s a b j | completed");
    let edges = "s>c1 s>other c1>cond cond.yes>t other>t cond.no>f t>e";
    check_fifo("s:start c1 other cond:cond t f e:end", edges, "cond=Y", "s c1 other cond t e | completed");
}

#[test]
fn a_condition_waits_like_every_other_node() {
    let edges = "s>a s>b0 b0>b a>cond b>cond cond.yes>both cond.no>notyet";
    check_fifo("s:start a b0 b cond:cond both:end notyet", edges, "cond=Y", "s a b0 b cond both | completed");
}

#[test]
fn a_node_that_nothing_feeds_runs_once() {
    check_fifo("s:start orphan mid e:end", "s>mid mid>e", "", "s orphan mid e | completed");
    check("a e:end", "a>e", "", "a e | completed");
}

#[test]
fn a_loop_goes_round_until_its_condition_says_so() {
    for condition in ["cond:cond", "cond:skip"] {
        let nodes = format!("s:start inc {condition} e:end");
        let edges = "s>inc inc>cond cond.no>inc cond.yes>e";
        check(&nodes, edges, "cond=NNY", "s inc cond inc cond inc cond e | completed");
    }
}

#[test]
fn a_loop_is_entered_through_first() {
    let edges = "s>p.first p>cond cond.no>p cond.yes>e";
    check("s:start p:person=2 cond:cond e:end", edges, "cond=NY", "s p cond p cond e | completed");
}

#[test]
fn a_merge_in_a_loop_waits_in_each_round_for_the_branch_taken_in_it() {
    let edges = "s>head head>odd odd.yes>left odd.no>right left>merge right>merge merge>done done.no>head done.yes>e";
    check(
        "s:start head odd:cond left right merge done:cond e:end",
        edges,
        "odd=YNYN done=NNNY",
        "s head odd left merge done head odd right merge done head odd left merge done head odd right merge done e | completed",
    );
}

#[test]
fn a_join_in_a_loop_waits_for_an_optional_arm_only_when_it_is_taken() {
    let edges = "s>head head>plain head>even even.yes>extra1 extra1>extra2 plain>join extra2>join join>done \
        done.no>head done.yes>e";
    check(
        "s:start head plain even:cond extra1 extra2 join done:cond e:end",
        edges,
        "even=NYNY done=NNNY",
        "s head even plain join done head even plain extra1 extra2 join done head even plain join done \
         head even plain extra1 extra2 join done e | completed",
    );
}

#[test]
fn an_inner_loop_turns_in_each_round_of_the_outer_one() {
    let edges = "s>outer outer>inner inner>id id.no>inner id.yes>od od.no>outer od.yes>e";
    check(
        "s:start outer inner id:cond od:cond e:end",
        edges,
        "id=NNYNNY od=NY",
        "s outer inner id inner id inner id od outer inner id inner id inner id od e | completed",
    );
}

const TWO_BODIES: (&str, &str) =
    ("s:start p w c:cond again e:end", "s>p s>w p>c w>c c.no>again again>p again>w c.yes>e");

#[test]
fn two_bodies_of_one_loop_do_not_wait_for_each_other() {
    let expected = "s p w c again p w c again p w c e | completed";
    check_fifo(TWO_BODIES.0, TWO_BODIES.1, "c=NNY", expected);
    check_counts(TWO_BODIES.0, TWO_BODIES.1, "c=NNY", "s1 p3 w3 c3 again2 e1 | completed");
}

#[test]
fn what_could_come_from_an_outer_round_is_not_waited_for_inside() {
    let nodes = "s:start outer p w inner:cond again done:cond next e:end";
    let edges = "s>outer next>outer outer>p outer>w p>inner w>inner inner.no>again again>p again>w inner.yes>done \
        done.no>next done.yes>e";
    let expected = "s outer p w inner again p w inner done next outer p w inner again p w inner done e | completed";
    check_fifo(nodes, edges, "inner=NYNY done=NY", expected);
}

#[test]
fn a_node_behind_a_loop_waits_until_the_loop_has_ended() {
    let nodes = "s:start q p w c:cond again m e:end";
    let edges = "s>q s>p s>w p>c w>c c.no>again again>p again>w q>m c.yes>m m>e";
    check_fifo(nodes, edges, "c=NNY", "s q p w c again p w c again p w c m e | completed");
    check_counts(nodes, edges, "c=NNY", "s1 q1 p3 w3 c3 again2 m1 e1 | completed");
}

#[test]
fn a_header_that_holds_a_token_of_the_next_round_holds_up_nobody_in_this_one() {
    let nodes = "s:start v:person=3 x p k:cond q y e:end";
    let edges = "s>v v>x v>k v>p k.yes>q q>y p>y x>v y>v y>e";
    check_counts(nodes, edges, "k=N", "s1 v3 x3 p3 k3 y3 e3 | completed");
}

#[test]
fn the_edge_of_a_skippable_condition_is_not_waited_for() {
    let nodes = "s:start a b1 b2 skip:skip keep:cond v w e:end";
    let edges = "s>a a>b1 b1>b2 b2>skip b2>keep a>v skip.yes>v a>w keep.yes>w w>e";
    check_fifo(nodes, edges, "skip=Y keep=Y", "s a b1 v b2 skip keep v w e | completed");
    // With no other source the edge is all there is to wait for.
    check("s:start c:skip v:end", "s>c c.yes>v c.no>v", "c=N", "s c v | completed");
}

const DEBATE: (&str, &str) = (
    "s:start load opt:person=2 pes:person=3 judge:person=1 detect:cond save:end",
    "s>load load>opt.first load>pes.first opt>pes pes>detect detect.no>opt detect.yes>judge judge>save",
);

#[test]
fn the_debate_uses_up_its_rounds_in_every_timing() {
    let expected = "s load opt pes detect pes opt detect pes detect judge save | completed";
    check_fifo(DEBATE.0, DEBATE.1, "detect=NNY", expected);
    check_counts(DEBATE.0, DEBATE.1, "detect=NNY", "s1 load1 opt2 pes3 judge1 detect3 save1 | completed");
}

#[test]
fn an_exhausted_person_never_fires_again() {
    let edges = "s>p p>cond cond.no>p cond.yes>e";
    let expected = "s p cond p cond | no endpoint cond>p Exhausted { max_iteration: 2 }";
    check("s:start p:person=2 cond:cond e:end", edges, "cond=N", expected);
}

#[test]
fn a_default_token_before_the_first_one_serves_the_second_run() {
    let nodes = "s:start early slow1 slow2 p:person=2 e:end";
    let edges = "s>early s>slow1 slow1>slow2 slow2>p.first early>p p>e";
    check_fifo(nodes, edges, "", "s early slow1 slow2 p p e e | completed");
}

#[test]
fn a_person_whose_first_token_never_comes_does_not_run() {
    let nodes = "s:start cond:cond p:person=2 e:end e2:end";
    let edges = "s>cond s>p cond.yes>p.first cond.no>e2 p>e";
    check(nodes, edges, "cond=N", "s cond e2 | completed");
    let edges = "s>cond s>p cond.yes>p.first p>e";
    check("s:start cond:cond p:person=2 e:end", edges, "cond=N", "s cond | no endpoint s>p BeforeFirst");
}

#[test]
fn what_was_left_over_is_known_at_the_end() {
    let sketch = Sketch::read("s:start a p:person=3 b:start c", "s>p.first s>a a>c c>p.first p>b");
    let mut schedule = Schedule::new(sketch.graph.clone(), Limits::default());
    // p waits for c and takes both tokens at once, so its edge has to come later than its first run.
    let said = Drive::new(&sketch, "").run(&mut schedule, Timing::Fifo);
    assert_eq!(said, "s a c p b | completed");
    assert_eq!(schedule.waiting_tokens(), []);

    let sketch = Sketch::read("s:start p:person=3 c:cond x", "s>p.first p>c c.no>p.first c.yes>x");
    let mut schedule = Schedule::new(sketch.graph.clone(), Limits::default());
    let said = Drive::new(&sketch, "c=N").run(&mut schedule, Timing::Fifo);
    assert_eq!(said, "s p c | completed");
    assert_eq!(schedule.waiting_tokens(), [WaitingToken { edge: 2, node: 1, why: Unused::AfterFirst }]);
    assert_eq!(schedule.maxiter_reached(), [0; 0]);

    let sketch = Sketch::read("s:start p:person=2 c:cond", "s>p p>c c.no>p");
    let mut schedule = Schedule::new(sketch.graph.clone(), Limits::default());
    Drive::new(&sketch, "c=N").run(&mut schedule, Timing::Fifo);
    assert_eq!(schedule.maxiter_reached(), [1]);
}

#[test]
fn a_token_that_replaces_an_unused_one_is_reported() {
    let nodes = "s:start a c:cond slow x e:end";
    // `x` needs `slow`, which nothing brings before the loop has ended: each round replaces its token.
    let edges = "s>a a>c c.no>a c.yes>slow a>x slow>x x>e";
    check(nodes, edges, "c=NNY", "s a c a (a>x) c a (a>x) c slow x e | completed");
}

#[test]
fn a_continued_failure_flows_on_the_error_handle_alone() {
    let nodes = "s:start good bad never join e:end";
    let edges = "s>good s>bad good>join bad.err>join bad>never join>e";
    check(nodes, edges, "bad=E", "s good bad join e | completed");
    check(nodes, edges, "bad=X", "s good bad never join e | completed");
    check(
        "s:start good bad join e:end",
        "s>good s>bad good>join bad>join join>e",
        "bad=E",
        "s good bad join e | completed",
    );
}

#[test]
fn a_failure_ends_the_run_at_once() {
    check_fifo("s:start boom after e:end", "s>boom boom>after after>e", "boom=F", "s boom | failed at boom");
    let sketch = Sketch::read("s:start a b j", "s>a s>b a>j b>j");
    let mut schedule = Schedule::new(sketch.graph.clone(), Limits::default());
    schedule.step(Input::Started);
    schedule.step(Input::NodeDone { node: 0, published: Published::Normal });
    assert_eq!(schedule.step(Input::NodeFailed { node: 1 }), [Action::Finish(Ending::Failed { node: 1 })]);
    assert_eq!(schedule.running().collect::<Vec<_>>(), [2], "what is left to cancel");
    for input in [Input::NodeDone { node: 2, published: Published::Normal }, Input::Cancelled, Input::Release] {
        assert_eq!(schedule.step(input), []);
    }
}

#[test]
fn an_abort_ends_the_run_at_once() {
    let sketch = Sketch::read("s:start a", "s>a");
    let mut schedule = Schedule::new(sketch.graph.clone(), Limits::default());
    schedule.step(Input::Started);
    assert_eq!(schedule.step(Input::Cancelled), [Action::Finish(Ending::Cancelled)]);
    assert_eq!(schedule.step(Input::NodeDone { node: 0, published: Published::Normal }), []);
    assert!(schedule.has_ended());
}

#[test]
fn while_held_nothing_starts_but_a_run_with_nothing_left_to_do_ends() {
    let sketch = Sketch::read("s:start a", "s>a");
    let done = |node| Input::NodeDone { node, published: Published::Normal };
    let mut schedule = Schedule::new(sketch.graph.clone(), Limits::default());
    schedule.step(Input::Started);
    assert_eq!(schedule.step(Input::Hold), []);
    assert_eq!(schedule.step(done(0)), []);
    assert_eq!(schedule.step(Input::Release), [Action::Start { node: 1, iteration: 1, edges: vec![0] }]);
    assert_eq!(schedule.step(Input::Hold), []);
    assert_eq!(schedule.step(done(1)), [Action::Finish(Ending::Completed)]);
}

#[test]
fn the_limit_of_a_node_names_the_loop() {
    let edges = "s>inc inc>cond cond.no>inc cond.yes>e";
    let nodes = "s:start inc cond:cond e:end";
    check_counts(nodes, edges, "cond=N", "s1 inc100 cond100 | iteration limit at inc: inc cond x100");
    check_counts("s:start a b", "s>a s>b a>b b>a", "", "s1 a100 b100 | iteration limit at a: a b x100");
    let sketch = Sketch::read("s:start inc cond:cond x", "s>inc inc>cond cond.no>inc inc>x");
    let limits = Limits { node_iterations: 3, ..Limits::default() };
    let said = run(&sketch, "cond=N", limits, Timing::Lifo);
    assert!(said.ends_with("iteration limit at inc: inc cond x3"), "{said}");
}

#[test]
fn the_limit_of_a_run_names_the_loop() {
    let sketch = Sketch::read("s:start inc cond:cond e:end", "s>inc inc>cond cond.no>inc cond.yes>e");
    let limits = Limits { node_executions: 6, ..Limits::default() };
    let expected = "s inc cond inc cond inc | node limit at cond: inc cond x3";
    assert_eq!(run(&sketch, "cond=N", limits, Timing::Fifo), expected);
    let exactly = Limits { node_executions: 8, ..Limits::default() };
    assert_eq!(run(&sketch, "cond=NNY", exactly, Timing::Fifo), "s inc cond inc cond inc cond e | completed");
    let sketch = Sketch::read("s:start a b", "s>a a>b");
    let limits = Limits { node_executions: 2, ..Limits::default() };
    assert_eq!(run(&sketch, "", limits, Timing::Fifo), "s a | node limit at b:  x0");
}

#[test]
fn a_person_may_use_up_its_max_iteration_beyond_the_limit_of_a_node() {
    let sketch = Sketch::read("s:start p:person=5 c:cond", "s>p p>c c.no>p");
    let limits = Limits { node_iterations: 3, ..Limits::default() };
    assert_eq!(run(&sketch, "c=N", limits, Timing::Fifo), "s p c p c p c p | iteration limit at c: p c x4");
}

#[test]
fn raised_limits_let_a_long_loop_complete() {
    let sketch = Sketch::read("s:start inc cond:cond e:end", "s>inc inc>cond cond.no>inc cond.yes>e");
    let limits = Limits { node_executions: 2_000, node_iterations: 200, parallel: 20 };
    let outcomes = format!("cond={}Y", "N".repeat(149));
    assert!(run(&sketch, &outcomes, limits, Timing::Fifo).ends_with("cond e | completed"));
}

#[test]
fn no_more_nodes_run_at_once_than_may() {
    let sketch = Sketch::read("s:start a b c", "s>a s>b s>c");
    for parallel in [0, 1] {
        let limits = Limits { parallel, ..Limits::default() };
        let mut schedule = Schedule::new(sketch.graph.clone(), limits);
        assert_eq!(schedule.step(Input::Started).len(), 1);
        assert_eq!(schedule.step(Input::NodeDone { node: 0, published: Published::Normal }).len(), 1);
    }
    let mut schedule = Schedule::new(sketch.graph.clone(), Limits { parallel: 2, ..Limits::default() });
    schedule.step(Input::Started);
    assert_eq!(schedule.step(Input::NodeDone { node: 0, published: Published::Normal }).len(), 2);
}

#[test]
fn hook_starts_fire_without_an_event_only_if_there_is_no_other_start() {
    check_fifo("h:hook a", "h>a", "", "h a | completed");
    check_fifo("h:hook s:start a b", "h>a s>b", "", "s b | completed");
    let sketch = Sketch::read("h:hook g:hook s:start a", "h>a g>a s>a");
    let mut schedule = Schedule::for_event(sketch.graph.clone(), Limits::default(), &[1]);
    assert_eq!(Drive::new(&sketch, "").run(&mut schedule, Timing::Fifo), "g s a | completed");
}

#[test]
fn a_graph_without_nodes_completes() {
    check("", "", "", " | completed");
}

#[test]
fn why_a_node_waits_can_be_asked() {
    let sketch = Sketch::read("s:start a b j", "s>a s>b a>j b>j");
    let mut schedule = Schedule::new(sketch.graph.clone(), Limits::default());
    schedule.step(Input::Started);
    schedule.step(Input::NodeDone { node: 0, published: Published::Normal });
    assert_eq!(schedule.awaited_edges(3), [0; 0]);
    schedule.step(Input::NodeDone { node: 1, published: Published::Normal });
    assert_eq!(schedule.awaited_edges(3), [3]);
}

#[test]
fn a_completion_of_a_node_that_does_not_run_changes_nothing() {
    let sketch = Sketch::read("s:start a", "s>a");
    let mut schedule = Schedule::new(sketch.graph.clone(), Limits::default());
    schedule.step(Input::Started);
    assert_eq!(schedule.step(Input::NodeDone { node: 1, published: Published::Normal }), []);
    assert_eq!(schedule.waiting_tokens(), []);
}
