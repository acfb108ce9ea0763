//! The books: what each scope may spend, has spent and has promised. Pure: whoever asks says what time it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::amount::{Amount, Dimension, figures};
use super::estimate::Estimate;
use super::exceeded::{Exceeded, read_figure};
use crate::diagram::{Budget, OnLimit};
use crate::error::Error;

/// Whose budget it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The whole execution, its children included.
    Run,
    /// Every call of the person with this id.
    Person(String),
    /// Every call of the node with this id, in all its rounds; of a `sub_diagram` those of its children.
    Node(String),
}

impl Scope {
    /// The scope in words.
    pub fn words(&self) -> String {
        match self {
            Self::Run => "the run".to_owned(),
            Self::Person(id) => format!("person `{id}`"),
            Self::Node(id) => format!("node `{id}`"),
        }
    }
}

/// What a scope may spend; `None` is not limited. Money in billionths of a dollar, time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limit {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// At the limit the node fails instead of waiting.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fails: bool,
    /// Only a person may raise it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub human_only: bool,
}

impl Limit {
    /// The limit that a budget of a diagram sets.
    pub fn of(budget: &Budget) -> Self {
        let read = |dimension: Dimension, figure: Option<Value>| figure.and_then(|it| dimension.read(&it));
        Self {
            usd: read(Dimension::Usd, budget.usd.map(Value::from)),
            tokens: budget.tokens,
            calls: budget.calls,
            seconds: read(Dimension::Seconds, budget.seconds.map(Value::from)),
            fails: budget.on_limit == Some(OnLimit::Fail),
            human_only: budget.human_only,
        }
    }

    /// The limit of `dimension`.
    pub fn get(&self, dimension: Dimension) -> Option<u64> {
        match dimension {
            Dimension::Usd => self.usd,
            Dimension::Tokens => self.tokens,
            Dimension::Calls => self.calls,
            Dimension::Seconds => self.seconds,
        }
    }

    /// Sets the limit of `dimension`.
    pub fn set(&mut self, dimension: Dimension, limit: u64) {
        let slot = match dimension {
            Dimension::Usd => &mut self.usd,
            Dimension::Tokens => &mut self.tokens,
            Dimension::Calls => &mut self.calls,
            Dimension::Seconds => &mut self.seconds,
        };
        *slot = Some(limit);
    }

    /// This limit, and that of whoever starts the run: of each figure the smaller one holds.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` for what is no budget.
    pub fn narrowed(mut self, asked: &Map<String, Value>) -> Result<Self, Error> {
        for (key, value) in asked {
            match (key.as_str(), value) {
                ("on_limit", Value::String(word)) if let Some(on_limit) = OnLimit::parse(word) => {
                    self.fails = on_limit == OnLimit::Fail;
                }
                ("on_limit", other) => {
                    let what = format!("`on_limit` is {other}");
                    return Err(Error::invalid("INVALID_INPUT", what).hint("write pause or fail"));
                }
                _ => {
                    let (dimension, amount) = read_figure(key, value)?;
                    let own = self.get(dimension).unwrap_or(u64::MAX);
                    self.set(dimension, own.min(amount));
                }
            }
        }
        Ok(self)
    }

    /// Whether nothing is limited.
    pub fn is_none(&self) -> bool {
        Dimension::ALL.iter().all(|it| self.get(*it).is_none())
    }

    /// The same dimensions without a limit that anything reaches.
    #[must_use]
    pub fn lifted(mut self) -> Self {
        for dimension in Dimension::ALL {
            if self.get(dimension).is_some() {
                self.set(dimension, u64::MAX);
            }
        }
        self
    }

    /// The limits as a budget has them; those that nothing reaches are left out.
    pub fn figures(&self) -> Map<String, Value> {
        figures(|it| self.get(it).filter(|it| *it != u64::MAX))
    }
}

/// The books of one scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub scope: Scope,
    pub limit: Limit,
    #[serde(skip)]
    pub spent: Amount,
    /// Promised to calls under way.
    #[serde(skip)]
    pub reserved: Amount,
}

impl Entry {
    /// What was spent of what is limited, as a budget has it; `run_ms` is how long the execution has run.
    pub fn spent_figures(&self, run_ms: u64) -> Map<String, Value> {
        figures(|it| self.limit.get(it).map(|_| self.spent_of(it, run_ms)))
    }

    fn spent_of(&self, dimension: Dimension, run_ms: u64) -> u64 {
        match (&self.scope, dimension) {
            (Scope::Run, Dimension::Seconds) => run_ms,
            _ => self.spent.of(dimension),
        }
    }
}

/// What became of asking for a reservation.
#[derive(Clone, Debug, PartialEq)]
pub enum Reservation {
    /// It is promised, under this number.
    Granted(u64),
    /// It does not fit beside what is promised to others; when they have settled it may.
    Later,
    /// It cannot fit.
    Exceeded(Exceeded),
}

/// The books of one execution.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    entries: Vec<Entry>,
    /// Promises that are not settled: the amount, and whose.
    open: BTreeMap<u64, (Amount, Vec<usize>)>,
    next: u64,
}

impl Ledger {
    /// Books in which nothing was spent; scopes that limit nothing are left out.
    pub fn new(limits: impl IntoIterator<Item = (Scope, Limit)>) -> Self {
        let entry = |(scope, limit)| Entry { scope, limit, spent: Amount::default(), reserved: Amount::default() };
        Self::of_entries(limits.into_iter().filter(|(_, it)| !it.is_none()).map(entry).collect())
    }

