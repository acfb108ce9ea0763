//! Compiles every diagram of the shared corpus and compares errors and warnings with what is expected
//! there: equal code, place and line, no more and no less.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dipeo::code::{Code, Settings};
use dipeo::compile::{Compiled, apply_patches, compile};
use dipeo::diagram::{Diagnostic, Format, Service, Severity};
use dipeo::nodes::ports::Languages;
use dipeo::nodes::{ChildFile, Origin, Rights, Surroundings};
use proptest::test_runner::{Config, TestRunner};
use serde::Deserialize;

use crate::harness::corpus;

/// These depend on the machine and are left out on both sides (corpus/README.md).
const OF_THE_MACHINE: [&str; 3] = ["W502", "W504", "W505"];

#[derive(Deserialize)]
struct Expectations {
    diagrams: BTreeMap<String, Expectation>,
}

#[derive(Deserialize)]
struct Expectation {
    format: Option<String>,
    nodes: Option<usize>,
    connections: Option<usize>,
    compiles: bool,
    #[serde(default)]
    errors: Vec<Expected>,
    #[serde(default)]
    warnings: Vec<Expected>,
}

#[derive(Clone, Debug, Deserialize)]
struct Expected {
    code: String,
    at: Option<String>,
    line: Option<u32>,
    suggestion_mentions: Option<String>,
}

/// The world of a terminal run with the corpus as its folder.
struct Folder {
    dir: PathBuf,
    rights: Rights,
    languages: Arc<dyn Languages>,
}

impl Surroundings for Folder {
    fn structure_only(&self) -> bool {
        false
    }

    fn rights(&self) -> &Rights {
        &self.rights
    }

    fn languages(&self) -> &dyn Languages {
        self.languages.as_ref()
    }

    fn prompt_file(&self, name: &str) -> Result<String, Vec<String>> {
        let places = [self.dir.join(name), self.dir.join("prompts").join(name)];
        let found = places.iter().find_map(|it| std::fs::read_to_string(it).ok());
        found.ok_or_else(|| vec![name.to_owned(), format!("prompts/{name}")])
    }

    fn file(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.dir.join(path)).ok()
    }

    fn child_diagram(&self, name: &str, _format: Option<Format>) -> ChildFile {
        if self.dir.join(format!("{name}.light.yaml")).is_file() {
            return ChildFile::Found;
        }
        ChildFile::NotFound { places: vec![self.dir.display().to_string()], near: None }
    }

    fn has_key(&self, _service: Service, _api_key_id: Option<&str>) -> bool {
        false
    }

    fn default_model(&self, _service: Service) -> Option<String> {
        None
    }
}

/// The parsers that the program uses; checking starts no process.
pub fn languages() -> Arc<dyn Languages> {
    Code::new(Settings::new(Vec::new(), PathBuf::from(".")))
}

fn expectations() -> Option<(PathBuf, Expectations)> {
    let corpus = corpus()?;
    let text = std::fs::read_to_string(corpus.join("expected.yaml")).expect("readable");
    Some((corpus, serde_yaml::from_str(&text).expect("valid YAML")))
}

/// Compiles `text` as the content of `file`.
pub fn compile_in(file: &Path, text: &str, languages: &Arc<dyn Languages>) -> Compiled {
    let dir = file.parent().map(Path::to_owned).unwrap_or_default();
    let folder = Folder { dir, rights: Rights::of(Origin::Local, false, false), languages: Arc::clone(languages) };
    compile(text, None, &folder)
}

