//! `condition`: decides on which branch its input goes on, unchanged (diagrams.md 2.5, 3.10).

mod decision;

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use self::decision::{Decision, Judgement};
use super::code_job::values;
use super::{
    Effect, FieldSpec, Fields, Names, Node, NodeContext, NodeType, Outcome, Output, Preset, Published, Question, Retry,
    Shape, Traits,
};
use crate::diagram::{Diagnostic, Diagram, NodeKind, TreeKind};
use crate::error::Error;
use crate::limits;

pub(super) static TYPE: NodeType = NodeType {
    kind: NodeKind::Condition,
    summary: "Sends its input on along one of two branches.",
    fields: &[
        FieldSpec::new(
            "condition_type",
            Shape::Choice(&["custom", "detect_max_iterations", "check_nodes_executed", "llm_decision"]),
            "How to decide; `custom` with an `expression`, if absent.",
        ),
        FieldSpec::new("expression", Shape::Text, "A Python expression over the inputs; its truth decides."),
        FieldSpec::new("node_indices", Shape::Texts, "Labels or ids of the nodes to look at."),
        FieldSpec::new("person", Shape::Person, "Who decides an `llm_decision`."),
        FieldSpec::new("judge_by", Shape::Template, "What an `llm_decision` asks."),
        FieldSpec::new("judge_by_file", Shape::Path, "A file with what an `llm_decision` asks."),
        FieldSpec::new("memorize_to", Shape::Text, "Which messages the deciding person sees."),
        FieldSpec::new("at_most", Shape::Whole(1), "How many messages the deciding person sees."),
        FieldSpec::new("on_unclear", Shape::Any, "What an unclear answer counts as: `fail`, true or false."),
        FieldSpec::new("budget", Shape::Map, "What its model calls may spend: `{usd, tokens, calls, seconds}`."),
        FieldSpec::new("expose_index_as", Shape::Text, "A variable that holds how often this condition ran before."),
        FieldSpec::new("skippable", Shape::Bool, "Do not wait for this condition if another source is there.")
            .or(Preset::Bool(false)),
    ],
    read,
};

struct Condition {
    rule: Rule,
    /// The variable that holds how often this condition ran before.
    expose_index_as: Option<String>,
    skippable: bool,
}

enum Rule {
    Expression(String),
    /// True when each of these persons that has started has used up its executions: position in the
    /// diagram and `max_iteration`.
    Exhausted(Vec<(usize, u32)>),
    /// True when each of these nodes has completed.
    Executed(Vec<usize>),
    /// A person decides.
    Judged(Box<Decision>),
    /// It could not be read; the diagram does not run.
    None,
}

fn read(fields: &mut Fields<'_>) -> Box<dyn Node> {
    let named =
        fields.choice("condition_type", &["custom", "detect_max_iterations", "check_nodes_executed", "llm_decision"]);
    let expression = fields.text_not_blank("expression");
    let judges = is_judged(fields);
    let kind = match named {
        Some(kind) => Some(kind),
        // A type that is not allowed has been reported; guessing another would report twice.
        None if fields.tree("condition_type").is_some() => None,
        None if expression.is_some() => Some("custom"),
        None if judges => Some("llm_decision"),
        None => {
            let node = fields.node();
            let message = format!("condition `{}` says nothing to decide by", node.label);
            let hint = "add `expression:`, e.g. `expression: n >= 3`, or another `condition_type` with its fields";
            fields.report(Diagnostic::new("E401", node.span, message).field("condition_type").hint(hint));
            None
        }
    };
    let nodes = fields.node_refs("node_indices");
    let rule = match kind {
        Some("custom") => read_expression(fields, expression),
        Some("detect_max_iterations") => Rule::Exhausted(watched(fields, nodes)),
        Some("check_nodes_executed") => {
            if fields.tree("node_indices").is_none_or(|it| it.items().is_empty() && it.as_text().is_none()) {
                fields.missing("node_indices");
            }
            Rule::Executed(nodes)
        }
        Some(_) => Rule::Judged(Box::new(Decision::read(fields))),
        None => Rule::None,
    };
    Box::new(Condition {
        rule,
        expose_index_as: fields.text_not_blank("expose_index_as"),
        skippable: fields.boolean("skippable", false),
    })
}

