//! A request that nobody recorded. It ends the run whatever the node would make of it, and it says what was
//! recorded that is nearest, and where the two differ.

use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};

use super::recorded::{Recorded, Round};
use crate::error::Error;
use crate::nodes::ports::tape::Kind;

/// Differences that are shown.
const DIFFERENCES_MAX: usize = 5;
/// Characters shown on each side of the place where two texts part.
const BEFORE_CHARS: usize = 20;
const AFTER_CHARS: usize = 60;

/// The first miss of a run, and the id of its node.
#[derive(Default)]
pub(super) struct Missed(Mutex<Option<(String, Error)>>);

impl Missed {
    /// Takes note of a miss; only the first one counts.
    pub(super) fn note(&self, error: Error, node_id: &str) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| (node_id.to_owned(), error));
    }

    pub(super) fn take(&self) -> Option<(String, Error)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The error of a request of `round` that nobody recorded.
pub(super) fn error(recorded: &Recorded, round: &Round, label: &str, (kind, request): (Kind, &str)) -> Error {
    let source = recorded.execution_id.as_ref().map_or_else(String::new, |it| format!(" of `{it}`"));
    let message = format!("the recording{source} has no answer to {} of `{label}`", in_words(kind));
    let asked: Value = serde_json::from_str(request).unwrap_or_default();
    let mut details = Map::from_iter([
        ("node".to_owned(), Value::from(label)),
        ("node_id".to_owned(), round.0.clone().into()),
        ("iteration".to_owned(), round.1.into()),
        ("kind".to_owned(), kind.name().into()),
        ("request".to_owned(), asked.clone()),
    ]);
    let hint = match nearest(recorded, round, kind, &asked) {
        None => format!("nothing like {} was recorded; run the diagram again", in_words(kind)),
        Some((nearest, differences)) => {
            let hint = hint_of(&differences);
            details.insert("nearest".to_owned(), nearest);
            details.insert("differences".to_owned(), differences.into());
            hint
        }
    };
    Error::external("REPLAY_MISS", message).hint(hint).details(Value::Object(details))
}

fn in_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Model => "this model call",
        Kind::Http => "this HTTP request",
        Kind::Command => "this command",
        Kind::Code => "this host code",
        Kind::File => "this use of a file",
        Kind::Child => "this child diagram",
        Kind::Question => "this question",
    }
}

fn hint_of(differences: &[Value]) -> String {
    let text = |it: &Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();
    match differences.first() {
        None => "the same request was recorded, and answered already".to_owned(),
        Some(first) => format!(
            "the nearest recorded one differs in `{}`: `{}` then, `{}` now",
            text(first, "at"),
            text(first, "recorded"),
            text(first, "asked")
        ),
    }
}

/// The recorded request with the fewest differences: of the same round, else of the same node, else of any.
fn nearest(recorded: &Recorded, round: &Round, kind: Kind, asked: &Value) -> Option<(Value, Vec<Value>)> {
    let distance = |it: &Round| match it {
        same if same == round => 0,
        (node, _) if *node == round.0 => 1,
        _ => 2,
    };
    let mut candidates: Vec<(u8, &str)> = Vec::new();
    if kind == Kind::Question {
        candidates.extend(recorded.questions(round).map(|it| (0, it)));
    }
    for (other, calls) in &recorded.calls {
        let of_kind = calls.iter().filter(|it| it.kind == kind.name());
        candidates.extend(of_kind.map(|it| (distance(other), it.request.as_str())));
    }
    let compared = candidates.into_iter().filter_map(|(distance, text)| {
        let request: Value = serde_json::from_str(text).ok()?;
        let mut differences = Vec::new();
        differ("", &request, asked, &mut differences);
        Some((distance, text, request, differences))
    });
    // The text decides last, so that the same miss always names the same one.
    let (_, _, request, mut differences) = compared.min_by_key(|it| (it.0, it.3.len(), it.1))?;
    differences.truncate(DIFFERENCES_MAX);
    Some((request, differences))
}