    /// Books as they were written down.
    pub fn of_entries(entries: Vec<Entry>) -> Self {
        Self { entries, open: BTreeMap::new(), next: 1 }
    }

    /// The books scope by scope, the run's first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The books of `scope`.
    pub fn entry(&self, scope: &Scope) -> Option<&Entry> {
        self.entries.iter().find(|it| it.scope == *scope)
    }

    /// Promises what a call of `person` for `node` can cost at most, if it fits. `run_ms` is how long the
    /// execution has run. With no scope concerned it is granted and costs nothing.
    pub fn reserve(&mut self, node: &str, person: Option<&str>, estimate: &Estimate, run_ms: u64) -> Reservation {
        let concerned = self.concerned(node, person);
        let mut waits = false;
        for idx in &concerned {
            match fit(&self.entries[*idx], estimate, run_ms) {
                Fit::Fits => {}
                Fit::Later => waits = true,
                Fit::Never(exceeded) => return Reservation::Exceeded(exceeded),
            }
        }
        if waits {
            return Reservation::Later;
        }
        let id = self.next;
        self.promise(id, concerned, estimate.amount());
        Reservation::Granted(id)
    }

    /// Says why such a call cannot fit; `None`: it does, or may when others have settled.
    pub fn refusal(&self, node: &str, person: Option<&str>, estimate: &Estimate, run_ms: u64) -> Option<Exceeded> {
        self.concerned(node, person).into_iter().find_map(|it| match fit(&self.entries[it], estimate, run_ms) {
            Fit::Never(exceeded) => Some(exceeded),
            Fit::Fits | Fit::Later => None,
        })
    }

    /// Says why nothing more may start in the run: its time is up.
    pub fn out_of_time(&self, run_ms: u64) -> Option<Exceeded> {
        let entry = self.entry(&Scope::Run)?;
        let limit = entry.limit.seconds.filter(|it| *it <= run_ms)?;
        Some(Exceeded::new(entry, Dimension::Seconds, limit, (run_ms, Some(0))))
    }

    /// Takes a promise from the log.
    pub fn restore(&mut self, id: u64, node: &str, person: Option<&str>, amount: Amount) {
        let concerned = self.concerned(node, person);
        self.promise(id, concerned, amount);
    }

    /// Replaces a promise by what was really spent.
    pub fn settle(&mut self, id: u64, spent: Amount) {
        let Some((amount, concerned)) = self.open.remove(&id) else { return };
        for idx in concerned {
            let entry = &mut self.entries[idx];
            entry.reserved = entry.reserved.minus(amount);
            entry.spent = entry.spent.plus(spent);
        }
    }

    /// The promises that are not settled.
    pub fn open(&self) -> Vec<(u64, Amount)> {
        self.open.iter().map(|(id, (amount, _))| (*id, *amount)).collect()
    }

    /// Sets the limits of `scope` that `limit` names.
    pub fn raise(&mut self, scope: &Scope, limit: &Limit) {
        if let Some(entry) = self.entries.iter_mut().find(|it| it.scope == *scope) {
            for dimension in Dimension::ALL {
                if let Some(limit) = limit.get(dimension) {
                    entry.limit.set(dimension, limit);
                }
            }
        }
    }

    /// Whether a call of `person` for `node` is to be counted at all.
    pub fn concerns(&self, node: &str, person: Option<&str>) -> bool {
        !self.concerned(node, person).is_empty()
    }

    /// The limits that hold for a call of `person` for `node`: whether `dimension` is among them.
    pub fn limits(&self, node: &str, person: Option<&str>, dimension: Dimension) -> bool {
        self.concerned(node, person).iter().any(|it| self.entries[*it].limit.get(dimension).is_some())
    }

    fn concerned(&self, node: &str, person: Option<&str>) -> Vec<usize> {
        let is_meant = |it: &Entry| match &it.scope {
            Scope::Run => true,
            Scope::Person(id) => person == Some(id),
            Scope::Node(id) => id == node,
        };
        self.entries.iter().enumerate().filter(|(_, it)| is_meant(it)).map(|(idx, _)| idx).collect()
    }

    fn promise(&mut self, id: u64, concerned: Vec<usize>, amount: Amount) {
        self.next = self.next.max(id + 1);
        for idx in &concerned {
            let entry = &mut self.entries[*idx];
            entry.reserved = entry.reserved.plus(amount);
        }
        self.open.insert(id, (amount, concerned));
    }
}

enum Fit {
    Fits,
    Later,
    Never(Exceeded),
}

/// Whether a call fits into one scope. Time cannot be promised: calls are let begin until it is used up.
fn fit(entry: &Entry, estimate: &Estimate, run_ms: u64) -> Fit {
    let mut fits = Fit::Fits;
    for dimension in Dimension::ALL {
        let Some(limit) = entry.limit.get(dimension) else { continue };
        let spent = entry.spent_of(dimension, run_ms);
        let wanted = estimate.of(dimension);
        let never = || Fit::Never(Exceeded::new(entry, dimension, limit, (spent, wanted)));
        match wanted {
            None => return never(),
            Some(_) if dimension == Dimension::Seconds && spent >= limit => return never(),
            Some(wanted) if spent.saturating_add(wanted) > limit => return never(),
            Some(wanted) if spent.saturating_add(entry.reserved.of(dimension)).saturating_add(wanted) > limit => {
                fits = Fit::Later;
            }
            Some(_) => {}
        }
    }
    fits
}
