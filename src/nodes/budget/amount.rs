//! How much: calls, tokens, money and time, all in whole numbers, so that sums are exact in any order.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// Nano-dollars in a dollar.
const NANO: f64 = 1e9;

/// Money in billionths of a US dollar: a token of the cheapest models costs some tens of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usd(pub u64);

impl Usd {
    /// What was or may be spent: rounded up.
    pub fn spent(dollars: f64) -> Self {
        // What is a whole number of billionths is no exact double; it is not to become one more.
        Self((dollars * NANO - 1e-3).ceil().max(0.0) as u64)
    }

    /// What may be spent: rounded down.
    pub fn limit(dollars: f64) -> Self {
        Self((dollars * NANO + 1e-3).floor().max(0.0) as u64)
    }

    /// The amount in dollars.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / NANO
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.dollars())
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(deserializer)?;
        Ok(Self((dollars * NANO).round().max(0.0) as u64))
    }
}

/// What calls spend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Amount {
    pub calls: u64,
    pub tokens: u64,
    pub usd: Usd,
    /// Milliseconds that calls took.
    pub ms: u64,
}

impl Amount {
    /// Returns how much of `dimension` it is, in the unit it is counted in.
    pub fn of(self, dimension: Dimension) -> u64 {
        match dimension {
            Dimension::Usd => self.usd.0,
            Dimension::Tokens => self.tokens,
            Dimension::Calls => self.calls,
            Dimension::Seconds => self.ms,
        }
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(more.calls),
            tokens: self.tokens.saturating_add(more.tokens),
            usd: Usd(self.usd.0.saturating_add(more.usd.0)),
            ms: self.ms.saturating_add(more.ms),
        }
    }

    /// What is left without `less`.
    #[must_use]
    pub fn minus(self, less: Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(less.calls),
            tokens: self.tokens.saturating_sub(less.tokens),
            usd: Usd(self.usd.0.saturating_sub(less.usd.0)),
            ms: self.ms.saturating_sub(less.ms),
        }
    }
}

/// What a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    Usd,
    Tokens,
    Calls,
    Seconds,
}

impl Dimension {
    pub const ALL: [Self; 4] = [Self::Usd, Self::Tokens, Self::Calls, Self::Seconds];

    /// The key in a budget.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usd => "usd",
            Self::Tokens => "tokens",
            Self::Calls => "calls",
            Self::Seconds => "seconds",
        }
    }

    /// The figure as a budget has it: dollars, seconds, or a count.
    pub fn figure(self, amount: u64) -> Value {
        match self {
            Self::Usd => Usd(amount).dollars().into(),
            Self::Seconds => (amount as f64 / 1_000.0).into(),
            Self::Tokens | Self::Calls => amount.into(),
        }
    }

    /// Reads such a figure as a limit; `None` for what is none.
    pub fn read(self, figure: &Value) -> Option<u64> {
        match self {
            Self::Usd => figure.as_f64().filter(|it| *it > 0.0).map(|it| Usd::limit(it).0),
            Self::Seconds => figure.as_f64().filter(|it| *it > 0.0).map(|it| (it * 1_000.0) as u64),
            Self::Tokens | Self::Calls => figure.as_u64().filter(|it| *it > 0),
        }
    }

    /// The figure in words: `$0.05`, `1200 tokens`, `3 calls`, `2.5 s`.
    pub fn words(self, amount: u64) -> String {
        match self {
            Self::Usd => format!("${}", Usd(amount).dollars()),
            Self::Tokens => format!("{amount} tokens"),
            Self::Calls => format!("{amount} calls"),
            Self::Seconds => format!("{} s", amount as f64 / 1_000.0),
        }
    }
}

/// Writes what `of` gives for each dimension, as a budget has it.
pub(super) fn figures(of: impl Fn(Dimension) -> Option<u64>) -> Map<String, Value> {
    let given = |it: Dimension| of(it).map(|amount| (it.name().to_owned(), it.figure(amount)));
    Dimension::ALL.into_iter().filter_map(given).collect()
}
