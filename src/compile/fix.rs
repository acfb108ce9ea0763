//! The fix loop: compiles, applies what a machine can repair, and compiles again until nothing is left to
//! apply. A repair after which a text no longer reads, or no longer compiles, is not taken.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::check::{Compiled, compile};
use super::patches::applied;
use crate::diagram::{Diagnostic, Format};
use crate::nodes::Surroundings;

/// Most rounds. One round repairs everything that can be seen; a text that hides its mistakes behind one
/// another (wrong indentation, line by line) takes one round for each.
const ROUNDS_MAX: usize = 32;

/// A text after every repair a machine can make.
pub struct Fixed {
    pub text: String,
    /// What was repaired, in the order it was done.
    pub repairs: Vec<Repair>,
    /// What compiling `text` gives.
    pub compiled: Compiled,
}

/// One repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    pub code: &'static str,
    /// Of the text as it was before this round of repairs.
    pub line: u32,
    pub old: String,
    pub new: String,
}

/// Repairs `text`; `asked` is the format an explicit flag names. Always ends: a text that was there before
/// ends it, and so does the last of a fixed number of rounds.
pub fn fix(text: &str, asked: Option<Format>, surroundings: &dyn Surroundings) -> Fixed {
    let compiled = compile(text, asked, surroundings);
    let mut fixed = Fixed { text: text.to_owned(), repairs: Vec::new(), compiled };
    let mut seen = HashSet::from([hash_of(text)]);
    for _ in 0..ROUNDS_MAX {
        let Some(next) = round(&fixed, asked, surroundings, &mut seen) else { break };
        let mut repairs = std::mem::take(&mut fixed.repairs);
        repairs.extend(next.repairs);
        fixed = Fixed { repairs, ..next };
    }
    fixed
}

/// Applies all repairs at once, else the first one that does no harm by itself.
fn round(
    fixed: &Fixed,
    asked: Option<Format>,
    surroundings: &dyn Surroundings,
    seen: &mut HashSet<u64>,
) -> Option<Fixed> {
    let all = &fixed.compiled.diagnostics;
    let singles = all.iter().filter(|it| it.patch.is_some()).map(std::slice::from_ref);
    std::iter::once(all.as_slice()).chain(singles).take(ROUNDS_MAX).find_map(|diagnostics| {
        let (text, taken) = applied(&fixed.text, diagnostics);
        if taken.is_empty() || !seen.insert(hash_of(&text)) {
            return None;
        }
        let compiled = compile(&text, asked, surroundings);
        let no_longer_reads = fixed.compiled.diagram.is_some() && compiled.diagram.is_none();
        let no_longer_runs = fixed.compiled.is_valid() && !compiled.is_valid();
        let repairs = taken.iter().filter_map(|it| repair(&fixed.text, it)).collect();
        (!no_longer_reads && !no_longer_runs).then_some(Fixed { text, repairs, compiled })
    })
}

fn repair(text: &str, diagnostic: &Diagnostic) -> Option<Repair> {
    let patch = diagnostic.patch.as_ref()?;
    let old = text.get(patch.offset..patch.offset + patch.len)?.to_owned();
    Some(Repair { code: diagnostic.code, line: diagnostic.span.line, old, new: patch.replacement.clone() })
}

fn hash_of(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
