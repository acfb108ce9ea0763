//! The drawing: a timeline as one SVG element that needs nothing else. No script, no link, no foreign text
//! outside character data.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::axis::{duration, marks};
use super::layout::{self, Bar, Row, Scale};
use super::record::{NodeRun, Stretch, StretchKind, Timeline, state_of};
use super::style;
use super::text::{is_cut, shown};
use crate::clock::Timestamp;
use crate::diagram::draw::State;

const WIDTH: u32 = 960;
const MARGIN: u32 = 12;
const CHART_LEFT: u32 = 216;
const CHART_WIDTH: u32 = 600;
/// Where the words behind a row begin.
const WORDS_LEFT: u32 = CHART_LEFT + CHART_WIDTH + 10;
const CHART_TOP: u32 = 66;
const ROW_HEIGHT: u32 = 22;
const BAR_HEIGHT: u32 = 14;
const LINE_HEIGHT: u32 = 18;
/// Columns of a label in front of its row, and of the whole label where one can ask for it.
const LABEL_COLUMNS: usize = 26;
const TITLE_COLUMNS: usize = 60;
/// Nodes that the description names, and labels in a note.
const NAMED_MAX: usize = 12;

/// Returns the picture as of `now`. The same events and the same moment give the same text, which is well-formed
/// XML of at most 100,000 characters whatever the diagram's names are.
pub fn svg(timeline: &Timeline, execution_id: &str, now: Timestamp) -> String {
    let end = timeline.ended_at.unwrap_or(now).max(timeline.last_at);
    let scale = Scale {
        from: timeline.started_at,
        span_ms: end.since_ms(timeline.started_at),
        left: f64::from(CHART_LEFT),
        width: f64::from(CHART_WIDTH),
    };
    let (rows, n_rows_left_out, n_runs_left_out) = layout::rows(timeline, scale, end);
    let notes = notes(timeline, &rows, n_rows_left_out, n_runs_left_out);
    let chart_bottom = CHART_TOP + ROW_HEIGHT * (rows.len() as u32 + 1);
    let height = chart_bottom + 34 + LINE_HEIGHT * notes.len() as u32;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"dipeo-timeline\" role=\"img\" \
         aria-labelledby=\"dipeo-timeline-title dipeo-timeline-desc\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\">\n"
    );
    let picture = Picture { timeline, scale, end };
    picture.words(&mut out, execution_id, &rows, n_rows_left_out);
    out.push_str(&style::head());
    let _ = write!(out, "\n<rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\"/>\n");
    picture.head(&mut out, execution_id);
    picture.axis(&mut out, chart_bottom);
    picture.whole(&mut out);
    for (idx, row) in rows.iter().enumerate() {
        picture.row(&mut out, row, row_top(idx + 1));
    }
    legend(&mut out, timeline, &rows, chart_bottom + 20);
    for (idx, note) in notes.iter().enumerate() {
        let y = chart_bottom + 40 + LINE_HEIGHT * idx as u32;
        let _ = writeln!(out, "<text class=\"pale\" x=\"{MARGIN}\" y=\"{y}\">{note}</text>");
    }
    out.push_str("</svg>\n");
    out
}

fn row_top(idx: usize) -> u32 {
    CHART_TOP + ROW_HEIGHT * idx as u32
}

/// What every part of the drawing looks at.
struct Picture<'a> {
    timeline: &'a Timeline,
    scale: Scale,
    end: Timestamp,
}

