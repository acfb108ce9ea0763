//! `dipeo metrics`: where the time of an execution went, and the last runs of a diagram beside each other.

use clap::Args;

use super::Context;
use super::page::{Page, Table};
use super::results::newest;
use super::run::seconds;
use crate::error::Error;
use crate::handlers::execution_metrics::{self, NodeMetrics, Response, Step, Timings, Tokens};
use crate::handlers::metrics_history::{self, PastRun};

/// Example: dipeo metrics --latest --breakdown
#[derive(Debug, Args)]
#[command(after_help = "Every execution has metrics; nothing has to be switched on.\n\
                        Example: dipeo metrics --latest --breakdown")]
pub struct MetricsArgs {
    /// The execution (the newest)
    pub execution_id: Option<String>,
    /// The newest execution, with --diagram the newest of that diagram
    #[arg(long, conflicts_with = "execution_id")]
    pub latest: bool,
    /// The last 20 runs of this diagram beside each other
    #[arg(long, value_name = "NAME", conflicts_with = "execution_id")]
    pub diagram: Option<String>,
    /// Each run of each node with its phases: queue, inputs, effect, store
    #[arg(long)]
    pub breakdown: bool,
    /// Every run above a tenth of the whole or above a second, not the longest five
    #[arg(long)]
    pub bottlenecks: bool,
    /// What could be better
    #[arg(long)]
    pub optimizations: bool,
}

/// How many bottlenecks are shown unless all are asked for.
const BOTTLENECKS_SHOWN: usize = 5;

/// Shows the metrics of an execution, or the history of a diagram.
pub async fn metrics(context: &Context<'_>, args: MetricsArgs) -> Result<u8, Error> {
    if let (Some(diagram), false) = (&args.diagram, args.latest) {
        let request = metrics_history::Request { diagram: diagram.clone(), limit: None };
        let found = context.metrics_history(request).await?;
        context.output.show(&found, history)?;
        return Ok(0);
    }
    let execution_id = match &args.execution_id {
        Some(id) => id.clone(),
        None => newest(context, None, args.diagram.clone()).await?,
    };
    let request = execution_metrics::Request { execution_id };
    let found = context.execution_metrics(request).await?;
    context.output.show(&found, |it| page(it, &args))?;
    Ok(0)
}

fn page(found: &Response, args: &MetricsArgs) -> Page {
    let mut page = Page::new(&format!("{} {}", found.execution_id, found.status.name()));
    page.facts(figures(found));
    let limit = if args.bottlenecks { found.bottlenecks.len() } else { BOTTLENECKS_SHOWN };
    page.heading("bottlenecks");
    if found.bottlenecks.is_empty() {
        page.line("none: no node took a tenth of the run or a second");
    } else {
        page.table(bottlenecks(found, limit));
    }
    if found.bottlenecks.len() > limit {
        page.line(&format!("({} more: --bottlenecks)", found.bottlenecks.len() - limit));
    }
    if args.breakdown {
        page.heading("breakdown");
        page.table(breakdown(found));
    }
    if args.optimizations {
        page.heading("optimizations");
        if found.optimizations.is_empty() {
            page.line("nothing found");
        }
        found.optimizations.iter().for_each(|it| page.item(&it.message));
    }
    page
}

/// The breakdown alone, below the result of a run.
pub(super) fn breakdown_of(found: &Response) -> Page {
    let mut page = Page::new("timing");
    page.table(breakdown(found));
    page
}

fn figures(found: &Response) -> Vec<(&'static str, String)> {
    let average = match i64::try_from(found.node_count) {
        Ok(count) if count > 0 => format!(", {} ms on average", all_ms(found) / count),
        _ => String::new(),
    };
    let path: Vec<String> = found.critical_path.iter().map(step_name).collect();
    vec![
        ("total", seconds(found.total_duration_ms)),
        ("nodes", format!("{}{average}", found.node_count)),
        ("tokens", tokens(&found.total_token_usage)),
        ("critical path", format!("{}: {}", seconds(found.critical_path_ms), path.join(" > "))),
    ]
}

fn all_ms(found: &Response) -> i64 {
    found.node_breakdown.iter().map(|it| it.duration_ms).fold(0, i64::saturating_add)
}

