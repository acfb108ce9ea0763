//! Makes an execution object fit: the longest texts lose their ends first, lists lose their last items, and
//! each loss is named, counted and linked. Sizes are characters of compact JSON, which is what a client is sent.

use serde::Serialize;
use serde_json::{Map, Value};

use super::Start;
use super::cursor::{Cursor, Place};
use crate::handlers::execution_object::{ExecutionObject, Omitted, ShownMessage, ShownNode};
use crate::shown;

/// No text is cut to less than this, in characters: shorter says nothing.
const TEXT_CHARS_MIN: usize = 80;
/// Losses that are named one by one; more are counted together.
const OMITTED_MAX: usize = 12;
/// What naming one loss takes: its words, link and cursor.
const OMITTED_CHARS: usize = 260;

/// Shortens `object` until it has at most `max_chars` characters.
pub(super) fn fit(object: &mut ExecutionObject, max_chars: usize, start: &Start) {
    let steps: [fn(&mut Fitting<'_>); 5] = [
        |it| it.drop_doubles(),
        |it| it.fit_lists(),
        |it| it.fit_texts(),
        |it| it.drop_details(),
        |it| it.keep_the_core(),
    ];
    let mut fitting = Fitting { uri: format!("dipeo://executions/{}", object.execution_id), object, max_chars, start };
    for step in steps {
        if fitting.excess() == 0 {
            return;
        }
        step(&mut fitting);
    }
}

struct Fitting<'o> {
    object: &'o mut ExecutionObject,
    max_chars: usize,
    uri: String,
    start: &'o Start,
}

/// A text that may lose its end, and where the rest of it is read.
struct Slot<'o> {
    held: Held<'o>,
    what: String,
    cursor: Option<Cursor>,
}

