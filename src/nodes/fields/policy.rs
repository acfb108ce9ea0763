//! The fields every node may carry (diagrams.md 2.0), read into a [`Policy`].

use std::time::Duration;

use super::Fields;
use crate::diagram::budget::{self, Budget};
use crate::diagram::kinds::fold;
use crate::diagram::render::{source, spelled_like};
use crate::diagram::{Diagnostic, Handle, Span, Spanned, Tree, TreeKind};
use crate::limits;
use crate::nearest::nearest;
use crate::nodes::{Backoff, Node, OnError, Policy, Retry};

/// What may stand under `retry`.
const RETRY_KEYS: [&str; 3] = ["max_attempts", "delay_ms", "backoff"];
const BACKOFFS: [&str; 3] = ["exponential", "linear", "fixed"];

impl Fields<'_> {
    /// Reads the common fields; what the diagram leaves out is as the type of `node` has it.
    pub fn policy(&mut self, node: &dyn Node) -> Policy {
        for key in ["description", "note", "flipped", "metadata"] {
            self.tree(key);
        }
        let retry = self.retry(node.retry_default());
        Policy {
            timeout: self.timeout().or_else(|| node.timeout_default().map(Duration::from_secs_f64)),
            retry_given: retry.is_some(),
            retry: retry.unwrap_or_else(|| node.retry_default()),
            on_error: self.on_error(),
            at_most_once: self.boolean("at_most_once", false),
            strict_templates: self.boolean("strict_templates", self.cx.diagram.settings.strict_templates),
            budget: if node.calls_models() { self.budget() } else { None },
            mock_response: self.value("mock_response"),
        }
    }

    fn budget(&mut self) -> Option<Budget> {
        let tree = self.tree("budget")?;
        if !tree.is_map() {
            self.wrong_type("budget", tree, "a mapping like `{usd: 1, tokens: 10000}`");
            return None;
        }
        let (budget, problems) = budget::of_node(self.source, self.cx.diagram.format, tree);
        for problem in problems {
            self.report(problem);
        }
        Some(budget)
    }

    fn timeout(&mut self) -> Option<Duration> {
        let seconds = self.number("timeout", 0.0)?;
        let limit = Duration::try_from_secs_f64(seconds).ok();
        if limit.is_none() {
            self.problem("E404", "timeout", format!("`timeout` is {seconds}, which is too large"), "write seconds");
        }
        limit
    }

    fn on_error(&mut self) -> OnError {
        match self.choice("on_error", &["fail", "continue"]) {
            Some("continue") => OnError::Continue,
            None if self.has_output(Handle::Error) => OnError::Continue,
            _ => OnError::Fail,
        }
    }

    fn retry(&mut self, default: Retry) -> Option<Retry> {
        let tree = self.tree("retry")?;
        if !tree.is_map() {
            self.wrong_type("retry", tree, "a mapping such as `{max_attempts: 3}`");
            return None;
        }
        let mut retry = default;
        for (key, value) in tree.entries().iter().filter(|(_, value)| !value.is_null()) {
            match fold(&key.value).as_str() {
                "max_attempts" => {
                    let attempts = self.retry_number(key, value, 1, u64::from(limits::ATTEMPTS_MAX));
                    retry.max_attempts = attempts.and_then(|it| u32::try_from(it).ok()).unwrap_or(default.max_attempts);
                }
                "delay_ms" => {
                    let delay = self.retry_number(key, value, 0, limits::RETRY_DELAY_MS_MAX);
                    retry.delay_ms = delay.unwrap_or(default.delay_ms);
                }
                "backoff" => retry.backoff = self.backoff(value).unwrap_or(default.backoff),
                _ => self.unknown_retry_key(key),
            }
        }
        Some(retry)
    }

    fn retry_number(&mut self, key: &Spanned<String>, tree: &Tree, least: u64, most: u64) -> Option<u64> {
        let name = format!("retry.{}", key.value);
        let whole = match &tree.kind {
            TreeKind::Number(number) => number.as_i64(),
            _ => None,
        };
        let Some(whole) = whole else {
            self.wrong_type(&name, tree, "a whole number");
            return None;
        };
        let value = u64::try_from(whole).ok().filter(|it| (least..=most).contains(it));
        if value.is_none() {
            let message = format!("`{name}` is {whole}, which is out of range");
            self.retry_problem("E404", &name, tree.span, message, format!("write {least} to {most}"));
        }
        value
    }

    fn backoff(&mut self, tree: &Tree) -> Option<Backoff> {
        let name = "retry.backoff";
        let Some(text) = tree.as_text() else {
            self.wrong_type(name, tree, "a text");
            return None;
        };
        match fold(text).as_str() {
            "exponential" => Some(Backoff::Exponential),
            "linear" => Some(Backoff::Linear),
            "fixed" => Some(Backoff::Fixed),
            _ => {
                let message = format!("`{text}` is not a value of `{name}`");
                let diagnostic = Diagnostic::new("E403", tree.span, message).field(name);
                self.report(match nearest(text, BACKOFFS) {
                    Some(near) => {
                        diagnostic.hint(format!("did you mean `{near}`?")).patch(tree.span, self.respelled(tree, near))
                    }
                    None => diagnostic.hint(format!("write one of: {}", BACKOFFS.join(", "))),
                });
                None
            }
        }
    }

    fn unknown_retry_key(&mut self, key: &Spanned<String>) {
        let name = format!("retry.{}", key.value);
        let message = format!("`retry` has no field `{}`", key.value);
        let diagnostic = Diagnostic::new("W401", key.span, message).field(&name);
        let written = source(self.source, key.span);
        self.report(match nearest(&key.value, RETRY_KEYS) {
            // A dotted key holds the name of this mapping as well.
            Some(near) if written.trim_matches(['"', '\'']) == key.value => {
                diagnostic.hint(format!("did you mean `{near}`?")).patch(key.span, spelled_like(written, near))
            }
            Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
            None => diagnostic.hint(format!("`retry` takes {}", RETRY_KEYS.join(", "))),
        });
    }

    fn retry_problem(&mut self, code: &'static str, field: &str, span: Span, message: String, hint: String) {
        self.report(Diagnostic::new(code, span, message).field(field).hint(hint));
    }
}
