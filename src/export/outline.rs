//! What the script's scheduler works on: nodes, edges with their loops, limits; the persons; the inputs.

use serde_json::{Map, Value, json};

use super::Export;
use super::nodes::Call;
use crate::compile::{Plan, PlanNode, Rank};
use crate::diagram::model::WhenExhausted;
use crate::diagram::{ContentType, InputDeclaration, Person, Service};
use crate::limits;
use crate::nodes::{Backoff, OnError};

/// Why the diagram as a whole has no equal script.
pub(super) fn reasons(export: &Export<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    if export.plan.settings.budget.is_some() {
        reasons.push("the diagram: `settings.budget` is kept by dipeo only".to_owned());
    }
    for person in export.plan.persons.iter().filter(|it| it.budget.is_some()) {
        reasons.push(format!("person `{}`: `budget` is kept by dipeo only", person.label));
    }
    for node in export.plan.nodes.iter().filter(|it| it.policy.budget.is_some()) {
        reasons.push(format!("node `{}`: `budget` is kept by dipeo only", node.label));
    }
    if export.plan.edges.iter().any(|it| it.content_type == Some(ContentType::Binary)) {
        reasons.push("the diagram: a connection of type `binary` needs dipeo's store of bytes".to_owned());
    }
    reasons
}

/// Nodes, edges, loops and limits.
pub(super) fn plan(export: &Export<'_>, calls: &[Call]) -> Value {
    let plan = export.plan;
    let nodes: Vec<Value> = calls.iter().enumerate().map(|(idx, call)| node(plan, idx, call)).collect();
    let edges: Vec<Value> = (0..plan.edges.len()).map(|idx| edge(plan, idx)).collect();
    let loops: Vec<Value> =
        plan.graph.loops().iter().map(|it| json!({"members": it.members, "back_edges": it.back_edges})).collect();
    json!({"nodes": nodes, "edges": edges, "loops": loops, "limits": limits_of(plan)})
}

fn limits_of(plan: &Plan) -> Value {
    let settings = &plan.settings;
    let mut limits = json!({
        "node_executions": settings.max_node_executions.unwrap_or(limits::NODE_EXECUTIONS_DEFAULT),
        "node_iterations": settings.max_node_iterations.unwrap_or(limits::NODE_ITERATIONS_DEFAULT),
        "parallel": settings.max_parallel.unwrap_or(limits::PARALLEL_DEFAULT),
    });
    if let Some(seconds) = settings.timeout {
        limits["timeout"] = json!(seconds);
    }
    limits
}

fn node(plan: &Plan, idx: usize, call: &Call) -> Value {
    let PlanNode { id, label, kind, policy, node } = &plan.nodes[idx];
    let traits = node.traits();
    let backoff = match policy.retry.backoff {
        Backoff::Exponential => "exponential",
        Backoff::Linear => "linear",
        Backoff::Fixed => "fixed",
    };
    let mut outline = json!({
        "id": &**id,
        "label": &**label,
        "type": kind.name(),
        "rank": rank(plan.graph.nodes[idx].rank),
        "continues": policy.on_error == OnError::Continue,
        "retry": {
            "max_attempts": policy.retry.max_attempts.min(limits::ATTEMPTS_MAX),
            "delay_ms": policy.retry.delay_ms,
            "backoff": backoff,
            "is_asked": policy.retry_given,
        },
    });
    let mut add = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            outline[key] = value;
        }
    };
    add("max_iteration", traits.max_iteration.map(Value::from));
    add("skippable", traits.skippable.then_some(true.into()));
    add("is_hook", plan.graph.nodes[idx].is_hook_start.then_some(true.into()));
    add("strict_templates", policy.strict_templates.then_some(true.into()));
    add("timeout", policy.timeout.map(|it| json!(it.as_secs_f64())));
    add("is_slow", call.is_slow.then_some(true.into()));
    outline
}

fn rank(rank: Rank) -> u8 {
    match rank {
        Rank::Start => 0,
        Rank::Condition => 1,
        Rank::PersonJob => 2,
        Rank::Other => 3,
    }
}

fn edge(plan: &Plan, idx: usize) -> Value {
    let edge = &plan.edges[idx];
    let mut outline = json!({
        "from": edge.from,
        "output": edge.output.name(),
        "to": edge.to,
        "input": edge.input.name(),
        "key": edge.key,
    });
    if let Some(content_type) = edge.content_type {
        outline["content_type"] = content_type.name().into();
    }
    outline
}

/// The persons by id: all of them, because messages show who said what.
pub(super) fn persons(export: &Export<'_>) -> Value {
    Value::Object(export.plan.persons.iter().map(|it| (it.id.clone(), described(it, export))).collect())
}

/// Why a script cannot play a person.
pub(super) fn reasons_of(person: &Person) -> Vec<String> {
    let mut reasons = Vec::new();
    let service = person.service.map_or("unknown", Service::name);
    match person.service {
        Some(Service::OpenAi | Service::Anthropic | Service::Ollama | Service::Scripted) => {}
        Some(Service::Gemini | Service::ClaudeCode | Service::ClaudeCodeCustom | Service::Caller) | None => {
            reasons.push(format!(
                "person `{}`: a script cannot ask the service `{service}`, only openai, anthropic, ollama and scripted",
                person.label
            ));
        }
    }
    if person.tools.as_ref().is_some_and(super::nodes::asks_for_tools) {
        reasons.push(format!("person `{}`: `tools` need dipeo", person.label));
    }
    reasons
}

fn described(person: &Person, export: &Export<'_>) -> Value {
    let own = person.model.clone().filter(|it| !it.trim().is_empty());
    let is_script = person.service == Some(Service::Scripted);
    let default = person.service.filter(|_| !is_script).and_then(|it| export.surroundings.default_model(it));
    let optional = [
        ("model", own.or(default).map(Value::from)),
        ("system_prompt", person.system_prompt.clone().map(Value::from)),
        ("api_key_id", person.api_key_id.clone().map(Value::from)),
        ("base_url", person.base_url.clone().map(Value::from)),
        ("temperature", person.temperature.map(Value::from)),
        ("max_tokens", person.max_tokens.map(Value::from)),
        ("replies", person.script.replies.clone().filter(|_| is_script).map(Value::from)),
    ];
    let mut map = Map::new();
    map.insert("label".into(), person.label.clone().into());
    map.insert("service".into(), person.service.map_or("unknown", Service::name).into());
    map.extend(optional.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    if is_script {
        let when = match person.script.when_exhausted {
            WhenExhausted::Fail => "fail",
            WhenExhausted::RepeatLast => "repeat_last",
            WhenExhausted::Cycle => "cycle",
        };
        map.insert("when_exhausted".into(), when.into());
    }
    Value::Object(map)
}

/// The declared inputs by name.
pub(super) fn inputs(plan: &Plan) -> Value {
    Value::Object(plan.inputs.iter().map(|it| (it.name.clone(), declaration(it))).collect())
}

fn declaration(input: &InputDeclaration) -> Value {
    let mut map = Map::new();
    let optional = [
        ("type", input.value_type.clone().map(Value::from)),
        ("default", input.default.clone()),
        ("enum", input.choices.clone().map(Value::from)),
        ("required", input.required.then_some(true.into())),
    ];
    map.extend(optional.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    Value::Object(map)
}