/// Takes one kind of detail out: its name and how many there were.
type Leave = fn(&mut ExecutionObject) -> (&'static str, usize);

enum Held<'o> {
    Text(&'o mut String),
    Json(&'o mut Value),
}

impl Fitting<'_> {
    fn excess(&self) -> usize {
        size(self.object).saturating_sub(self.max_chars)
    }

    fn omit(&mut self, what: &str, count: usize, path: &str, cursor: Option<Cursor>) {
        if count == 0 {
            return;
        }
        let uri = format!("{}{path}", self.uri);
        let (omitted, cursor) = (&mut self.object.omitted, cursor.map(|it| it.write()));
        if let Some(same) = omitted.iter_mut().find(|it| it.what == what && it.uri == uri && it.cursor == cursor) {
            same.count += count as u64;
            return;
        }
        if omitted.len() < OMITTED_MAX {
            omitted.push(Omitted { what: what.to_owned(), count: count as u64, uri, cursor });
            return;
        }
        // The last entry stands for all that are not named.
        const OTHERS: &str = "more values";
        match omitted.last_mut().filter(|it| it.what == OTHERS) {
            Some(others) => others.count += 1,
            None => omitted.push(Omitted { what: OTHERS.to_owned(), count: 1, uri: self.uri.clone(), cursor: None }),
        }
    }

    /// What stands in the object twice need not be there once more when room is short.
    fn drop_doubles(&mut self) {
        if let Some(value) = self.object.final_output.take() {
            self.omit("final_output", size(&value), "", None);
        }
        if self.object.last_message.take().is_some() {
            self.omit("last_message", 1, "/messages", None);
        }
    }

    /// Lists share what the rest of the object leaves, at least half of all.
    fn fit_lists(&mut self) {
        let it = &self.object;
        let sizes = [
            it.conversation.as_ref().map_or(0, size),
            it.events.as_ref().map_or(0, size),
            it.nodes.as_ref().map_or(0, size),
        ];
        let rest = size(self.object) - sizes.iter().sum::<usize>() + 3 * OMITTED_CHARS;
        let share = level(&sizes, self.max_chars.saturating_sub(rest).max(self.max_chars / 2));
        self.fit_conversation(share);
        self.fit_events(share);
        self.fit_nodes(share);
        self.fit_windows();
    }

    fn fit_conversation(&mut self, share: usize) {
        let Some(messages) = &mut self.object.conversation else { return };
        let dropped = keep(messages, share);
        let (kept, node) = (messages.len() as u64, self.start.node.clone());
        let mut lost = 0;
        if let [only] = messages.as_mut_slice() {
            let room = share.saturating_sub(size(only) - size(&only.content));
            lost = shorten(&mut Held::Text(&mut only.content), room);
        }
        let place = Place::Message(node.clone(), self.start.conversation);
        let from = shown_chars(self.object.conversation.as_ref().and_then(|it| it.first()), lost);
        self.omit(&place.what(), lost, place.path(), Some(Cursor { place: place.clone(), from }));
        let place = Place::Conversation(node);
        let cursor = Cursor { place: place.clone(), from: self.start.conversation + kept };
        self.omit(&place.what(), dropped, place.path(), Some(cursor));
    }

    fn fit_events(&mut self, share: usize) {
        let Some(events) = &mut self.object.events else { return };
        let dropped = keep(events, share);
        if dropped == 0 {
            return;
        }
        let last_seq = events.last().map_or(0, |it| it.seq);
        self.object.last_seq = Some(last_seq);
        let cursor = Cursor { place: Place::Events, from: last_seq };
        self.omit(&Place::Events.what(), dropped, Place::Events.path(), Some(cursor));
    }

    fn fit_nodes(&mut self, share: usize) {
        let Some(nodes) = &mut self.object.nodes else { return };
        // Outputs are cut before nodes are left out: which nodes ran says more than how long their outputs are.
        let lengths: Vec<usize> = nodes.iter().map(|it| it.output.as_ref().map_or(0, size)).collect();
        let bare = size(nodes) - lengths.iter().sum::<usize>();
        let longest = level(&lengths, share.saturating_sub(bare)).max(TEXT_CHARS_MIN);
        let mut losses = Vec::new();
        for node in nodes.iter_mut() {
            losses.push(cut_output(node, longest));
        }
        let dropped = keep(nodes, share);
        let from = self.start.nodes + nodes.len() as u64;
        losses.truncate(nodes.len());
        for (cursor, lost) in losses.into_iter().flatten() {
            self.omit(&cursor.place.what(), lost, "", Some(cursor));
        }
        self.omit(&Place::Nodes.what(), dropped, "", Some(Cursor { place: Place::Nodes, from }));
    }

    /// Of the messages that a model is to be sent the newest stay.
    fn fit_windows(&mut self) {
        let sizes: Vec<usize> = self.object.waiting_for.iter().map(|it| size(&it.messages)).collect();
        let share = level(&sizes, self.max_chars / 2);
        let mut losses = Vec::new();
        for waiting in &mut self.object.waiting_for {
            let place = Place::Window(waiting.node_id.clone());
            waiting.messages.reverse();
            let lost = keep(&mut waiting.messages, share);
            waiting.messages.reverse();
            let shortened = match waiting.messages.as_mut_slice() {
                [only] if size(only) > share => {
                    only.get_mut("content").map_or(0, |it| shorten(&mut Held::Json(it), share.saturating_sub(40)))
                }
                _ => 0,
            };
            losses.push((place, lost.max(usize::from(shortened > 0))));
        }
        for (place, lost) in losses {
            self.omit(&place.what(), lost, place.path(), Some(Cursor { place: place.clone(), from: 0 }));
        }
    }

    /// Cuts the longest texts to one length, the greatest at which the object fits.
    fn fit_texts(&mut self) {
        let excess = self.excess();
        let part = self.start.part.clone();
        let mut slots = slots(self.object, part);
        let lengths: Vec<usize> = slots.iter().map(|it| it.held.size()).collect();
        let length = cut_length(lengths, excess).max(TEXT_CHARS_MIN);
        let mut losses = Vec::new();
        for slot in &mut slots {
            let before = slot.held.chars();
            let lost = shorten(&mut slot.held, length);
            if lost > 0 {
                let cursor = slot.cursor.take().map(|it| Cursor { from: it.from + (before - lost) as u64, ..it });
                losses.push((std::mem::take(&mut slot.what), lost, cursor));
            }
        }
        drop(slots);
        for (what, lost, cursor) in losses {
            // These are read from their beginning: what is shown of them is no beginning of their text.
            let cursor = cursor.map(|it| match it.place {
                Place::Error | Place::Variables => Cursor { from: 0, ..it },
                _ => it,
            });
            self.omit(&what, lost, "", cursor);
        }
    }

    /// Leaves out what tells least, one kind after the other.
    fn drop_details(&mut self) {
        let steps: [Leave; 9] = [
            |it| ("exec_counts", it.exec_counts.take().map_or(0, |it| it.len())),
            |it| ("executed_nodes", it.executed_nodes.take().map_or(0, |it| it.len())),
            |it| ("variables", it.variables.take().map_or(0, |it| it.len())),
            |it| ("node_outputs", it.node_outputs.take().map_or(0, |it| it.len())),
            |it| ("skipped_nodes", std::mem::take(&mut it.skipped_nodes).len()),
            |it| ("children", std::mem::take(&mut it.children).len()),
            |it| ("nodes", it.nodes.take().map_or(0, |it| it.len())),
            |it| ("usage", it.llm_usage.take().map_or(0, |_| 1)),
            |it| ("inspection", it.inspection.take().map_or(0, |_| 1)),
        ];
        for step in steps {
            if self.excess() == 0 {
                return;
            }
            let (what, count) = step(self.object);
            self.omit(what, count, "", None);
        }
        let share = self.max_chars / 8;
        let it = &mut *self.object;
        let dropped = [
            ("outputs", it.outputs.as_mut().map_or(0, |it| keep_entries(it, 2 * share))),
            ("waiting_for", keep(&mut it.waiting_for, 3 * share)),
            ("warnings", keep(&mut it.warnings, share)),
            ("handled_errors", keep(&mut it.handled_errors, share)),
        ];
        for (what, count) in dropped {
            self.omit(what, count, "", None);
        }
    }

    /// What is always shown, when hardly anything fits.
    fn keep_the_core(&mut self) {
        let it = &mut *self.object;
        let dropped: usize = [
            std::mem::take(&mut it.warnings).len(),
            std::mem::take(&mut it.handled_errors).len(),
            it.outputs.take().map_or(0, |it| it.len()),
            it.conversation.take().map_or(0, |it| it.len()),
            it.events.take().map_or(0, |it| it.len()),
            std::mem::take(&mut it.waiting_for).len(),
        ]
        .into_iter()
        .sum();
        if let Some(Value::Object(error)) = &mut it.error {
            error.retain(|key, _| matches!(key.as_str(), "code" | "message" | "node"));
            for text in error.values_mut() {
                shorten(&mut Held::Json(text), TEXT_CHARS_MIN);
            }
        }
        if let Some(next) = &mut it.next {
            shorten(&mut Held::Text(next), 3 * TEXT_CHARS_MIN);
        }
        if let Some(diagram_id) = &mut it.diagram_id {
            shorten(&mut Held::Text(diagram_id), TEXT_CHARS_MIN);
        }
        it.omitted.clear();
        self.omit("values", dropped.max(1), "", None);
    }
}

/// Every text of `object` that may be cut, outside the lists that have pages of their own.
fn slots(object: &mut ExecutionObject, part: Option<Place>) -> Vec<Slot<'_>> {
    let mut slots = Vec::new();
    let slot = |held, place: Place| Slot { held, what: place.what(), cursor: Some(Cursor { place, from: 0 }) };
    for (label, value) in object.outputs.iter_mut().flatten() {
        slots.push(slot(Held::Json(value), Place::Output(label.clone())));
    }
    for (id, value) in object.node_outputs.iter_mut().flatten() {
        slots.push(slot(Held::Json(value), Place::NodeOutput(id.clone())));
    }
    for waiting in &mut object.waiting_for {
        slots.push(slot(Held::Text(&mut waiting.prompt), Place::Prompt(waiting.node_id.clone())));
    }
    if let Some(error) = &mut object.error {
        let mut texts = Vec::new();
        texts_of(error, &mut texts);
        slots.extend(texts.into_iter().map(|it| slot(Held::Text(it), Place::Error)));
    }
    for value in object.variables.iter_mut().flat_map(|it| it.values_mut()) {
        slots.push(slot(Held::Json(value), Place::Variables));
    }
    if let Some(inspection) = &mut object.inspection {
        for value in inspection.variables.values_mut() {
            slots.push(Slot { held: Held::Json(value), what: "variables".to_owned(), cursor: None });
        }
        for (name, value) in inspection.node.iter_mut().flat_map(|it| &mut it.inputs) {
            slots.push(Slot { held: Held::Json(value), what: format!("input {name}"), cursor: None });
        }
    }
    for error in &mut object.handled_errors {
        slots.push(Slot { held: Held::Json(error), what: "handled error".to_owned(), cursor: None });
    }
    for warning in &mut object.warnings {
        slots.push(Slot { held: Held::Text(&mut warning.message), what: "warning".to_owned(), cursor: None });
    }
    if let (Some(part), Some(place)) = (&mut object.part, part) {
        let cursor = Cursor { place, from: part.from };
        slots.push(Slot { held: Held::Text(&mut part.text), what: part.what.clone(), cursor: Some(cursor) });
    }
    slots
}