/// Collects where two values differ: `{at, recorded, asked}`.
fn differ(at: &str, recorded: &Value, asked: &Value, found: &mut Vec<Value>) {
    match (recorded, asked) {
        (Value::Object(a), Value::Object(b)) => {
            let added = b.keys().filter(|it| !a.contains_key(*it));
            for key in a.keys().chain(added) {
                let inside = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                differ(&inside, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), found);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for n in 0..a.len().max(b.len()) {
                let (a, b) = (a.get(n).unwrap_or(&Value::Null), b.get(n).unwrap_or(&Value::Null));
                differ(&format!("{at}[{n}]"), a, b, found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => {
            let (recorded, asked) = parting(&plain(a), &plain(b));
            found.push(json!({"at": at, "recorded": recorded, "asked": asked}));
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Cuts two texts to what stands around the place where they part.
fn parting(a: &str, b: &str) -> (String, String) {
    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    let cut = |text: &str| {
        let from = same.saturating_sub(BEFORE_CHARS);
        let mut shown: String = text.chars().skip(from).take(BEFORE_CHARS + AFTER_CHARS).collect();
        if from > 0 {
            shown.insert(0, '…');
        }
        if text.chars().count() > from + BEFORE_CHARS + AFTER_CHARS {
            shown.push('…');
        }
        shown
    };
    (cut(a), cut(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Recording;
    use crate::ids::ExecutionId;

    fn recorded(requests: &[(&str, Value)]) -> Recorded {
        let id = ExecutionId::parse(&format!("exec_{}", "0".repeat(32))).expect("an id");
        let call = |(node, request): &(&str, Value)| Recording {
            node_id: (*node).into(),
            iteration: 1,
            attempt: 1,
            place: String::new(),
            kind: "http".into(),
            request: request.to_string(),
            reply: None,
        };
        Recorded::new(id, Vec::new(), requests.iter().map(call).collect())
    }

    #[test]
    fn a_miss_names_the_nearest_request_of_the_same_node_and_what_differs() {
        let recorded = recorded(&[
            ("fetch", json!({"url": "http://a/1", "body": "x"})),
            ("fetch", json!({"url": "http://a/2", "body": "y"})),
            ("other", json!({"url": "http://a/3", "body": "x"})),
        ]);
        let asked = json!({"url": "http://a/3", "body": "x"}).to_string();
        let miss = error(&recorded, &("fetch".to_owned(), 1), "Fetch", (Kind::Http, &asked));
        assert_eq!((miss.code(), miss.kind().exit_code()), ("REPLAY_MISS", 6));
        assert!(miss.message().contains("this HTTP request of `Fetch`"), "{}", miss.message());
        assert_eq!(
            miss.hint_text(),
            Some("the nearest recorded one differs in `url`: `http://a/1` then, `http://a/3` now")
        );
        let details = miss.details_value().expect("details");
        assert_eq!(details["nearest"], json!({"url": "http://a/1", "body": "x"}));
        assert_eq!(details["differences"], json!([{"at": "url", "recorded": "http://a/1", "asked": "http://a/3"}]));
        let miss = error(&recorded, &("fetch".to_owned(), 1), "Fetch", (Kind::Model, "{}"));
        assert!(miss.hint_text().is_some_and(|it| it.contains("nothing like")), "{miss:?}");
    }

    #[test]
    fn long_texts_are_shown_where_they_part() {
        let a = format!("{}then{}", "s".repeat(500), "a".repeat(500));
        let b = format!("{}now", "s".repeat(500));
        let mut found = Vec::new();
        differ("", &json!({"p": [a]}), &json!({"p": [b, 1]}), &mut found);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0]["at"], "p[0]");
        assert!(found[0]["recorded"].as_str().is_some_and(|it| it.contains("thenaaa") && it.chars().count() < 90));
        assert_eq!(found[1], json!({"at": "p[1]", "recorded": "null", "asked": "1"}));
    }
}