/// Whether fields of `llm_decision` are given; what else belongs to it is named, so that it is known.
fn is_judged(fields: &mut Fields<'_>) -> bool {
    for key in ["person", "memorize_to", "at_most", "on_unclear"] {
        fields.tree(key);
    }
    fields.text_not_blank("judge_by").is_some() | fields.text_not_blank("judge_by_file").is_some()
}

fn read_expression(fields: &mut Fields<'_>, expression: Option<String>) -> Rule {
    match expression {
        Some(expression) => {
            fields.check_expression("expression", &expression);
            Rule::Expression(expression)
        }
        None => {
            fields.missing("expression");
            Rule::None
        }
    }
}

/// Returns the person_jobs to watch: those named, else those on a loop with this condition, else all.
fn watched(fields: &Fields<'_>, named: Vec<usize>) -> Vec<(usize, u32)> {
    let diagram = fields.context().diagram;
    let is_person = |idx: &usize| diagram.nodes[*idx].kind == Some(NodeKind::PersonJob);
    let mut persons: Vec<usize> = named.into_iter().filter(is_person).collect();
    if persons.is_empty() {
        let after = reachable(diagram, fields.node_idx(), |it| (it.from, it.to));
        let before = reachable(diagram, fields.node_idx(), |it| (it.to, it.from));
        persons = after.intersection(&before).copied().filter(is_person).collect();
    }
    if persons.is_empty() {
        persons = (0..diagram.nodes.len()).filter(is_person).collect();
    }
    persons.into_iter().map(|idx| (idx, max_iteration(diagram, idx))).collect()
}

/// Returns every node that connections lead to from `start`, which itself counts only when they lead back.
fn reachable(
    diagram: &Diagram,
    start: usize,
    ends: impl Fn(&crate::diagram::Connection) -> (usize, usize),
) -> HashSet<usize> {
    let (mut found, mut open) = (HashSet::new(), vec![start]);
    while let Some(at) = open.pop() {
        for (from, to) in diagram.connections.iter().map(&ends) {
            if from == at && found.insert(to) {
                open.push(to);
            }
        }
    }
    found
}

/// Reads `max_iteration` of another node; what is wrong with it is reported where that node is read.
fn max_iteration(diagram: &Diagram, idx: usize) -> u32 {
    let written = match diagram.nodes[idx].field("max_iteration").map(|it| &it.kind) {
        Some(TreeKind::Number(number)) => number.as_f64(),
        Some(TreeKind::Text(text)) => text.trim().parse().ok(),
        _ => None,
    };
    match written {
        Some(number) if number >= 1.0 => number as u32,
        _ => limits::PERSON_ITERATIONS_DEFAULT,
    }
}

impl Node for Condition {
    fn effect(&self) -> Effect {
        if self.decision().is_some() { Effect::Outside } else { Effect::None }
    }

    fn traits(&self) -> Traits {
        Traits { skippable: self.skippable, ..Traits::default() }
    }

    fn timeout_default(&self) -> Option<f64> {
        self.decision().map(|_| limits::MODEL_TIMEOUT_S)
    }

    fn calls_models(&self) -> bool {
        self.decision().is_some()
    }

    fn retry_default(&self) -> Retry {
        if self.decision().is_some() { Retry::PROVIDER } else { Retry::NONE }
    }

