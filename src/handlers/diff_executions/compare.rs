//! Compares two stories: where they part, and what each node did. Pure.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::excerpt::{beginning, excerpts};
use super::story::{Outcome, Step, Story, Told};
use super::{Divergence, NodeDifference, NodeSide, Response, StepTexts};
use crate::nodes::Published;

/// Most nodes that are listed.
const NODES_MAX: usize = 100;
/// Characters of texts that the list of nodes may hold; later nodes say only what differs.
const TEXTS_CHARS_MAX: usize = 8_000;

/// Two stories, compared.
pub(super) struct Stories {
    /// Whether both came to the same end by the same steps.
    pub is_equal: bool,
    pub response: Response,
}

type Key<'s> = (&'s str, u32);
type Steps<'s> = HashMap<Key<'s>, &'s Step>;

/// Compares two stories.
pub(super) fn stories(a: &Story, b: &Story) -> Stories {
    let (steps_a, steps_b) = (by_key(a), by_key(b));
    let first_divergence = first_divergence(a, b, (&steps_a, &steps_b));
    let mut nodes: Vec<NodeDifference> = labels(a, b).map(|it| node(it, (a, b), (&steps_a, &steps_b))).collect();
    let is_equal = first_divergence.is_none()
        && a.compared.status == b.compared.status
        && nodes.iter().all(|it| it.differs.is_empty());
    let nodes_left_out = nodes.len().saturating_sub(NODES_MAX);
    if nodes_left_out > 0 {
        // The sort is stable: those that differ come first, in file order.
        nodes.sort_by_key(|it| it.differs.is_empty());
        nodes.truncate(NODES_MAX);
    }
    keep_within(&mut nodes);
    let (a, b) = (a.compared.clone(), b.compared.clone());
    Stories { is_equal, response: Response { a, b, first_divergence, nodes, nodes_left_out, ..Response::default() } }
}

fn by_key(story: &Story) -> Steps<'_> {
    story.steps.iter().map(|it| ((it.label.as_str(), it.iteration), it)).collect()
}

/// The labels of both, those of A first, of B those that A has not.
fn labels<'s>(a: &'s Story, b: &'s Story) -> impl Iterator<Item = &'s str> {
    let of_a: HashSet<&str> = a.nodes.iter().map(|it| it.label.as_str()).collect();
    let ran = |it: &&Told| it.runs > 0;
    let only_b = b.nodes.iter().map(|it| it.label.as_str()).filter(move |it| !of_a.contains(it));
    let has_run: HashSet<&str> = a.nodes.iter().chain(&b.nodes).filter(ran).map(|it| it.label.as_str()).collect();
    a.nodes.iter().map(|it| it.label.as_str()).chain(only_b).filter(move |it| has_run.contains(it))
}

/// The first step that differs, by its place in the log of the side that has it; A's when both come at once.
fn first_divergence(a: &Story, b: &Story, (in_a, in_b): (&Steps<'_>, &Steps<'_>)) -> Option<Divergence> {
    let of_a = a.steps.iter().position(|it| !differences(Some(it), in_b.get(&key(it)).copied()).is_empty());
    let only_b = b.steps.iter().position(|it| !in_a.contains_key(&key(it)));
    let step = match (of_a, only_b) {
        (Some(at_a), Some(at_b)) if at_b < at_a => &b.steps[at_b],
        (Some(at_a), _) => &a.steps[at_a],
        (None, Some(at_b)) => &b.steps[at_b],
        (None, None) => return None,
    };
    let (a, b) = (in_a.get(&key(step)).copied(), in_b.get(&key(step)).copied());
    let (text_a, text_b) = texts(a, b);
    Some(Divergence {
        node: step.label.clone(),
        iteration: step.iteration,
        differs: differences(a, b).into_iter().map(str::to_owned).collect(),
        a: a.map(|_| text_a),
        b: b.map(|_| text_b),
    })
}

fn key(step: &Step) -> Key<'_> {
    (&step.label, step.iteration)
}

/// What of two steps differs; nothing when neither is there.
fn differences(a: Option<&Step>, b: Option<&Step>) -> Vec<&'static str> {
    let (a, b) = match (a, b) {
        (Some(a), Some(b)) => (a, b),
        (None, None) => return Vec::new(),
        _ => return vec!["missing"],
    };
    let mut differs = Vec::new();
    if a.prompt != b.prompt {
        differs.push("prompt");
    }
    match (&a.outcome, &b.outcome) {
        (Outcome::Value(a, branch_a), Outcome::Value(b, branch_b)) => {
            if a != b {
                differs.push("output");
            }
            if branch_a != branch_b {
                differs.push("branch");
            }
        }
        (Outcome::Failed(a), Outcome::Failed(b)) if error_text(a) == error_text(b) => {}
        _ => differs.push("error"),
    }
    differs
}

