//! Where everything stands: rows of bars on a scale of time. What is too short to see on its own is drawn
//! together with its neighbours, so the picture of a long loop stays small and still shows all of it.

use super::record::{NodeRun, Stretch, StretchKind, Timeline};
use crate::clock::Timestamp;
use crate::diagram::draw::State;

/// Rows of nodes in one picture, at most.
pub const ROWS_MAX: usize = 80;
/// Bars in one picture that neighbours are drawn together to stay below.
const BARS_MAX: usize = 200;
/// Marked stretches (waiting, idle) in one picture, at most.
const STRETCHES_MAX: usize = 200;
/// Width of a bar at least, in pixels.
const BAR_WIDTH_MIN: f64 = 3.0;
/// A stretch narrower than this is not marked, in pixels.
const STRETCH_WIDTH_MIN: f64 = 1.0;

/// Time to pixels.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub from: Timestamp,
    pub span_ms: i64,
    pub left: f64,
    pub width: f64,
}

impl Scale {
    /// Returns where `at` is, within the scale's ends.
    pub fn x(&self, at: Timestamp) -> f64 {
        let ms = at.since_ms(self.from).min(self.span_ms);
        // A picture needs no more than the 53 bits a float has.
        self.left + ms as f64 / self.span_ms.max(1) as f64 * self.width
    }
}

/// One node's row.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    pub node: usize,
    pub n_runs: usize,
    /// What its newest run did.
    pub state: State,
    /// Milliseconds of all its runs together.
    pub total_ms: i64,
    pub bars: Vec<Bar<'a>>,
}

/// One run, or several neighbours too short to be told apart.
#[derive(Clone, Debug)]
pub struct Bar<'a> {
    pub runs: Vec<&'a NodeRun>,
    /// The worst of its runs.
    pub state: State,
    pub left: f64,
    pub right: f64,
    /// Waiting and idle stretches: kind, left and right.
    pub stretches: Vec<(StretchKind, f64, f64)>,
}

/// Returns the rows, in the order of their nodes' first start, at most [`ROWS_MAX`] of them, and how many
/// rows and runs are left out.
pub fn rows<'a>(timeline: &'a Timeline, scale: Scale, now: Timestamp) -> (Vec<Row<'a>>, usize, usize) {
    let mut by_node: Vec<Vec<&NodeRun>> = vec![Vec::new(); timeline.nodes.len()];
    let mut order = Vec::new();
    for run in &timeline.runs {
        if by_node[run.node].is_empty() {
            order.push(run.node);
        }
        by_node[run.node].push(run);
    }
    let (shown, left_out) = order.split_at(order.len().min(ROWS_MAX));
    let n_runs_left_out = left_out.iter().map(|it| by_node[*it].len()).sum();
    let mut narrow = BAR_WIDTH_MIN;
    let mut rows: Vec<Row<'_>> = shown.iter().map(|it| row(*it, &by_node[*it], scale, now, narrow)).collect();
    while rows.iter().map(|it| it.bars.len()).sum::<usize>() > BARS_MAX && narrow < scale.width {
        narrow *= 2.0;
        rows = shown.iter().map(|it| row(*it, &by_node[*it], scale, now, narrow)).collect();
    }
    let mut room = STRETCHES_MAX;
    for bar in rows.iter_mut().flat_map(|it| &mut it.bars) {
        if let [run] = bar.runs.as_slice() {
            bar.stretches = marked(&run.stretches, scale, now, bar.left, bar.right);
            bar.stretches.truncate(room);
            room -= bar.stretches.len();
        }
    }
    (rows, left_out.len(), n_runs_left_out)
}

fn row<'a>(node: usize, runs: &[&'a NodeRun], scale: Scale, now: Timestamp, narrow: f64) -> Row<'a> {
    let state = runs.last().map_or(State::Pending, |it| it.state);
    let total_ms = runs.iter().map(|it| it.ms(now)).fold(0, i64::saturating_add);
    Row { node, n_runs: runs.len(), state, total_ms, bars: bars(runs, scale, now, narrow) }
}

/// Draws runs narrower than `narrow` together while they lie closer than that.
fn bars<'a>(runs: &[&'a NodeRun], scale: Scale, now: Timestamp, narrow: f64) -> Vec<Bar<'a>> {
    let mut bars: Vec<Bar<'_>> = Vec::new();
    let mut last_is_narrow = false;
    for run in runs {
        let left = scale.x(run.started_at).min(scale.left + scale.width - BAR_WIDTH_MIN);
        let right = scale.x(run.ended_at.unwrap_or(now)).max(left + BAR_WIDTH_MIN);
        let is_narrow = right - left <= narrow;
        match bars.last_mut().filter(|it| last_is_narrow && is_narrow && left < it.right + narrow - BAR_WIDTH_MIN) {
            Some(last) => {
                last.runs.push(run);
                last.state = worse(last.state, run.state);
                last.right = last.right.max(right);
            }
            None => bars.push(Bar { runs: vec![run], state: run.state, left, right, stretches: Vec::new() }),
        }
        last_is_narrow = is_narrow;
    }
    bars
}

fn worse(a: State, b: State) -> State {
    let rank = |it: State| match it {
        State::Failed => 5,
        State::Aborted => 4,
        State::Waiting => 3,
        State::Running => 2,
        State::Pending | State::Completed | State::Skipped | State::MaxiterReached => 1,
    };
    if rank(a) < rank(b) { b } else { a }
}

/// Returns the stretches that were no work and are wide enough to be seen, within `left` and `right`.
pub fn marked(
    stretches: &[Stretch],
    scale: Scale,
    now: Timestamp,
    left: f64,
    right: f64,
) -> Vec<(StretchKind, f64, f64)> {
    stretches
        .iter()
        .filter(|it| it.kind != StretchKind::Working)
        .map(|it| {
            let from = scale.x(it.from).clamp(left, right);
            let until = scale.x(it.until.unwrap_or(now)).clamp(left, right);
            // Whatever is open is open up to the end of its bar.
            (it.kind, from, if it.until.is_none() { right } else { until })
        })
        .filter(|(_, from, until)| until - from >= STRETCH_WIDTH_MIN)
        .collect()
}