impl Picture<'_> {
    fn state(&self) -> State {
        state_of(self.timeline.status)
    }

    fn name(&self) -> &str {
        self.timeline.diagram.as_deref().unwrap_or("a diagram")
    }

    fn summary(&self) -> String {
        let n_runs = self.timeline.runs.len();
        let state = self.state().name();
        let preposition = if self.timeline.ended_at.is_some() { "after" } else { "for" };
        format!("{state} {preposition} {}, {}", duration(self.scale.span_ms), counted(n_runs, "node execution"))
    }

    /// Title and description: what a screen reader says.
    fn words(&self, out: &mut String, execution_id: &str, rows: &[Row<'_>], n_rows_left_out: usize) {
        let _ = writeln!(
            out,
            "<title id=\"dipeo-timeline-title\">Timeline of {}: {}</title>",
            shown(self.name(), TITLE_COLUMNS),
            self.summary()
        );
        let _ = write!(
            out,
            "<desc id=\"dipeo-timeline-desc\">{} started at {}.",
            shown(execution_id, TITLE_COLUMNS),
            self.timeline.started_at.to_rfc3339()
        );
        for row in rows.iter().take(NAMED_MAX) {
            let label = shown(&self.timeline.nodes[row.node].label, LABEL_COLUMNS);
            let times = if row.n_runs > 1 { format!(" {} times", row.n_runs) } else { String::new() };
            let _ = write!(out, " {label}: {}{times}, {} in all.", row.state.name(), duration(row.total_ms));
        }
        let n_more = (rows.len() + n_rows_left_out).saturating_sub(NAMED_MAX);
        if n_more > 0 {
            let _ = write!(out, " And {}.", counted(n_more, "more node"));
        }
        out.push_str("</desc>\n");
    }

    fn head(&self, out: &mut String, execution_id: &str) {
        let state = self.state();
        let _ = writeln!(
            out,
            "<text class=\"head\" x=\"{MARGIN}\" y=\"22\">{} {} {}</text>",
            shown(self.name(), TITLE_COLUMNS),
            state.sign(),
            state.name()
        );
        let _ = writeln!(
            out,
            "<text class=\"pale\" x=\"{MARGIN}\" y=\"40\">{} · started {} · {}</text>",
            shown(execution_id, TITLE_COLUMNS),
            self.timeline.started_at.to_rfc3339(),
            self.summary()
        );
    }

    fn axis(&self, out: &mut String, bottom: u32) {
        for ms in marks(self.scale.span_ms) {
            let x = pixels(self.scale.x(self.scale.from.plus_ms(ms)));
            let _ = writeln!(
                out,
                "<path class=\"grid\" d=\"M{x} {CHART_TOP}V{bottom}\"/><text class=\"pale mark\" x=\"{x}\" y=\"60\">{}</text>",
                duration(ms)
            );
        }
    }

    /// The first row: the execution itself.
    fn whole(&self, out: &mut String) {
        let (left, right) = (self.scale.left, self.scale.left + self.scale.width);
        let _ = write!(out, "<g><text x=\"{MARGIN}\" y=\"{}\">whole execution</text>", row_top(0) + 15);
        let marked = layout::marked(&self.timeline.whole, self.scale, self.end, left, right);
        let waiting = ms_of(&self.timeline.whole, StretchKind::Waiting, self.end);
        let bar = Bar { runs: Vec::new(), state: self.state(), left, right, stretches: marked };
        let title = waited(&format!("{} {}", self.state().name(), duration(self.scale.span_ms)), waiting);
        draw_bar(out, &bar, row_top(0), &title);
        self.end_of_row(out, row_top(0), self.state(), self.scale.span_ms);
    }

    fn row(&self, out: &mut String, row: &Row<'_>, top: u32) {
        let label = &self.timeline.nodes[row.node].label;
        let times = if row.n_runs > 1 { format!(" ×{}", row.n_runs) } else { String::new() };
        let columns = LABEL_COLUMNS - times.chars().count();
        out.push_str("<g>");
        let y = top + 15;
        let _ = write!(out, "<text x=\"{MARGIN}\" y=\"{y}\">");
        if is_cut(label, columns) {
            let _ = write!(out, "<title>{}</title>", shown(label, TITLE_COLUMNS));
        }
        let _ = write!(out, "{}{times}</text>", shown(label, columns));
        for bar in &row.bars {
            draw_bar(out, bar, top, &self.title(bar, row.n_runs > 1));
            self.number(out, bar, row, top);
        }
        self.end_of_row(out, top, row.state, row.total_ms);
    }

    /// The iteration on its bar, or how many were drawn together, where there is room.
    fn number(&self, out: &mut String, bar: &Bar<'_>, row: &Row<'_>, top: u32) {
        let number = match bar.runs.as_slice() {
            [run] if row.n_runs > 1 => run.iteration.to_string(),
            [_] | [] => return,
            several => format!("×{}", several.len()),
        };
        if bar.right - bar.left < 8.0 + 6.0 * number.chars().count() as f64 {
            return;
        }
        let x = pixels(f64::midpoint(bar.left, bar.right));
        let _ = write!(out, "<text class=\"iteration\" x=\"{x}\" y=\"{}\">{number}</text>", top + 15);
    }

    fn end_of_row(&self, out: &mut String, top: u32, state: State, ms: i64) {
        let _ = writeln!(
            out,
            "<text class=\"pale\" x=\"{WORDS_LEFT}\" y=\"{}\">{} {}</text></g>",
            top + 15,
            state.sign(),
            duration(ms)
        );
    }

    fn title(&self, bar: &Bar<'_>, is_repeated: bool) -> String {
        match bar.runs.as_slice() {
            [run] => self.title_of(run, is_repeated),
            runs => {
                let n_failed = runs.iter().filter(|it| it.state == State::Failed).count();
                let failed = if n_failed > 0 { format!(", {n_failed} of them failed") } else { String::new() };
                let first = runs.first().map_or(0, |it| it.iteration);
                let last = runs.last().map_or(0, |it| it.iteration);
                format!("iterations {first} to {last}, too short to tell apart{failed}")
            }
        }
    }

    fn title_of(&self, run: &NodeRun, is_repeated: bool) -> String {
        let iteration = if is_repeated { format!("iteration {}: ", run.iteration) } else { String::new() };
        let mut title = format!("{iteration}{} {}", run.state.name(), duration(run.ms(self.end)));
        title = waited(&title, run.ms_of(StretchKind::Waiting, self.end));
        if run.attempts > 1 {
            let _ = write!(title, ", {} attempts", run.attempts);
        }
        if run.n_items > 0 {
            let _ = write!(title, ", {} items", run.n_items);
        }
        title
    }
}

