//! What a call can cost at most. Reservations are promises that must hold, so every figure here is an upper
//! bound and not a guess; what the call really used replaces it.
//!
//! Input: no tokenizer of the services makes more tokens of a text than it has bytes, because all of them work
//! on bytes or on pieces of them; a message adds a few for its frame. Output: `max_tokens`, which services keep
//! to; where none is given a limited call is sent [`OUTPUT_TOKENS_DEFAULT`]. A scripted person counts words and
//! its script is at hand, so its bound is exact. Searches, images that are to be made and programs that call
//! models by themselves have no bound.

use serde_json::Value;

use super::amount::{Amount, Dimension, Usd};
use crate::diagram::Service;
use crate::nodes::ports::models::{Cost, Purpose};
use crate::nodes::ports::{ModelRequest, Usage, one_line_json};

/// Longest reply, in tokens, of a call under a budget of tokens or money whose diagram gives no `max_tokens`:
/// some three thousand words.
pub const OUTPUT_TOKENS_DEFAULT: u64 = 4_096;
/// Tokens that services put around a message and a call, at most: role and separators are below ten in all
/// published chat formats.
const FRAME_TOKENS: u64 = 16;
/// Tokens of one image, at most: services scale what is larger down to some thousands of tokens.
const IMAGE_TOKENS: u64 = 10_000;

/// The most one call can spend; `None` where nobody can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    pub tokens: Option<u64>,
    pub usd: Option<Usd>,
}

impl Estimate {
    /// How much of `dimension`; time is none, it cannot be promised.
    pub fn of(&self, dimension: Dimension) -> Option<u64> {
        match dimension {
            Dimension::Usd => self.usd.map(|it| it.0),
            Dimension::Tokens => self.tokens,
            Dimension::Calls => Some(1),
            Dimension::Seconds => Some(0),
        }
    }

    /// What is promised: where nobody can say, nothing is limited either.
    pub fn amount(&self) -> Amount {
        Amount { calls: 1, tokens: self.tokens.unwrap_or(0), usd: self.usd.unwrap_or_default(), ms: 0 }
    }
}

/// Returns the most that tokens of `request` can be, in and out; `None` where there is no bound.
pub fn usage(request: &ModelRequest) -> Option<Usage> {
    let has_no_end = matches!(request.service, Service::ClaudeCode | Service::ClaudeCodeCustom);
    if has_no_end || !request.tools.is_empty() {
        return None;
    }
    if request.service == Service::Scripted {
        let input = request.messages.iter().map(|it| words(&it.content)).sum();
        return Some(Usage { input, output: longest_answer(request), cached: 0 });
    }
    let texts = request.messages.iter().map(|it| it.content.len() as u64 + FRAME_TOKENS);
    let n_images: u64 = request.messages.iter().map(|it| it.images.len() as u64).sum();
    let schema = request.schema.as_ref().map_or(0, |it| it.to_string().len() as u64);
    let input = texts.sum::<u64>() + n_images * IMAGE_TOKENS + schema + FRAME_TOKENS;
    Some(Usage { input, output: request.max_tokens.unwrap_or(OUTPUT_TOKENS_DEFAULT), cached: 0 })
}

/// Puts tokens and their price together.
pub fn estimate(usage: Option<Usage>, price: impl FnOnce(Usage) -> Cost) -> Estimate {
    let tokens = usage.map(|it| it.input.saturating_add(it.output));
    let usd = usage.and_then(|it| match price(it) {
        Cost::NotBilled => Some(Usd(0)),
        Cost::Usd(dollars) => Some(Usd::spent(dollars)),
        Cost::Unpriced => None,
    });
    Estimate { tokens, usd }
}

/// Words of the longest thing the script can say.
fn longest_answer(request: &ModelRequest) -> u64 {
    let script = &request.person.script;
    let (entries, otherwise) = match request.purpose {
        // Without replies it echoes its prompt, without selections it lists every candidate.
        Purpose::Reply => (&script.replies, request.messages.last().map_or(0, |it| words(&it.content))),
        Purpose::Selection { n_candidates } => (&script.selections, n_candidates as u64),
    };
    entries.as_ref().map_or(otherwise, |it| it.iter().map(entry_words).max().unwrap_or(0))
}

fn entry_words(entry: &Value) -> u64 {
    match entry.as_str().or_else(|| entry.get("text")?.as_str()) {
        Some(text) => words(text),
        None => words(&one_line_json(entry)),
    }
}

fn words(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}
