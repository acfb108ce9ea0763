//! The live view of a run on stderr: spinners on a terminal, one line per event otherwise.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::print::Output;
use crate::handlers::follow_execution::EventRecord;
use crate::handlers::run_diagram::{OnProgress, OnToken, ProgressNote};

/// Returns what to call for each sign of life: spinners on a terminal, else lines, with `--json` JSON lines; `None` when nobody wants to see it.
pub fn progress(output: Output, asked: bool, refused: bool, quiet: bool) -> Option<OnProgress> {
    if refused || quiet || (!asked && (!output.is_watched() || output.is_json())) {
        return None;
    }
    if output.is_json() {
        return Some(Box::new(move |note| output.note(&json_line(note))));
    }
    if output.is_watched() {
        let mut view = Spinners::new();
        return Some(Box::new(move |note| view.show(note)));
    }
    Some(Box::new(move |note| {
        if note.phase != "node_started" {
            output.note(&line(note));
        }
    }))
}

/// Returns what prints replies on stderr while they come, each node's under its label.
pub fn stream() -> OnToken {
    let mut speaking = String::new();
    Box::new(move |label, text| {
        let mut stderr = std::io::stderr().lock();
        let heading = if speaking == label { String::new() } else { format!("\n[{label}]\n") };
        label.clone_into(&mut speaking);
        // Nobody reads stderr any more: the run goes on all the same.
        let _ = write!(stderr, "{heading}{text}").and_then(|()| stderr.flush());
    })
}

/// For programs that read stderr while the run lasts: stdout is one document, at its end.
fn json_line(note: &ProgressNote) -> String {
    let mut line = json!({"event": note.phase, "label": note.label, "done": note.done});
    if let Some(total) = note.total {
        line["total"] = total.into();
    }
    if let Some(ms) = note.duration_ms {
        line["duration_ms"] = ms.into();
    }
    line.to_string()
}

fn line(note: &ProgressNote) -> String {
    let count = note.total.map_or_else(|| note.done.to_string(), |total| format!("{}/{total}", note.done));
    match note.duration_ms {
        Some(ms) => format!("[{count}] {} ({ms} ms)", note.message),
        None => format!("[{count}] {}", note.message),
    }
}

/// One spinner per running node; finished nodes scroll away above them.
struct Spinners {
    all: MultiProgress,
    running: HashMap<String, ProgressBar>,
}

impl Spinners {
    fn new() -> Self {
        Self { all: MultiProgress::new(), running: HashMap::new() }
    }

    fn show(&mut self, note: &ProgressNote) {
        if note.phase == "node_started" {
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = self.all.add(ProgressBar::new_spinner().with_style(style).with_message(note.label.clone()));
            bar.enable_steady_tick(Duration::from_millis(100));
            self.running.insert(note.label.clone(), bar);
            return;
        }
        if matches!(note.phase.as_str(), "node_completed" | "node_error" | "interactive_prompt")
            && let Some(bar) = self.running.remove(&note.label)
        {
            bar.finish_and_clear();
        }
        // A line that cannot be drawn is no reason to stop the run.
        let _ = self.all.println(line(note));
    }
}

/// What was seen of an execution so far.
#[derive(Default)]
pub(super) struct Seen {
    done: u64,
    total: Option<u64>,
}

impl Seen {
    /// Counts an event; a note when it is worth one.
    pub(super) fn note(&mut self, event: &EventRecord) -> Option<ProgressNote> {
        let number = |key: &str| event.data.get(key).and_then(Value::as_u64);
        match event.event.as_str() {
            "execution_started" => self.total = number("total"),
            "node_completed" | "node_error" => self.done += 1,
            _ => {}
        }
        let label = event.data.get("label").and_then(Value::as_str)?.to_owned();
        let duration_ms = event.data.get("duration_ms").and_then(Value::as_i64);
        ProgressNote::of(&event.event, label, (self.done, self.total), duration_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_against_the_nodes_there_are() {
        let mut seen = Seen::default();
        let mut told = Vec::new();
        for (event, data) in [
            ("execution_started", json!({"total": 2})),
            ("node_started", json!({"label": "a"})),
            ("node_completed", json!({"label": "a", "duration_ms": 3})),
            ("node_skipped", json!({"label": "c"})),
            ("node_error", json!({"label": "b"})),
            ("execution_completed", json!({})),
        ] {
            let Value::Object(data) = data else { panic!("no map") };
            let note = seen.note(&EventRecord { seq: 1, event: event.to_owned(), data });
            told.extend(note.map(|it| format!("{}/{:?} {} {:?}", it.done, it.total, it.message, it.duration_ms)));
        }
        assert_eq!(told, ["0/Some(2) a runs None", "1/Some(2) a done Some(3)", "2/Some(2) b failed None"]);
    }
}