/// The texts of an error, its causes' too, but those that say which error it is: its shape stays.
fn texts_of<'v>(value: &'v mut Value, texts: &mut Vec<&'v mut String>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter_mut().for_each(|it| texts_of(it, texts)),
        Value::Object(map) => {
            let foreign = map.iter_mut().filter(|(key, _)| !matches!(key.as_str(), "code" | "node" | "node_id"));
            foreign.for_each(|(_, it)| texts_of(it, texts));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl Held<'_> {
    /// Characters of its JSON.
    fn size(&self) -> usize {
        match self {
            Self::Text(text) => size(text),
            Self::Json(value) => size(value),
        }
    }

    /// Characters of its text: a text as it is, anything else as JSON.
    fn chars(&self) -> usize {
        match self {
            Self::Text(text) => text.chars().count(),
            Self::Json(Value::String(text)) => text.chars().count(),
            Self::Json(_) => self.size(),
        }
    }
}

/// Cuts the end of a text whose JSON is longer than `room`; a value that is no text becomes the beginning of its
/// JSON. Returns how many characters are left out.
fn shorten(held: &mut Held<'_>, room: usize) -> usize {
    if held.size() <= room {
        return 0;
    }
    let text = match held {
        Held::Text(text) => std::mem::take(*text),
        Held::Json(value) => match value.take() {
            Value::String(text) => text,
            other => other.to_string(),
        },
    };
    // Two quotes and the sign of the cut.
    let (mut end, mut used) = (0, 3);
    for it in text.chars() {
        used += escaped_chars(it);
        if used > room {
            break;
        }
        end += 1;
    }
    let (shown, lost) = shown::beginning(&text, end);
    let shown = format!("{shown}…");
    match held {
        Held::Text(text) => **text = shown,
        Held::Json(value) => **value = Value::String(shown),
    }
    lost
}