    fn run<'a>(&'a self, cx: &'a NodeContext) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(async move {
            let mut output = Output { body: cx.names.inputs.passed_on(), ..Output::default() };
            if let Some(name) = &self.expose_index_as {
                output.exposed.insert(name.clone(), cx.iteration.saturating_sub(1).into());
            }
            let is_true = match &self.rule {
                Rule::Expression(expression) => {
                    let names = names_of_expression(&cx.names, &output.exposed);
                    let answer = cx.ports.code.evaluate(expression, &names).await?;
                    output.meta.insert("value".to_owned(), answer.value);
                    answer.truth
                }
                Rule::Exhausted(persons) => all_exhausted(persons, &cx.history.started),
                Rule::Executed(nodes) => nodes.iter().all(|idx| count(&cx.history.completed, *idx) > 0),
                Rule::Judged(decision) => match decision.ask(cx, &output.exposed).await? {
                    Judgement::Verdict(verdict) => verdict.into_output(&mut output),
                    Judgement::Asks(question) => return Ok(Outcome::Wait(question)),
                },
                Rule::None => return Err(Error::internal("a condition without a rule")),
            };
            Ok(decided(output, is_true))
        })
    }

    fn check_answer(&self, _question: &Question, answer: Value) -> Result<Value, Error> {
        match self.decision() {
            Some(decision) => decision.checked_answer(answer),
            None => Err(Error::internal("this condition asks no questions")),
        }
    }

    fn resume<'a>(
        &'a self,
        cx: &'a NodeContext,
        question: &'a Question,
        answer: Value,
    ) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(async move {
            let decision = self.decision().ok_or_else(|| Error::internal("this condition asks no questions"))?;
            let mut output = Output { body: cx.names.inputs.passed_on(), ..Output::default() };
            if let Some(name) = &self.expose_index_as {
                output.exposed.insert(name.clone(), cx.iteration.saturating_sub(1).into());
            }
            let is_true = decision.by_caller(cx, question, &answer)?.into_output(&mut output);
            Ok(decided(output, is_true))
        })
    }
}

impl Condition {
    fn decision(&self) -> Option<&Decision> {
        match &self.rule {
            Rule::Judged(decision) => Some(decision),
            Rule::Expression(_) | Rule::Exhausted(_) | Rule::Executed(_) | Rule::None => None,
        }
    }
}

/// The input goes on along the branch of the decision.
fn decided(mut output: Output, is_true: bool) -> Outcome {
    output.meta.insert("decision".to_owned(), is_true.into());
    output.published = if is_true { Published::True } else { Published::False };
    Outcome::Done(output)
}

/// Returns what an expression can name; JSON texts of objects and lists are those.
fn names_of_expression(names: &Names, exposed: &Map<String, Value>) -> Map<String, Value> {
    let mut all = Map::clone(&names.exposed);
    all.extend(exposed.clone());
    let names = Names { exposed: Arc::new(all), ..names.clone() };
    let mut bound = values(names.all(), true);
    bound.insert("inputs".to_owned(), Value::Object(values(names.inputs.to_map(), true)));
    bound.insert("globals".to_owned(), Value::Object(names.globals()));
    bound.insert("node_id".to_owned(), Value::String(names.node_id.to_string()));
    bound
}

/// Whether some of `persons` has started and each that has used up its executions.
fn all_exhausted(persons: &[(usize, u32)], started: &[u32]) -> bool {
    let mut begun = persons.iter().filter(|(idx, _)| count(started, *idx) > 0).peekable();
    begun.peek().is_some() && begun.all(|(idx, most)| count(started, *idx) >= *most)
}

