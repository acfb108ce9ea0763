//! Remembers what the texts of diagrams were read as: a server is asked for the same few again and again. A text
//! alone decides what it is read as, so nothing here can be out of date.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::compile::{Compiled, compile_parsed};
use crate::diagram::{self, Format, Parsed};
use crate::nodes::Surroundings;

/// Most bytes of text kept; what they are read as takes some ten times as much memory.
const BYTES_MAX: usize = 1024 * 1024;

/// Texts and what they were read as.
#[derive(Default)]
pub struct ParsedTexts(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    texts: HashMap<(String, Option<Format>), Parsed>,
    n_bytes: usize,
}

impl ParsedTexts {
    /// [`crate::compile::compile`], without reading a known text again.
    pub fn compile(&self, text: &str, asked: Option<Format>, surroundings: &dyn Surroundings) -> Compiled {
        compile_parsed(text, self.parse(text, asked), surroundings)
    }

    fn parse(&self, text: &str, asked: Option<Format>) -> Parsed {
        if text.len() > BYTES_MAX / 4 {
            return diagram::parse(text, asked);
        }
        let key = (text.to_owned(), asked);
        if let Some(known) = self.kept().texts.get(&key) {
            return known.clone();
        }
        let parsed = diagram::parse(text, asked);
        let mut kept = self.kept();
        // Starting over is rare and cheaper than keeping an order of use.
        if kept.n_bytes + text.len() > BYTES_MAX {
            *kept = Kept::default();
        }
        if kept.texts.insert(key, parsed.clone()).is_none() {
            kept.n_bytes += text.len();
        }
        parsed
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_alike_each_time_and_what_is_kept_has_an_end() {
        let texts = ParsedTexts::default();
        let text = |n: usize| format!("version: light\nnodes:\n- {{label: s, type: start}}\n#{}\n", "x".repeat(n));
        for n in [0, 100_000, 0, 200_000, BYTES_MAX] {
            for asked in [None, Some(Format::Light), Some(Format::Native)] {
                let (kept, fresh) = (texts.parse(&text(n), asked), diagram::parse(&text(n), asked));
                assert_eq!((kept.diagram, kept.format), (fresh.diagram, fresh.format), "{n} {asked:?}");
                assert_eq!(kept.diagnostics.len(), fresh.diagnostics.len(), "{n} {asked:?}");
            }
            assert!(texts.kept().n_bytes <= BYTES_MAX);
        }
    }
}