/// Characters that stand for one in a JSON text.
fn escaped_chars(it: char) -> usize {
    match it {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => 1,
    }
}

fn cut_output(node: &mut ShownNode, longest: usize) -> Option<(Cursor, usize)> {
    let mut held = Held::Json(node.output.as_mut()?);
    let before = held.chars();
    let lost = shorten(&mut held, longest);
    let place = Place::NodeOutput(node.node_id.clone());
    (lost > 0).then(|| (Cursor { place, from: (before - lost) as u64 }, lost))
}

/// Characters of a message that are shown after it lost `lost`: all but the sign of the cut.
fn shown_chars(message: Option<&ShownMessage>, lost: usize) -> u64 {
    let chars = message.map_or(0, |it| it.content.chars().count());
    if lost > 0 { chars.saturating_sub(1) as u64 } else { 0 }
}

fn size<T: Serialize + ?Sized>(value: &T) -> usize {
    serde_json::to_string(value).map_or(0, |it| it.chars().count())
}

/// Keeps the first items that have room together, at least one, and returns how many were dropped.
fn keep<T: Serialize>(items: &mut Vec<T>, room: usize) -> usize {
    let mut used = 2;
    let fits = items.iter().take_while(|it| {
        used += size(*it) + 1;
        used <= room
    });
    let n_kept = fits.count().max(1).min(items.len());
    let dropped = items.len() - n_kept;
    items.truncate(n_kept);
    dropped
}

fn keep_entries(map: &mut Map<String, Value>, room: usize) -> usize {
    let before = map.len();
    let mut used = 2;
    map.retain(|key, value| {
        used += size(key) + size(value) + 2;
        used <= room
    });
    before - map.len()
}