fn tokens(it: &Tokens) -> String {
    let cost = it.cost_usd.map(|usd| format!(", ${usd:.4}")).unwrap_or_default();
    format!("{} in, {} out, {} in all{cost}", it.input, it.output, it.total)
}

/// `write`, `write (run 2)`
fn step_name(it: &Step) -> String {
    if it.iteration > 1 { format!("{} (run {})", it.label, it.iteration) } else { it.label.clone() }
}

fn bottlenecks(found: &Response, limit: usize) -> Table {
    let mut table = Table::new(&["node", "type", "ms", "share"]).right(2).right(3);
    for it in found.bottlenecks.iter().take(limit) {
        let share = it.duration_ms.saturating_mul(100) / found.total_duration_ms.max(1);
        table.row([step_name(it), it.node_type.clone(), it.duration_ms.to_string(), format!("{share} %")]);
    }
    table
}

fn breakdown(found: &Response) -> Table {
    let mut table = Table::new(&["node", "run", "ms", "queue", "inputs", "effect", "store", "waiting", "tokens", ""]);
    for column in 1..=8 {
        table = table.right(column);
    }
    let mut sum = Timings::default();
    for it in &found.node_breakdown {
        let tokens = it.token_usage.map(|it| it.total.to_string()).unwrap_or_default();
        table.row(phases(&it.label, &it.iteration.to_string(), it.duration_ms, it.module_timings, tokens, remark(it)));
        sum = plus(sum, it.module_timings);
    }
    let total = found.total_token_usage.total;
    let tokens = if total > 0 { total.to_string() } else { String::new() };
    table.row(phases("sum", "", all_ms(found), sum, tokens, String::new()));
    table
}

fn phases(label: &str, run: &str, ms: i64, it: Timings, tokens: String, remark: String) -> [String; 10] {
    let waiting = it.waiting.saturating_add(it.idle);
    let [ms, queue, inputs, effect, store, waiting] =
        [ms, it.queue, it.inputs, it.effect, it.store, waiting].map(|it| it.to_string());
    [label.to_owned(), run.to_owned(), ms, queue, inputs, effect, store, waiting, tokens, remark]
}

fn remark(it: &NodeMetrics) -> String {
    match &it.error {
        Some(error) => error.code.clone(),
        None if it.copied => "copied".to_owned(),
        None => String::new(),
    }
}

fn plus(a: Timings, b: Timings) -> Timings {
    Timings {
        queue: a.queue.saturating_add(b.queue),
        inputs: a.inputs.saturating_add(b.inputs),
        effect: a.effect.saturating_add(b.effect),
        store: a.store.saturating_add(b.store),
        waiting: a.waiting.saturating_add(b.waiting),
        idle: a.idle.saturating_add(b.idle),
    }
}

fn history(found: &metrics_history::Response) -> Page {
    let mut page = Page::new(&found.diagram_id);
    let mut table = Table::new(&["execution", "status", "started", "ms", "nodes", "tokens", "$"]);
    for column in 3..=6 {
        table = table.right(column);
    }
    found.runs.iter().for_each(|it| table.row(past(it)));
    page.table(table);
    let times: Vec<i64> = found.runs.iter().filter_map(|it| it.total_duration_ms).collect();
    if let (Some(least), Some(most)) = (times.iter().min(), times.iter().max()) {
        let mean = times.iter().sum::<i64>() / i64::try_from(times.len()).unwrap_or(1);
        page.line(&format!("fastest {least} ms, slowest {most} ms, {mean} ms on average"));
    }
    page.line(&format!("{} of {} runs", found.runs.len(), found.total));
    page
}

fn past(it: &PastRun) -> [String; 7] {
    let failed = it.error_code.as_deref().map(|it| format!(" ({it})")).unwrap_or_default();
    let usage = it.total_token_usage;
    [
        it.execution_id.clone(),
        format!("{}{failed}", it.status.name()),
        it.started_at.clone(),
        it.total_duration_ms.map(|it| it.to_string()).unwrap_or_default(),
        it.node_count.map(|it| it.to_string()).unwrap_or_default(),
        usage.map(|it| it.total.to_string()).unwrap_or_default(),
        usage.and_then(|it| it.cost_usd).map(|it| format!("{it:.4}")).unwrap_or_default(),
    ]
}