fn ms_of(stretches: &[Stretch], kind: StretchKind, now: Timestamp) -> i64 {
    stretches.iter().filter(|it| it.kind == kind).map(|it| it.ms(now)).fold(0, i64::saturating_add)
}

fn waited(title: &str, waiting_ms: i64) -> String {
    if waiting_ms == 0 { title.to_owned() } else { format!("{title}, {} of it waiting", duration(waiting_ms)) }
}

fn draw_bar(out: &mut String, bar: &Bar<'_>, top: u32, title: &str) {
    let y = top + (ROW_HEIGHT - BAR_HEIGHT) / 2;
    let rect = |out: &mut String, class: &str, left: f64, right: f64| {
        let (x, width) = (pixels(left), pixels(right - left));
        let _ = write!(
            out,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{BAR_HEIGHT}\" rx=\"2\"/>"
        );
    };
    let _ = write!(out, "<g><title>{title}</title>");
    rect(out, bar.state.name(), bar.left, bar.right);
    for (kind, left, right) in &bar.stretches {
        rect(out, class_of(*kind), *left, *right);
    }
    out.push_str("</g>");
}

fn class_of(kind: StretchKind) -> &'static str {
    match kind {
        StretchKind::Working => State::Running.name(),
        StretchKind::Waiting => State::Waiting.name(),
        StretchKind::Idle => "idle",
    }
}

/// The states and stretches that occur, each with its fill, sign and word.
fn legend(out: &mut String, timeline: &Timeline, rows: &[Row<'_>], y: u32) {
    let bars = || rows.iter().flat_map(|it| &it.bars);
    let mut states: BTreeSet<State> = bars().map(|it| it.state).chain([state_of(timeline.status)]).collect();
    let kinds = || bars().flat_map(|it| &it.stretches).map(|it| it.0).chain(timeline.whole.iter().map(|it| it.kind));
    if kinds().any(|it| it == StretchKind::Waiting) {
        states.insert(State::Waiting);
    }
    let mut words: Vec<(&str, String)> =
        states.into_iter().map(|it| (it.name(), format!("{} {}", it.sign(), it.name()))).collect();
    if kinds().any(|it| it == StretchKind::Idle) {
        words.push(("idle", "between attempts or processes".to_owned()));
    }
    let mut x = MARGIN;
    out.push_str("<g>");
    for (class, word) in words {
        let _ = write!(
            out,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{}\" width=\"18\" height=\"10\" rx=\"2\"/>\
             <text class=\"pale\" x=\"{}\" y=\"{y}\">{word}</text>",
            y - 9,
            x + 24
        );
        x += 44 + 7 * word.chars().count() as u32;
    }
    out.push_str("</g>\n");
}

/// What the picture does not show one by one.
fn notes(timeline: &Timeline, rows: &[Row<'_>], n_rows_left_out: usize, n_runs_left_out: usize) -> Vec<String> {
    let mut notes = Vec::new();
    let together = || rows.iter().flat_map(|it| &it.bars).filter(|it| it.runs.len() > 1);
    let n_runs: usize = together().map(|it| it.runs.len()).sum();
    if n_runs > 0 {
        let bars = counted(together().count(), "bar");
        notes.push(format!("{n_runs} node executions too short to tell apart are drawn together as {bars}."));
    }
    if n_rows_left_out > 0 {
        let (nodes, runs) = (counted(n_rows_left_out, "more node"), counted(n_runs_left_out, "node execution"));
        notes.push(format!("Not drawn: {nodes} with {runs}."));
    }
    let never_ran = timeline.never_ran();
    if !never_ran.is_empty() && !timeline.nodes.is_empty() {
        let names: Vec<String> = never_ran.iter().take(4).map(|it| shown(it, LABEL_COLUMNS)).collect();
        let more = never_ran.len() - names.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let word = if timeline.ended_at.is_some() { "Never ran" } else { "Not run yet" };
        notes.push(format!("{word}: {}{more}.", names.join(", ")));
    }
    notes
}

fn counted(n: usize, thing: &str) -> String {
    if n == 1 { format!("1 {thing}") } else { format!("{n} {thing}s") }
}

/// A number of pixels with at most one decimal.
fn pixels(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}
