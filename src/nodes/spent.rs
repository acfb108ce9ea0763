//! What calls of models used and cost, as it stands in a node's meta: `llm_usage`, `cost`, `tool_calls`.

use serde_json::{Map, Value, json};

use super::memory::recall::Recalled;
use super::ports::ModelReply;
use super::ports::models::{Cost, ToolCall};
use crate::error::Error;

/// Adds to `meta` what a call used, choosing its memory included: `llm_usage {input, output, cached, total}`;
/// `cost {usd?, priced, unpriced_calls?}` when somebody sends a bill; `tool_calls` when tools were used.
pub fn note(meta: &mut Map<String, Value>, reply: &ModelReply, recalled: &Recalled) {
    let (a, b) = (reply.usage, recalled.usage);
    let (input, output) = (a.input + b.input, a.output + b.output);
    if input + output > 0 {
        let usage = json!({"input": input, "output": output, "cached": a.cached + b.cached, "total": input + output});
        meta.insert("llm_usage".into(), usage);
    }
    if let Some(cost) = cost_json(&[reply.cost, recalled.cost]) {
        meta.insert("cost".into(), cost);
    }
    if !reply.tool_calls.is_empty() {
        meta.insert("tool_calls".into(), reply.tool_calls.iter().map(ToolCall::to_json).collect());
    }
}

/// Adds to a failure what the call before it used: a reply that does not fit is billed all the same.
pub fn on_failure(error: Error, person_id: &str, reply: &ModelReply, recalled: &Recalled) -> Error {
    let mut facts = match error.details_value() {
        Some(Value::Object(details)) => details.clone(),
        _ => Map::new(),
    };
    facts.insert("person_id".into(), person_id.into());
    note(&mut facts, reply, recalled);
    error.details(Value::Object(facts))
}

/// A call without a price is counted and never taken as free.
fn cost_json(costs: &[Cost]) -> Option<Value> {
    let n_unpriced = costs.iter().filter(|it| **it == Cost::Unpriced).count();
    let billed = costs.iter().filter_map(|it| if let Cost::Usd(usd) = it { Some(*usd) } else { None });
    let usd = billed.reduce(|a, b| a + b);
    if usd.is_none() && n_unpriced == 0 {
        return None;
    }
    let mut cost = Map::new();
    if let Some(usd) = usd {
        cost.insert("usd".into(), usd.into());
    }
    cost.insert("priced".into(), (n_unpriced == 0).into());
    if n_unpriced > 0 {
        cost.insert("unpriced_calls".into(), n_unpriced.into());
    }
    Some(cost.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_billed_has_no_cost_and_what_has_no_price_is_never_zero() {
        for (costs, expected) in [
            ([Cost::NotBilled, Cost::NotBilled], Value::Null),
            ([Cost::Usd(0.5), Cost::NotBilled], json!({"usd": 0.5, "priced": true})),
            ([Cost::Usd(0.5), Cost::Usd(0.25)], json!({"usd": 0.75, "priced": true})),
            ([Cost::Unpriced, Cost::NotBilled], json!({"priced": false, "unpriced_calls": 1})),
            ([Cost::Usd(0.5), Cost::Unpriced], json!({"usd": 0.5, "priced": false, "unpriced_calls": 1})),
        ] {
            assert_eq!(cost_json(&costs).unwrap_or_default(), expected, "{costs:?}");
        }
    }
}