/// The length to which the longest of `lengths` must come down for all of them to fit into `room`.
fn level(lengths: &[usize], room: usize) -> usize {
    let total: usize = lengths.iter().sum();
    match total.checked_sub(room) {
        None | Some(0) => lengths.iter().copied().max().unwrap_or(0).max(room),
        Some(excess) => level_of(lengths.to_vec(), excess, 0),
    }
}

/// As [`level`], for losing `excess` characters, where naming each loss takes room too.
fn cut_length(lengths: Vec<usize>, excess: usize) -> usize {
    level_of(lengths, excess, OMITTED_CHARS)
}

fn level_of(mut lengths: Vec<usize>, excess: usize, price: usize) -> usize {
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    let mut sum = 0;
    for (at, length) in lengths.iter().enumerate() {
        let n_cut = at + 1;
        sum += length;
        let paid = price * n_cut.min(OMITTED_MAX + 1);
        let Some(left) = sum.checked_sub(excess + paid) else { continue };
        let each = left / n_cut;
        if lengths.get(n_cut).is_none_or(|next| *next <= each) {
            return each;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn object(fields: Value) -> ExecutionObject {
        let mut whole = json!({"execution_id": format!("exec_{}", "0".repeat(32)), "status": "completed"});
        whole.as_object_mut().expect("an object").extend(fields.as_object().cloned().expect("an object"));
        serde_json::from_value(whole).expect("an execution object")
    }

    fn fitted(fields: Value, max_chars: usize) -> ExecutionObject {
        let mut it = object(fields);
        fit(&mut it, max_chars, &Start::default());
        assert!(size(&it) <= max_chars, "{} of {max_chars}: {}", size(&it), json!(it));
        it
    }

    fn cursor_of(omitted: &Omitted) -> Cursor {
        Cursor::read(omitted.cursor.as_deref().expect("a cursor")).expect("one of ours")
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        let fields = json!({"outputs": {"a": "x".repeat(500)}, "final_output": "x".repeat(500)});
        assert_eq!(fitted(fields.clone(), 2_000), object(fields));
    }

    #[test]
    fn one_long_text_gets_all_the_room_and_says_where_it_goes_on() {
        let whole = "é\"".repeat(20_000);
        let it = fitted(json!({"outputs": {"end": whole, "n": 7}}), 20_000);
        assert!(size(&it) > 19_500, "room is wasted: {}", size(&it));
        let outputs = it.outputs.expect("outputs");
        let shown = outputs["end"].as_str().expect("text").strip_suffix('…').expect("cut");
        let n_shown = shown.chars().count() as u64;
        let [omitted] = it.omitted.as_slice() else { panic!("{:?}", it.omitted) };
        assert_eq!((omitted.what.as_str(), omitted.count), ("output of end", 40_000 - n_shown));
        assert_eq!(cursor_of(omitted), Cursor { place: Place::Output("end".into()), from: n_shown });
        assert!(whole.starts_with(shown) && outputs["n"] == 7);
    }

    #[test]
    fn the_longest_lose_their_ends_and_short_ones_nothing() {
        let it = fitted(
            json!({"outputs": {"a": "a".repeat(900), "b": "b".repeat(9_000), "c": {"c": ["c".repeat(9_000)]}}}),
            8_000,
        );
        let outputs = it.outputs.expect("outputs");
        assert_eq!(outputs["a"], json!("a".repeat(900)));
        let lengths = ["b", "c"].map(|it| outputs[it].as_str().expect("cut to a text").chars().count());
        assert!(lengths.iter().all(|it| *it > 2_500), "{lengths:?}");
        assert!(outputs["c"].as_str().is_some_and(|it| it.starts_with(r#"{"c":["ccc"#)));
    }

    #[test]
    fn a_conversation_ends_after_the_last_whole_message_that_has_room() {
        let message =
            |n: usize| json!({"role": "user", "content": format!("{n} {}", "m".repeat(300)), "node_id": "node_1"});
        let all: Vec<Value> = (0..100).map(message).collect();
        let it = fitted(json!({"outputs": {"end": "short"}, "conversation": all}), 10_000);
        let kept = it.conversation.expect("a part of it").len() as u64;
        assert!((20..40).contains(&kept), "{kept}");
        let [omitted] = it.omitted.as_slice() else { panic!("{:?}", it.omitted) };
        assert_eq!((omitted.count, omitted.uri.ends_with("/messages")), (100 - kept, true));
        assert_eq!(cursor_of(omitted), Cursor { place: Place::Conversation(None), from: kept });
    }

    #[test]
    fn a_message_that_is_longer_than_a_page_is_cut_and_can_be_read_on() {
        let long = json!({"role": "user", "content": "m".repeat(30_000), "node_id": "node_1"});
        let it = fitted(json!({"conversation": [long, long]}), 5_000);
        let message = &it.conversation.as_ref().expect("one")[0];
        let n_shown = message.content.chars().count() as u64 - 1;
        assert_eq!(cursor_of(&it.omitted[0]), Cursor { place: Place::Message(None, 0), from: n_shown });
        assert_eq!(it.omitted[0].count, 30_000 - n_shown);
        assert_eq!((it.omitted[1].count, cursor_of(&it.omitted[1]).from), (1, 1));
    }

    #[test]
    fn the_error_and_the_question_survive_when_hardly_anything_fits() {
        let nodes: Vec<Value> = (0..500)
            .map(|n| json!({"node_id": format!("node_{n}"), "label": "x".repeat(50), "type": "start", "status": "failed", "iterations": 1, "output": "y".repeat(500)}))
            .collect();
        let it = fitted(
            json!({
                "status": "failed", "nodes": nodes, "skipped_nodes": vec!["label"; 900], "variables": {"a": "z".repeat(9_000)},
                "error": {"code": "CODE_FAILED", "message": "m".repeat(9_000), "node": "x", "details": {"printed": "p".repeat(9_000)}},
            }),
            2_000,
        );
        let error = it.error.expect("the error");
        assert_eq!(error["code"], "CODE_FAILED");
        assert!(error["message"].as_str().is_some_and(|it| it.starts_with("mmm")));
        assert!(it.omitted.iter().all(|it| it.count > 0 && !it.what.is_empty() && it.uri.starts_with("dipeo://")));
    }

    fn texts(n_chars: usize) -> impl Strategy<Value = String> {
        (proptest::collection::vec(any::<char>(), 1..8), 0..n_chars)
            .prop_map(|(chars, n)| chars.into_iter().cycle().take(n).collect())
    }

    fn values() -> impl Strategy<Value = Value> {
        prop_oneof![
            texts(9_000).prop_map(Value::from),
            proptest::collection::vec(texts(900).prop_map(Value::from), 0..9).prop_map(Value::Array),
            any::<i64>().prop_map(Value::from),
        ]
    }

    fn maps() -> impl Strategy<Value = Value> {
        proptest::collection::vec((texts(90), values()), 0..12)
            .prop_map(|entries| Value::Object(entries.into_iter().collect()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn nothing_is_ever_longer_than_asked_for(
            (outputs, variables, error) in (maps(), maps(), maps()),
            said in proptest::collection::vec(texts(3_000), 0..20),
            (n_nodes, n_waiting, n_children) in (0usize..60, 0usize..8, 0usize..200),
            max_chars in prop_oneof![Just(1_000usize), Just(2_500), Just(20_000), Just(100_000)],
        ) {
            let messages: Vec<Value> =
                said.iter().map(|it| json!({"role": "user", "content": it, "node_id": "node_1"})).collect();
            let nodes: Vec<Value> = (0..n_nodes)
                .map(|n| json!({"node_id": format!("node_{n}"), "label": "a label", "type": "start",
                    "status": "completed", "iterations": 1, "output": said.get(n)}))
                .collect();
            let waiting: Vec<Value> = (0..n_waiting)
                .map(|n| json!({"node_id": format!("node_{n}"), "label": "a label", "reason": "model",
                    "prompt": said.get(n).cloned().unwrap_or_default(), "messages": messages}))
                .collect();
            let fields = json!({
                "outputs": outputs, "final_output": outputs, "variables": variables, "error": error,
                "conversation": messages, "nodes": nodes, "waiting_for": waiting,
                "children": vec![format!("exec_{}", "0".repeat(32)); n_children], "next": "see_result {…}",
            });
            let it = fitted(fields.clone(), max_chars);
            let is_cut = it != object(fields);
            prop_assert_eq!(is_cut, !it.omitted.is_empty());
            prop_assert!(it.omitted.iter().all(|it| it.count > 0));
        }
    }
}