fn count(counts: &[u32], idx: usize) -> u32 {
    counts.get(idx).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::context::History;
    use super::super::harness::{Harness, World, codes, connection, diagram, node};
    use super::super::ports::Truth;
    use super::*;

    fn custom(truth: Result<bool, Error>) -> Harness {
        let fields = json!({"expression": "k >= 2", "expose_index_as": "k", "skippable": true});
        let harness = Harness::new(NodeKind::Condition, fields);
        let truth = truth.map(|truth| Truth { value: json!(truth), truth });
        harness.code.truths.lock().expect("free").push(truth);
        harness
    }

    #[tokio::test]
    async fn the_input_goes_on_unchanged_along_one_branch() {
        for (inputs, passed) in [
            (json!({"v": {"n": 1}}), json!({"n": 1})),
            (json!({"a": 1, "b": 2}), json!({"a": 1, "b": 2})),
            (json!({}), json!(null)),
        ] {
            for (truth, published) in [(true, Published::True), (false, Published::False)] {
                let harness = custom(Ok(truth)).inputs(inputs.clone());
                let output = harness.output().await.expect("it decides");
                assert_eq!((&*output.body, output.published), (&passed, published));
            }
        }
    }

    #[tokio::test]
    async fn the_index_is_exposed_and_wins_over_inputs_in_the_expression() {
        let mut harness = custom(Ok(true)).inputs(json!({"default": {"k": 10, "t": "[1]"}, "j": "{\"a\": 1}"}));
        harness.cx.iteration = 3;
        let output = harness.output().await.expect("it decides");
        assert_eq!(Value::Object(output.exposed), json!({"k": 2}));
        let names = harness.code.evaluated.lock().expect("free").remove(0);
        assert_eq!((&names["k"], &names["j"], &names["node_id"]), (&json!(2), &json!({"a": 1}), &json!("node_0")));
        assert_eq!(names["inputs"]["default"]["k"], json!(10));
        assert_eq!(names["globals"], json!({"k": 2}));
        assert!(harness.node.traits().skippable);
    }

    #[tokio::test]
    async fn a_failing_expression_fails_the_node() {
        let harness = custom(Err(Error::invalid("EXPRESSION_FAILED", "no")));
        assert_eq!(harness.output().await.expect_err("it is no false").code(), "EXPRESSION_FAILED");
    }

    /// Node 0 is the condition; 1 and 2 are on a loop with it, 3 is not.
    async fn exhausted(named: Value, started: [u32; 4]) -> Published {
        let mut diagram =
            diagram(NodeKind::Condition, json!({"condition_type": "detect_max_iterations", "node_indices": named}));
        for (idx, most) in [(1, json!(2)), (2, json!("3")), (3, json!(1))] {
            diagram.nodes.push(node(idx, NodeKind::PersonJob, json!({"max_iteration": most})));
        }
        diagram.connections = vec![connection(0, 1), connection(1, 2), connection(2, 0), connection(3, 1)];
        let mut harness = Harness::in_diagram(&diagram, World::default());
        harness.cx.history = Arc::new(History { started: started.to_vec(), completed: vec![0; 4] });
        harness.output().await.expect("it decides").published
    }

    #[tokio::test]
    async fn max_iterations_look_at_the_persons_of_the_loop_that_have_started() {
        for (named, started, expected) in [
            (json!(null), [0, 0, 0, 0], Published::False),
            (json!(null), [0, 2, 0, 0], Published::True),
            (json!(null), [0, 2, 2, 0], Published::False),
            (json!(null), [0, 2, 3, 0], Published::True),
            (json!(null), [0, 0, 0, 1], Published::False),
            (json!(["node_3"]), [0, 1, 1, 1], Published::True),
        ] {
            assert_eq!(exhausted(named.clone(), started).await, expected, "{named} {started:?}");
        }
    }

    #[tokio::test]
    async fn executed_asks_for_a_completion_of_every_named_node() {
        let fields = json!({"condition_type": "check_nodes_executed", "node_indices": ["node_1", "node_2"]});
        let mut diagram = diagram(NodeKind::Condition, fields);
        diagram.nodes.extend([1, 2].map(|idx| node(idx, NodeKind::CodeJob, json!({}))));
        for (completed, expected) in [([0, 1, 0], Published::False), ([0, 1, 2], Published::True)] {
            let mut harness = Harness::in_diagram(&diagram, World::default());
            harness.cx.history = Arc::new(History { started: vec![0, 9, 9], completed: completed.to_vec() });
            assert_eq!(harness.output().await.expect("it decides").published, expected);
        }
    }

    #[test]
    fn diagnostics_name_each_mistake_once() {
        for (fields, expected) in [
            (json!({}), vec!["E401"]),
            (json!({"condition_type": "custom"}), vec!["E401"]),
            (json!({"expression": "BROKEN"}), vec!["E601"]),
            (json!({"condition_type": "custm", "expression": "x"}), vec!["E403"]),
            (json!({"condition_type": "check_nodes_executed"}), vec!["E401"]),
            (json!({"condition_type": "check_nodes_executed", "node_indices": ["ghost"]}), vec!["E507"]),
            (json!({"judge_by": "is it good?", "person": "P"}), vec!["E501"]),
            (json!({"condition_type": "llm_decision"}), vec!["E502", "E401"]),
            (json!({"condition_type": "detect_max_iterations"}), vec![]),
        ] {
            assert_eq!(codes(NodeKind::Condition, fields.clone()), expected, "{fields}");
        }
    }
}
