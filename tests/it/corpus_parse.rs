//! Every diagram of the corpus: format, counts and exactly the expected problems of reading it.

use std::path::{Path, PathBuf};

use dipeo::diagram::{Diagnostic, Parsed, parse};
use serde_json::Value;

/// What reading reports; the other codes belong to compiling.
fn is_of_reading(code: &str) -> bool {
    match code {
        "W103" | "W104" | "E207" | "E210" => false,
        "W201" | "W301" | "W302" | "W305" | "W403" | "W506" | "E506" => true,
        _ => ["E1", "E2", "E3", "W1"].iter().any(|it| code.starts_with(it)),
    }
}

fn corpus() -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus"));
    if path.is_dir() {
        return Some(path.to_owned());
    }
    println!("skipped: ../shared is not there");
    None
}

#[test]
fn the_corpus_is_read_as_expected() {
    let Some(corpus) = corpus() else { return };
    let text = std::fs::read_to_string(corpus.join("expected.yaml")).unwrap();
    let expected: Value = serde_yaml::from_str(&text).unwrap();
    let mut differences = Vec::new();
    for (path, expected) in expected["diagrams"].as_object().unwrap() {
        let text = std::fs::read_to_string(corpus.join(path)).unwrap();
        let parsed = parse(&text, None);
        for difference in differences_of(&parsed, expected) {
            differences.push(format!("{path}: {difference}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn differences_of(parsed: &Parsed, expected: &Value) -> Vec<String> {
    let counts = parsed.diagram.as_ref().map(|it| [it.nodes.len(), it.connection_count, it.persons.len()]);
    let found = [
        ("format", parsed.format.map(|it| Value::from(it.name()))),
        ("nodes", counts.map(|it| it[0].into())),
        ("connections", counts.map(|it| it[1].into())),
        ("persons", counts.map(|it| it[2].into())),
        ("loads", Some((!parsed.diagnostics.iter().any(|it| it.code.starts_with("E1"))).into())),
    ];
    let mut differences: Vec<String> = found
        .into_iter()
        .map(|(key, found)| (key, found.unwrap_or(Value::Null)))
        .filter(|(key, found)| *found != expected[*key])
        .map(|(key, found)| format!("{key} is {found}, expected {}", expected[key]))
        .collect();
    let mut left: Vec<&Diagnostic> = parsed.diagnostics.iter().filter(|it| is_of_reading(it.code)).collect();
    let wanted = ["errors", "warnings"].iter().filter_map(|it| expected[*it].as_array()).flatten();
    for wanted in wanted.filter(|it| is_of_reading(it["code"].as_str().expect("every expected diagnostic has a code")))
    {
        match left.iter().position(|it| fits(it, wanted)) {
            Some(at) => drop(left.remove(at)),
            None => differences.push(format!("missing {wanted}")),
        }
    }
    differences.extend(left.iter().map(|it| format!("unexpected {it:?}")));
    differences
}

fn fits(found: &Diagnostic, wanted: &Value) -> bool {
    let words = format!("{} {}", found.message, found.hint.as_deref().unwrap_or_default());
    found.code == wanted["code"]
        && (wanted["at"].is_null() || found.at.as_deref() == wanted["at"].as_str())
        && (wanted["line"].is_null() || wanted["line"] == found.span.line)
        && wanted["suggestion_mentions"].as_str().is_none_or(|it| words.contains(it))
}

#[test]
fn one_diagram_in_five_spellings_is_one_diagram() {
    let Some(corpus) = corpus() else { return };
    let read = |name: &str| {
        let text = std::fs::read_to_string(corpus.join("micro/formats").join(name)).unwrap();
        let diagram = parse(&text, None).diagram.unwrap();
        let nodes: Vec<_> = diagram
            .nodes
            .iter()
            .map(|it| {
                let mut fields: Vec<_> = it.fields.iter().map(|it| (it.key.clone(), it.value.to_json())).collect();
                // A person may be named by label or by the older `person_<label>`.
                fields.retain(|it| it.0 != "person");
                fields.sort_by(|left, right| left.0.cmp(&right.0));
                (it.id.clone(), it.label.clone(), it.kind, it.position, fields)
            })
            .collect();
        let connections: Vec<_> = diagram
            .connections
            .iter()
            .map(|it| {
                let label = it.label.as_ref().map(|it| it.value.clone());
                (it.from, it.output, it.to, it.input, label, it.content_type, it.data.clone())
            })
            .collect();
        (nodes, connections, diagram.persons[0].script.clone(), diagram.metadata["name"].clone())
    };
    let light = read("greet.light.yaml");
    for name in ["greet.native.json", "greet1.readable.yaml", "greet2.readable.yaml", "greet3.readable.yaml"] {
        assert_eq!(read(name), light, "{name}");
    }
}

fn files_below(folder: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the corpus is readable") {
        let path = entry.expect("the corpus is readable").path();
        if path.is_dir() {
            texts.extend(files_below(&path));
        } else if path.extension().is_some_and(|it| it == "yaml" || it == "json") {
            texts.push(std::fs::read_to_string(path).expect("the corpus is text"));
        }
    }
    texts
}

#[test]
fn mutated_corpus_files_never_panic() {
    let Some(corpus) = corpus() else { return };
    let texts: Vec<String> = ["dipeo", "micro"].iter().flat_map(|it| files_below(&corpus.join(it))).collect();
    assert!(texts.len() > 90, "{} files", texts.len());
    let mut runner = proptest::test_runner::TestRunner::new(proptest::test_runner::Config {
        cases: 600,
        failure_persistence: None,
        ..Default::default()
    });
    let mutation = (0..texts.len(), 0.0..1.0_f64, 0..60_usize, "[-\\[\\]{}:,\"'&*#>|\t\n a-z0-9é]{0,6}");
    let outcome = runner.run(&mutation, |(file, at, n_cut, inserted)| {
        let characters: Vec<char> = texts[file].chars().collect();
        let start = (characters.len() as f64 * at) as usize;
        let end = (start + n_cut).min(characters.len());
        let text: String = characters[..start]
            .iter()
            .copied()
            .chain(inserted.chars())
            .chain(characters[end..].iter().copied())
            .collect();
        for it in parse(&text, None).diagnostics {
            assert!(text.get(it.span.offset..it.span.offset + it.span.len).is_some(), "{it:?}");
            assert!(it.patch.is_none_or(|it| text.get(it.offset..it.offset + it.len).is_some()));
        }
        Ok(())
    });
    outcome.unwrap();
}
