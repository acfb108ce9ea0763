//! Random small diagrams: a fork without changes from every round of a completed run ends as that run did, and
//! calls no model for what came before.

use std::collections::BTreeSet;

use dipeo::config::Environment;
use dipeo::engine::Event;
use dipeo::ids::ExecutionId;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::stand_in::{Bench, from};

/// Diagrams that are tried; `DIPEO_TEST_CASES` sets another number.
const DIAGRAMS: u32 = 24;

/// What stands for one node: its type, from where it is reached, and how a condition decides.
#[derive(Clone, Debug)]
struct Sketch {
    kind: u8,
    sources: Vec<(u8, bool)>,
    back_to: u8,
}

fn sketches() -> impl Strategy<Value = (bool, Vec<Sketch>)> {
    let sources = proptest::collection::vec((any::<u8>(), any::<bool>()), 1..3);
    let node = (0..10_u8, sources, any::<u8>()).prop_map(|(kind, sources, back_to)| Sketch { kind, sources, back_to });
    (any::<bool>(), proptest::collection::vec(node, 2..8))
}

/// A diagram without persons may have loops. What its nodes hear must not depend on who is ready first, so they run
/// one at a time.
fn diagram(has_loops: bool, sketches: &[Sketch]) -> String {
    let (mut nodes, mut connections) = (String::new(), BTreeSet::new());
    let is_condition = |n: usize| n > 0 && sketches[n - 1].kind < 3;
    for (n, sketch) in (1..).zip(sketches) {
        let mut heard = String::new();
        for (source, branch) in &sketch.sources {
            let source = usize::from(*source) % n;
            let handle = match (is_condition(source), branch) {
                (false, _) => "",
                (true, true) => "[condtrue]",
                (true, false) => "[condfalse]",
            };
            connections.insert(format!("- {{from: 'n{source}{handle}', to: n{n}, label: i{source}}}\n"));
            heard.push_str(&format!(" {{{{ i{source}|default('-') }}}}"));
        }
        nodes.push_str(&match sketch.kind {
            0..3 if has_loops => {
                let back = 1 + usize::from(sketch.back_to) % n;
                if !is_condition(back) {
                    connections.insert(format!("- {{from: 'n{n}[condfalse]', to: n{back}, label: back}}\n"));
                }
                format!("- {{label: n{n}, type: condition, expression: 'r{n} >= 1', expose_index_as: r{n}}}\n")
            }
            0..3 => format!("- {{label: n{n}, type: condition, expression: '{}'}}\n", sketch.back_to % 2),
            3..7 if !has_loops => format!(
                "- {{label: n{n}, type: person_job, person: P{}, default_prompt: 'n{n}{}', memorize_to: GOLDFISH, max_iteration: 3}}\n",
                n % 2,
                heard.replace("|default('-')", ""),
            ),
            _ => format!("- {{label: n{n}, type: template_job, template_content: \"n{n}:{heard}{{{{ back|default('')|length }}}}\"}}\n"),
        });
    }
    let connections: String = connections.into_iter().collect();
    let one_at_a_time = if has_loops { "settings: {max_parallel: 1}\n" } else { "" };
    format!(
        "version: light\n{one_at_a_time}persons:\n  P0: {{service: scripted}}\n  P1: {{service: scripted}}\nnodes:\n\
         - {{label: n0, type: start}}\n{nodes}connections:\n{connections}"
    )
}

#[test]
fn a_fork_without_changes_from_any_round_ends_as_the_run_did() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let bench = runtime.block_on(async { Bench::new() });
    let cases = Environment::of_process().get("DIPEO_TEST_CASES").and_then(|it| it.parse().ok()).unwrap_or(DIAGRAMS);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let n_forks = std::cell::Cell::new(0);
    let outcome = TestRunner::new(config).run(&sketches(), |(has_loops, sketches)| {
        n_forks.set(n_forks.get() + runtime.block_on(check(&bench, &diagram(has_loops, &sketches)))?);
        Ok(())
    });
    runtime.block_on(bench.close());
    outcome.expect("every fork ends as its run did");
    assert!(n_forks.get() > 50, "{} forks are no test", n_forks.get());
}

/// Forks a run of `text` from each of its rounds and returns how often.
async fn check(bench: &Bench, text: &str) -> Result<usize, TestCaseError> {
    let ran = bench.run(text).await;
    if ran.status.name() != "completed" {
        return Ok(0);
    }
    let id = ExecutionId::parse(&ran.execution_id).expect("an id");
    let rows = bench.app.store().expect("open").transitions(&id, 0, None).expect("readable");
    let mut rounds = Vec::new();
    for row in rows {
        if let Ok(Some(Event::NodeStarted(it))) = Event::parse(&row.phase, &row.payload) {
            rounds.push((row.node_id.expect("a node"), it.iteration, it.kind == "person_job"));
        }
    }
    for (at, (node, iteration, _)) in rounds.iter().enumerate() {
        let place = format!("{node}:{iteration}");
        let forked = bench.fork(from(&ran.execution_id, &place)).await.expect("it can be forked");
        prop_assert_eq!(&forked.outputs, &ran.outputs, "from {} of\n{}", place, text);
        prop_assert_eq!(forked.status.name(), "completed");
        let n_calls = bench.calls().split_whitespace().count();
        let n_after = rounds[at..].iter().filter(|(.., is_person)| *is_person).count();
        prop_assert!(n_calls <= n_after, "{} calls from {} of\n{}", n_calls, place, text);
    }
    Ok(rounds.len())
}
