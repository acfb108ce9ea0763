//! `budget`: what the model calls of a run, of a person or of a node may spend, and what happens at the limit;
//! and `price`, what a scripted person pretends to cost. The same keys wherever a budget stands.

use serde_json::{Map, Value, json};

use super::diagnostic::Diagnostic;
use super::draft::Draft;
use super::entries::{Entries, Range};
use super::kinds::Format;
use super::tree::Tree;

/// A budget as written. What it leaves out is not limited.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Budget {
    /// US dollars.
    pub usd: Option<f64>,
    /// Tokens sent and received.
    pub tokens: Option<u64>,
    pub calls: Option<u64>,
    /// Seconds: of a run those it runs, of a person or node those its model calls take.
    pub seconds: Option<f64>,
    /// `None`: pause.
    pub on_limit: Option<OnLimit>,
    /// Only a person may raise it, no model.
    pub human_only: bool,
}

/// What happens when the next call does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLimit {
    /// The node waits until somebody raises the budget.
    Pause,
    /// The node fails with `BUDGET_EXCEEDED`.
    Fail,
}

impl OnLimit {
    /// The words of `on_limit`.
    pub const WORDS: [&'static str; 2] = ["pause", "fail"];

    /// The word as written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Fail => "fail",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pause, Self::Fail].into_iter().find(|it| it.name() == text)
    }
}

/// What a scripted person pretends to cost, in US dollars per million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Price {
    pub input: f64,
    pub output: f64,
}

impl Budget {
    /// The budget as diagrams write it.
    pub fn to_json(&self) -> Value {
        let number = |it: f64| super::write::number(it);
        let entries = [
            ("usd", self.usd.map(number)),
            ("tokens", self.tokens.map(Value::from)),
            ("calls", self.calls.map(Value::from)),
            ("seconds", self.seconds.map(number)),
            ("on_limit", self.on_limit.map(|it| it.name().into())),
            ("human_only", self.human_only.then_some(Value::Bool(true))),
        ];
        Value::Object(Map::from_iter(entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)))))
    }
}

impl Price {
    /// The price as diagrams write it.
    pub fn to_json(self) -> Value {
        json!({"input": super::write::number(self.input), "output": super::write::number(self.output)})
    }
}

/// Reads a budget that is the value of `budget` in a mapping being read.
pub(super) fn field(fields: &mut Entries<'_, '_, '_>) -> Option<Budget> {
    let tree = fields.tree("budget")?;
    if !tree.is_map() {
        fields.wrong_type("budget", tree, "a mapping like `{usd: 1, tokens: 10000}`");
        return None;
    }
    Some(read(tree, fields.draft()))
}

/// Reads a scripted person's price.
pub(super) fn price(fields: &mut Entries<'_, '_, '_>) -> Option<Price> {
    let tree = fields.tree("price")?;
    if !tree.is_map() {
        fields.wrong_type("price", tree, "a mapping like `{input: 3, output: 15}`");
        return None;
    }
    let mut entries = Entries::new(fields.draft(), "price", tree);
    let mut amount = |key| entries.number(key, Range::NotNegative).unwrap_or_default();
    let price = Price { input: amount("input"), output: amount("output") };
    entries.finish();
    Some(price)
}

/// Reads the `budget` of a node; `text` is what the diagram was read from.
pub fn of_node(text: &str, format: Format, tree: &Tree) -> (Budget, Vec<Diagnostic>) {
    let mut draft = Draft::new(text, format);
    let budget = read(tree, &mut draft);
    (budget, draft.diagnostics)
}

fn read(tree: &Tree, draft: &mut Draft<'_>) -> Budget {
    let mut fields = Entries::new(draft, "budget", tree);
    let budget = Budget {
        usd: fields.number("usd", Range::Positive),
        tokens: fields.integer("tokens", 1),
        calls: fields.integer("calls", 1),
        seconds: fields.number("seconds", Range::Positive),
        on_limit: fields.choice("on_limit", &OnLimit::WORDS).and_then(OnLimit::parse),
        human_only: fields.boolean("human_only").unwrap_or(false),
    };
    fields.finish();
    budget
}
