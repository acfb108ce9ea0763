//! What calls cost: a table with sources and dates, and what the user's settings say instead. A model that
//! stands in neither has no price; that is said and never counted as nothing.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::config::{LongPrice, PriceTable};
use crate::diagram::{Price, Service};
use crate::nodes::ports::models::{Cost, ModelTool, ToolCall};
use crate::nodes::ports::{ModelReply, Usage};

const TABLE: &str = include_str!("../../resources/prices.toml");
/// Prices are per so many tokens.
const UNIT: f64 = 1_000_000.0;

/// Prices by model.
#[derive(Clone, Debug)]
pub struct Prices {
    /// Of the user; they hold wherever the model is.
    own: Vec<(String, PriceTable)>,
    /// Of the providers; they hold at their own addresses.
    listed: Vec<(String, PriceTable)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    #[serde(default)]
    price: Vec<Entry>,
}

/// A price of the table. Where it was read, and when, is for whoever looks after the table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// `service/model`, or a beginning of it with `*`.
    models: Vec<String>,
    input: f64,
    output: f64,
    cached: Option<f64>,
    web_search: Option<f64>,
    long: Option<LongPrice>,
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "date")]
    _date: String,
}

impl Default for Prices {
    fn default() -> Self {
        Self::with(&BTreeMap::new())
    }
}

impl Prices {
    /// The table, with the user's own prices before it.
    pub fn with(own: &BTreeMap<String, PriceTable>) -> Self {
        let table: Listed = toml::from_str(TABLE).expect("the table is part of the program and a test reads it");
        let listed = table.price.into_iter().flat_map(Entry::into_prices).collect();
        Self { own: own.iter().map(|(model, price)| (model.clone(), price.clone())).collect(), listed }
    }

    /// Returns what `reply` of `service` cost. `is_official`: the provider itself answered.
    pub(super) fn cost(&self, service: Service, is_official: bool, reply: &ModelReply) -> Cost {
        let Some(model) = reply.model.as_deref() else { return Cost::NotBilled };
        match self.find(service, is_official, model) {
            Some(price) => price_of(price, reply.usage, &reply.tool_calls).map_or(Cost::Unpriced, Cost::Usd),
            None => unlisted(service),
        }
    }

    /// Returns the most that a call of `model` with so many tokens can cost, however much of it is cached.
    pub(super) fn most(&self, service: Service, is_official: bool, model: &str, usage: Usage) -> Cost {
        let Some(price) = self.find(service, is_official, model) else { return unlisted(service) };
        let at_most = [0, usage.input].map(|cached| price_of(price, Usage { cached, ..usage }, &[]));
        match at_most {
            [Some(fresh), Some(cached)] => Cost::Usd(fresh.max(cached)),
            _ => Cost::Unpriced,
        }
    }

    fn find(&self, service: Service, is_official: bool, model: &str) -> Option<&PriceTable> {
        let listed = || if is_official { find(&self.listed, service, model) } else { None };
        find(&self.own, service, model).or_else(listed)
    }
}

/// What a model without a price costs.
fn unlisted(service: Service) -> Cost {
    match service {
        Service::Scripted | Service::Caller | Service::Ollama => Cost::NotBilled,
        _ => Cost::Unpriced,
    }
}

/// What a scripted person pretends to cost.
pub(super) fn pretended(price: Price, usage: Usage) -> Cost {
    Cost::Usd((usage.input as f64 * price.input + usage.output as f64 * price.output) / UNIT)
}

impl Entry {
    fn into_prices(self) -> Vec<(String, PriceTable)> {
        let Self { models, input, output, cached, web_search, long, .. } = self;
        let price = PriceTable { input, output, cached, web_search, long };
        models.into_iter().map(|it| (it, price.clone())).collect()
    }
}

/// The longest pattern that fits wins.
fn find<'a>(prices: &'a [(String, PriceTable)], service: Service, model: &str) -> Option<&'a PriceTable> {
    let name = format!("{}/{model}", service.name());
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning) || model.starts_with(beginning),
        None => name == pattern || model == pattern,
    };
    let found = prices.iter().filter(|(pattern, _)| fits(pattern));
    found.max_by_key(|(pattern, _)| pattern.len()).map(|(_, price)| price)
}