/// The texts of both steps where they differ.
fn texts(a: Option<&Step>, b: Option<&Step>) -> (StepTexts, StepTexts) {
    let (mut shown_a, mut shown_b) = (StepTexts::default(), StepTexts::default());
    let differs = differences(a, b);
    let differs = |what| differs.contains(&what) || differs.contains(&"missing");
    if differs("prompt") {
        (shown_a.prompt, shown_b.prompt) = pair(a.and_then(|it| it.prompt.clone()), b.and_then(|it| it.prompt.clone()));
    }
    if differs("output") || differs("error") {
        (shown_a.output, shown_b.output) = pair(a.and_then(output_text), b.and_then(output_text));
        (shown_a.error, shown_b.error) = pair(a.and_then(failure_text), b.and_then(failure_text));
    }
    if differs("branch") {
        (shown_a.branch, shown_b.branch) = (a.and_then(branch), b.and_then(branch));
    }
    (shown_a, shown_b)
}

fn pair(a: Option<String>, b: Option<String>) -> (Option<String>, Option<String>) {
    match (a, b) {
        (Some(a), Some(b)) => {
            let (a, b) = excerpts(&a, &b);
            (Some(a), Some(b))
        }
        (a, b) => (a.map(|it| beginning(&it)), b.map(|it| beginning(&it))),
    }
}

