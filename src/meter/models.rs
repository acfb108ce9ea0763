//! Numbers of model calls. Names of models come from outside, from diagrams and from whoever answers, so only so
//! many of them become labels, and none that may be a key.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use metrics::{Counter, Gauge};

use super::Registry;
use crate::secret::begins_like_a_key;

/// Most models counted by name: a project uses a handful. What comes later is counted together.
const MODELS_MAX: usize = 50;
/// Longest name that becomes a label, in characters.
const NAME_CHARS_MAX: usize = 64;
/// The label of all other models.
const OTHER: &str = "other";

/// Calls by service, tokens and cost by model.
pub struct ModelMeters {
    registry: Registry,
    models: Mutex<HashMap<String, Model>>,
}

/// What a call used and cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// The part of the input that the service had kept from earlier calls.
    pub cached_tokens: u64,
    /// In US dollars, where it is known.
    pub cost_usd: Option<f64>,
    /// It cost something, and nobody knows what.
    pub is_unpriced: bool,
}

#[derive(Clone)]
struct Model {
    input: Counter,
    output: Counter,
    cached: Counter,
    /// A gauge that only grows: counters hold whole numbers.
    cost_usd: Gauge,
    unpriced: Counter,
}

impl ModelMeters {
    pub(super) fn new(registry: Registry) -> Self {
        Self { registry, models: Mutex::default() }
    }

    /// Counts a call of `service`, one of the words for services.
    pub fn call(&self, service: &'static str, is_ok: bool) {
        let outcome = if is_ok { "ok" } else { "failed" };
        let labels = [("service", service), ("outcome", outcome)];
        self.registry.counter("dipeo_model_calls_total", &labels).increment(1);
    }

    /// Counts what a model that answered has used.
    pub fn used(&self, model: &str, used: Used) {
        let model = self.model(model);
        model.input.increment(used.input_tokens);
        model.output.increment(used.output_tokens);
        model.cached.increment(used.cached_tokens);
        model.cost_usd.increment(used.cost_usd.unwrap_or(0.0));
        model.unpriced.increment(u64::from(used.is_unpriced));
    }

    fn model(&self, name: &str) -> Model {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let name = if models.contains_key(name) || is_label(name) && models.len() < MODELS_MAX { name } else { OTHER };
        if let Some(model) = models.get(name) {
            return model.clone();
        }
        let model = self.register(name);
        models.insert(name.to_owned(), model.clone());
        model
    }

    fn register(&self, name: &str) -> Model {
        let tokens = |direction: &'static str| {
            self.registry.counter("dipeo_model_tokens_total", &[("model", name), ("direction", direction)])
        };
        Model {
            input: tokens("input"),
            output: tokens("output"),
            cached: self.registry.counter("dipeo_model_cached_tokens_total", &[("model", name)]),
            cost_usd: self.registry.gauge("dipeo_model_cost_usd_total", &[("model", name)]),
            unpriced: self.registry.counter("dipeo_model_unpriced_calls_total", &[("model", name)]),
        }
    }
}

/// Whether a name may stand as it is where everybody who reads metrics sees it.
fn is_label(name: &str) -> bool {
    let is_plain = name.chars().all(|it| it.is_ascii_alphanumeric() || "._-:/@+".contains(it));
    !name.is_empty() && name.len() <= NAME_CHARS_MAX && is_plain && !begins_like_a_key(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::meter::Meters;

    #[test]
    fn hostile_names_of_models_are_counted_together() {
        let meters = Meters::new(&[], Timestamp(0));
        let one = Used { input_tokens: 1, ..Used::default() };
        let long = "x".repeat(65);
        for name in ["", "a\"b", "a\nb", "ü", "sk-canary-canary", &long] {
            meters.models().used(name, one);
        }
        for n in 0..1_000 {
            meters.models().used(&format!("made-up-{n}"), one);
        }
        let text = meters.families().to_text();
        let inputs: Vec<&str> = text.lines().filter(|it| it.contains("direction=\"input\"")).collect();
        assert_eq!(inputs.len(), MODELS_MAX, "{text}");
        let others = 6 + 1_000 - (MODELS_MAX - 1);
        assert!(
            inputs.contains(&&*format!("dipeo_model_tokens_total{{direction=\"input\",model=\"other\"}} {others}"))
        );
        assert!(!text.contains("canary"), "{text}");
    }

    #[test]
    fn tokens_and_cost_add_up_by_model() {
        let meters = Meters::new(&[], Timestamp(0));
        let used =
            Used { input_tokens: 10, output_tokens: 3, cached_tokens: 4, cost_usd: Some(0.25), is_unpriced: false };
        meters.models().used("gpt-x", used);
        meters.models().used("gpt-x", Used { cost_usd: Some(0.5), ..used });
        meters.models().used("gpt-x", Used { cost_usd: None, is_unpriced: true, ..used });
        meters.models().call("openai", true);
        meters.models().call("openai", false);
        let text = meters.families().to_text();
        for line in [
            r#"dipeo_model_tokens_total{direction="input",model="gpt-x"} 30"#,
            r#"dipeo_model_tokens_total{direction="output",model="gpt-x"} 9"#,
            r#"dipeo_model_cached_tokens_total{model="gpt-x"} 12"#,
            r#"dipeo_model_cost_usd_total{model="gpt-x"} 0.75"#,
            r#"dipeo_model_unpriced_calls_total{model="gpt-x"} 1"#,
            r#"dipeo_model_calls_total{outcome="failed",service="openai"} 1"#,
            "# TYPE dipeo_model_cost_usd_total counter",
        ] {
            assert!(text.lines().any(|it| it == line), "no `{line}` in\n{text}");
        }
    }
}