/// `None` when a part of the bill is not known.
fn price_of(price: &PriceTable, usage: Usage, tool_calls: &[ToolCall]) -> Option<f64> {
    let long = price.long.as_ref().filter(|it| usage.input > it.above);
    let (input, output, cached) = match long {
        Some(long) => (long.input, long.output, long.cached),
        None => (price.input, price.output, price.cached),
    };
    let tokens = |n: u64, amount: f64| n as f64 * amount / UNIT;
    let fresh = usage.input.saturating_sub(usage.cached);
    let sum = tokens(fresh, input) + tokens(usage.cached, cached.unwrap_or(input)) + tokens(usage.output, output);
    tool_calls.iter().try_fold(sum, |sum, call| match call.tool.as_str() {
        tool if tool == ModelTool::WebSearch.name() => Some(sum + price.web_search? * n_searches(call)),
        // Images are billed by size and quality, which the reply does not say.
        tool if tool == ModelTool::Image.name() => None,
        _ => Some(sum),
    })
}

/// One call may search for several things.
fn n_searches(call: &ToolCall) -> f64 {
    let queries = call.arguments.get("queries").and_then(Value::as_array).map_or(1, Vec::len);
    queries.max(1) as f64
}

#[cfg(test)]
mod tests {

    use super::*;

    fn reply(model: &str, (input, output, cached): (u64, u64, u64), tools: &[ModelTool]) -> ModelReply {
        let call = |tool: &ModelTool| ToolCall {
            call_id: String::new(),
            tool: tool.name().to_owned(),
            arguments: Value::Null,
            output: Value::Null,
            is_error: false,
        };
        ModelReply {
            model: Some(model.to_owned()),
            usage: Usage { input, output, cached },
            tool_calls: tools.iter().map(call).collect(),
            ..ModelReply::default()
        }
    }

    fn own_prices() -> Prices {
        let text = r#"
            "openai/gpt-x*" = {input = 2.0, output = 10.0, cached = 0.5, web_search = 0.01}
            "openai/gpt-x-mini" = {input = 1.0, output = 2.0}
            "long" = {input = 1.0, output = 1.0, long = {above = 10, input = 3.0, output = 4.0}}
            "scripted" = {input = 1.0, output = 1.0}
        "#;
        Prices::with(&toml::from_str(text).expect("a table of prices"))
    }

    #[test]
    fn a_price_is_that_of_the_longest_pattern_and_what_is_not_known_is_not_nothing() {
        let million = 1_000_000;
        let (search, image) = (ModelTool::WebSearch, ModelTool::Image);
        for (service, model, usage, tools, expected) in [
            (Service::OpenAi, "gpt-x-2026", (million, million, 0), vec![], Cost::Usd(12.0)),
            (Service::OpenAi, "gpt-x-2026", (million, 0, million), vec![], Cost::Usd(0.5)),
            (Service::OpenAi, "gpt-x-2026", (0, 0, 0), vec![search, search], Cost::Usd(0.02)),
            (Service::OpenAi, "gpt-x-2026", (million, 0, 0), vec![image], Cost::Unpriced),
            (Service::OpenAi, "gpt-x-mini", (million, million, million), vec![], Cost::Usd(3.0)),
            (Service::OpenAi, "gpt-x-mini", (0, 0, 0), vec![search], Cost::Unpriced),
            (Service::OpenAi, "gpt-unheard-of", (1, 1, 0), vec![], Cost::Unpriced),
            (Service::Gemini, "long", (10, 0, 0), vec![], Cost::Usd(0.00001)),
            (Service::Gemini, "long", (million, million, 0), vec![], Cost::Usd(7.0)),
            (Service::Ollama, "llama3.2", (9, 9, 0), vec![], Cost::NotBilled),
            (Service::Scripted, "script", (9, 9, 0), vec![], Cost::NotBilled),
            (Service::Scripted, "scripted", (million, 0, 0), vec![], Cost::Usd(1.0)),
        ] {
            assert_eq!(own_prices().cost(service, true, &reply(model, usage, &tools)), expected, "{model} {usage:?}");
        }
    }

    #[test]
    fn listed_prices_hold_at_the_providers_own_address_only() {
        let asked = reply("gpt-4o-2024-08-06", (1_000_000, 0, 0), &[]);
        assert!(matches!(Prices::default().cost(Service::OpenAi, true, &asked), Cost::Usd(_)));
        assert_eq!(Prices::default().cost(Service::OpenAi, false, &asked), Cost::Unpriced);
    }

    #[test]
    fn every_listed_price_says_where_and_when_it_was_read() {
        let table: toml::Table = toml::from_str(TABLE).expect("a table");
        let entries = table["price"].as_array().expect("a list of prices");
        assert!(!entries.is_empty());
        for entry in entries {
            let (source, date) = (entry["source"].as_str().expect("a source"), entry["date"].as_str().expect("a date"));
            assert!(source.starts_with("https://"), "{source}");
            assert!(date.len() == 10 && date.bytes().filter(|it| *it == b'-').count() == 2, "{date}");
        }
    }
}