fn output_text(step: &Step) -> Option<String> {
    match &step.outcome {
        Outcome::Value(value, _) => Some(text_of(value)),
        Outcome::Failed(_) => None,
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn failure_text(step: &Step) -> Option<String> {
    match &step.outcome {
        Outcome::Value(..) => None,
        Outcome::Failed(error) => Some(error_text(error)),
    }
}

/// Code and message: the rest of an error object is about when and where.
fn error_text(error: &Value) -> String {
    let part = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
    format!("{}: {}", part("code"), part("message"))
}

/// Only a condition has branches.
fn branch(step: &Step) -> Option<String> {
    let word = match &step.outcome {
        Outcome::Value(_, Published::True) => "true",
        Outcome::Value(_, Published::False) => "false",
        _ => return None,
    };
    Some(word.to_owned())
}

fn node(label: &str, (a, b): (&Story, &Story), (in_a, in_b): (&Steps<'_>, &Steps<'_>)) -> NodeDifference {
    let told = |story: &'_ Story| story.nodes.iter().find(|it| it.label == label).cloned();
    let (told_a, told_b) = (told(a), told(b));
    let runs = |it: &Option<Told>| it.as_ref().map_or(0, |it| it.runs);
    let first = (1..=runs(&told_a).max(runs(&told_b)))
        .map(|n| (n, in_a.get(&(label, n)).copied(), in_b.get(&(label, n)).copied()))
        .find(|(_, a, b)| !differences(*a, *b).is_empty());
    let mut differs = Vec::new();
    if told_a.as_ref().map(|it| it.status) != told_b.as_ref().map(|it| it.status) {
        differs.push("status");
    }
    if runs(&told_a) != runs(&told_b) {
        differs.push("runs");
    }
    let (mut text_a, mut text_b) = (StepTexts::default(), StepTexts::default());
    if let Some((_, a, b)) = first {
        differs.extend(differences(a, b));
        (text_a, text_b) = texts(a, b);
    }
    NodeDifference {
        node: label.to_owned(),
        differs: differs.into_iter().map(str::to_owned).collect(),
        iteration: first.map(|(n, ..)| n),
        a: told_a.map(|it| side(it, a, text_a)),
        b: told_b.map(|it| side(it, b, text_b)),
    }
}

fn side(told: Told, story: &Story, texts: StepTexts) -> NodeSide {
    let of_node = story.steps.iter().filter(|it| it.label == told.label).filter_map(|it| it.duration_ms);
    NodeSide {
        status: told.status.to_owned(),
        runs: told.runs,
        duration_ms: of_node.reduce(i64::saturating_add),
        tokens: told.usage.map(|it| it.total).filter(|it| *it > 0),
        cost_usd: told.usage.and_then(|it| it.cost_usd),
        texts,
    }
}

/// Drops the texts of later nodes when those of earlier ones fill the list.
fn keep_within(nodes: &mut [NodeDifference]) {
    let mut used = 0;
    for node in nodes {
        for side in [&mut node.a, &mut node.b].into_iter().flatten() {
            let texts = &side.texts;
            let all = [&texts.prompt, &texts.output, &texts.error];
            used += all.into_iter().flatten().map(|it| it.chars().count()).sum::<usize>();
            if used > TEXTS_CHARS_MAX {
                side.texts = StepTexts { branch: side.texts.branch.take(), ..StepTexts::default() };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::engine::Status;
    use crate::handlers::diff_executions::Compared;

    /// A story in short: `a=1` a node with its value, `a?hi=1` with a prompt, `c+1` and `c-1` a condition that
    /// takes a branch, `a!E` one that fails. A second run of a node is its second mention.
    fn story(text: &str) -> Story {
        let mut steps: Vec<Step> = Vec::new();
        for word in text.split_whitespace() {
            let at = word.find(['=', '+', '-', '!']).expect("an end");
            let (name, rest) = word.split_at(at);
            let (label, prompt) = name.split_once('?').map_or((name, None), |(label, it)| (label, Some(it.to_owned())));
            let value = |published| Outcome::Value(Arc::new(json!(&rest[1..])), published);
            let outcome = match &rest[..1] {
                "+" => value(Published::True),
                "-" => value(Published::False),
                "!" => Outcome::Failed(json!({"code": &rest[1..], "message": "it failed", "attempts": steps.len()})),
                _ => value(Published::Normal),
            };
            let iteration = 1 + steps.iter().filter(|it| it.label == label).count() as u32;
            steps.push(Step { label: label.to_owned(), iteration, outcome, prompt, duration_ms: Some(1) });
        }
        let mut nodes: Vec<Told> = Vec::new();
        for step in &steps {
            match nodes.iter_mut().find(|it| it.label == step.label) {
                Some(told) => told.runs += 1,
                None => nodes.push(Told { label: step.label.clone(), status: "completed", runs: 1, usage: None }),
            }
        }
        let compared = Compared { status: Some(Status::Completed), ..Compared::default() };
        Story { compared, nodes, steps }
    }

    #[test]
    fn two_executions_part_where_the_first_step_differs() {
        for (a, b, expected) in [
            ("s=1 a=1 b=2", "s=1 a=1 b=2", ""),
            ("s=1 a=1 b=2", "s=1 a=9 b=8", "a 1 output"),
            ("s=1 a?x=1 b=2", "s=1 a?y=1 b=2", "a 1 prompt"),
            ("s=1 a?x=1 b=2", "s=1 a?y=3 b=2", "a 1 prompt output"),
            ("c-1 a=1 c+1", "c-1 a=1 c-1", "c 2 branch"),
            ("s=1 a=1 a=2 a=3", "s=1 a=1 a=2 a=4", "a 3 output"),
            ("s=1 a=1", "s=1 a!BAD", "a 1 error"),
            ("s=1 a!BAD", "s=1 x=1 a!BAD", "x 1 missing"),
            ("s=1 a!BAD", "s=1 a!WORSE", "a 1 error"),
            ("s=1 a=1 b=1", "s=1 b=1", "a 1 missing"),
            ("s=1 b=1", "s=1 a=1 b=1", "a 1 missing"),
            ("s=1 a=1 b=2", "s=1 b=2 a=1", ""),
            ("s=1 a=1 b=2", "s=1 b=2 a=1 n=1", "n 1 missing"),
            ("s=1 a=1 b=2", "s=1 n=1 a=1 b=3", "n 1 missing"),
            ("", "", ""),
        ] {
            let compared = stories(&story(a), &story(b));
            let shown = compared.response.first_divergence.as_ref();
            let shown = shown.map(|it| format!("{} {} {}", it.node, it.iteration, it.differs.join(" ")));
            assert_eq!(shown.clone().unwrap_or_default(), expected, "{a} | {b}");
            assert_eq!(compared.is_equal, shown.is_none(), "{a} | {b}");
        }
    }

    #[test]
    fn each_node_says_what_differs_and_shows_nothing_else() {
        let nodes = stories(&story("s=1 a?x=1 a=2 c+1"), &story("s=1 a?x=1 a=3 a=4 c-1 n=1")).response.nodes;
        let shown: Vec<String> =
            nodes.iter().map(|it| format!("{} {} {:?}", it.node, it.differs.join(","), it.iteration)).collect();
        assert_eq!(shown, ["s  None", "a runs,output Some(2)", "c branch Some(1)", "n status,runs,missing Some(1)"]);
        let a = &nodes[1];
        let texts = |it: &Option<NodeSide>| it.as_ref().map(|it| it.texts.clone()).unwrap_or_default();
        assert_eq!(texts(&a.a), StepTexts { output: Some("2".into()), ..StepTexts::default() });
        assert_eq!(texts(&a.b), StepTexts { output: Some("3".into()), ..StepTexts::default() });
        assert_eq!(a.b.as_ref().and_then(|it| it.duration_ms), Some(3));
        assert_eq!(texts(&nodes[2].b).branch.as_deref(), Some("false"));
        assert_eq!(nodes[3].a, None);
    }

    #[test]
    fn the_answer_stays_short_however_much_differs() {
        let told = |end: &str| (0..300).map(|n| format!("n{n}={}{end} ", "x".repeat(390))).collect::<String>();
        let response = stories(&story(&told("a")), &story(&told("b"))).response;
        assert_eq!((response.nodes.len(), response.nodes_left_out), (NODES_MAX, 200));
        let n_chars = json!(response).to_string().len();
        assert!(n_chars < 30_000, "{n_chars}");
        assert!(response.nodes.iter().all(|it| it.differs == ["output"]));
    }

    #[test]
    fn nodes_that_differ_keep_their_place_among_too_many() {
        let told = |end: &str| (0..150).map(|n| format!("n{n}=1 ")).collect::<String>() + "last=" + end;
        let response = stories(&story(&told("1")), &story(&told("2"))).response;
        assert_eq!((response.nodes[0].node.as_str(), response.nodes_left_out), ("last", 51));
    }
}