#[test]
fn every_diagram_of_the_corpus_gives_the_diagnostics_expected_of_it() {
    let Some((corpus, expectations)) = expectations() else { return };
    let languages = languages();
    let mut differences = Vec::new();
    for (path, expectation) in &expectations.diagrams {
        let file = corpus.join(path);
        let compiled = compile_in(&file, &std::fs::read_to_string(&file).unwrap(), &languages);
        let found = differences_of(expectation, &compiled);
        differences.extend(found.into_iter().map(|it| format!("{path}: {it}")));
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

fn differences_of(expectation: &Expectation, compiled: &Compiled) -> Vec<String> {
    let mut found = Vec::new();
    let format = compiled.format.map(|it| it.name().to_owned());
    if expectation.format != format {
        found.push(format!("format {format:?} instead of {:?}", expectation.format));
    }
    let nodes = compiled.diagram.as_ref().map(|it| it.nodes.len());
    if expectation.nodes != nodes {
        found.push(format!("{nodes:?} nodes instead of {:?}", expectation.nodes));
    }
    let connections = compiled.diagram.as_ref().map(|it| it.connection_count);
    if expectation.connections != connections {
        found.push(format!("{connections:?} connections instead of {:?}", expectation.connections));
    }
    if expectation.compiles != compiled.is_valid() {
        found.push(format!("valid: {} instead of {}", compiled.is_valid(), expectation.compiles));
    }
    let expected = expectation.errors.iter().chain(&expectation.warnings);
    let expected = expected.filter(|it| !OF_THE_MACHINE.contains(&it.code.as_str())).cloned().collect();
    let diagnostics = compiled.diagnostics.iter().filter(|it| !OF_THE_MACHINE.contains(&it.code)).collect();
    found.extend(unmatched(expected, diagnostics));
    found
}

/// Pairs each expected entry with a diagnostic of its own and says what is left on either side.
fn unmatched(mut expected: Vec<Expected>, mut open: Vec<&Diagnostic>) -> Vec<String> {
    // The most particular first, so that an entry without a place does not take another one's match.
    expected.sort_by_key(|it| (it.at.is_none(), it.line.is_none(), it.suggestion_mentions.is_none()));
    let mut found = Vec::new();
    for entry in &expected {
        match open.iter().position(|it| fits(entry, it)) {
            Some(index) => {
                open.swap_remove(index);
            }
            None => found.push(format!("missing {entry:?}")),
        }
    }
    found.extend(open.into_iter().map(|it| {
        let severity = if it.severity() == Severity::Error { "error" } else { "warning" };
        format!(
            "unexpected {severity} {} at {:?} line {}: {} ({:?})",
            it.code, it.at, it.span.line, it.message, it.hint
        )
    }));
    found
}

fn fits(entry: &Expected, diagnostic: &Diagnostic) -> bool {
    let names_it = |wanted: &String| {
        diagnostic.message.contains(wanted) || diagnostic.hint.as_ref().is_some_and(|it| it.contains(wanted))
    };
    let is_at = |wanted: &String| diagnostic.at.as_ref() == Some(wanted) || diagnostic.node_id.as_ref() == Some(wanted);
    entry.code == diagnostic.code
        && entry.at.as_ref().is_none_or(is_at)
        && entry.line.is_none_or(|it| it == diagnostic.span.line)
        && entry.suggestion_mentions.as_ref().is_none_or(names_it)
}

#[test]
fn a_repair_removes_what_it_is_about_and_breaks_nothing() {
    let Some((corpus, expectations)) = expectations() else { return };
    let languages = languages();
    let mut n_repairs = 0;
    for path in expectations.diagrams.keys() {
        let file = corpus.join(path);
        let text = std::fs::read_to_string(&file).unwrap();
        let before = compile_in(&file, &text, &languages).diagnostics;
        let repaired = apply_patches(&text, &before);
        let after = compile_in(&file, &repaired, &languages).diagnostics;
        for old in before.iter().filter(|it| it.patch.is_some()) {
            n_repairs += 1;
            let is_left = after.iter().any(|it| (it.code, &it.message, &it.at) == (old.code, &old.message, &old.at));
            assert!(!is_left, "{path}: {old:?}\n{repaired}");
        }
        let is_broken =
            after.iter().any(|it| it.code.starts_with("E1") && before.iter().all(|old| old.code != it.code));
        assert!(!is_broken, "{path}: {after:?}\n{repaired}");
    }
    assert!(10 < n_repairs, "{n_repairs} repairs");
}

#[test]
fn damaged_diagrams_compile_to_diagnostics_that_lie_within_their_text() {
    let Some((corpus, expectations)) = expectations() else { return };
    let languages = languages();
    let files: Vec<PathBuf> = expectations.diagrams.keys().map(|it| corpus.join(it)).collect();
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let damage = (0..files.len(), 0.0..1.0_f64, 0..40_usize, "[-\\[\\]{}:,\"'|\n a-z0-9é]{0,6}");
    let outcome = runner.run(&damage, |(file, at, n_cut, inserted)| {
        let characters: Vec<char> = std::fs::read_to_string(&files[file]).unwrap().chars().collect();
        let start = (characters.len() as f64 * at) as usize;
        let end = (start + n_cut).min(characters.len());
        let (head, tail) = (&characters[..start], &characters[end..]);
        let text: String = head.iter().copied().chain(inserted.chars()).chain(tail.iter().copied()).collect();
        let compiled = compile_in(&files[file], &text, &languages);
        for it in &compiled.diagnostics {
            assert!(text.get(it.span.offset..it.span.offset + it.span.len).is_some(), "{it:?}");
        }
        let has_error = compiled.diagnostics.iter().any(|it| it.severity() == Severity::Error);
        assert_eq!(compiled.is_valid(), !has_error);
        Ok(())
    });
    outcome.unwrap();
}
