//! `dipeo diff`.

use clap::Args;

use super::Context;
use super::run::seconds;
use crate::error::Error;
use crate::handlers::diff_executions::{
    Changes, Compared, Definition, Divergence, NodeDifference, NodeSide, Request, Response, StepTexts,
};
use crate::shown;

/// Example: dipeo diff exec_0123… exec_4567…
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo diff exec_0123… exec_4567…\n         dipeo diff review@3 review@5")]
pub struct DiffArgs {
    /// An execution, a diagram, or NAME@N for its N-th revision
    pub a: String,
    /// What it is compared with
    pub b: String,
}

/// Widths of the table's columns: node, side, what differs. A line has 120 characters at most.
const NODE_WIDTH: usize = 24;
const SIDE_WIDTH: usize = 34;
const DIFFERS_WIDTH: usize = 24;
/// Width of a line, and of a line of text behind its name.
const LINE_WIDTH: usize = 120;
const TEXT_WIDTH: usize = 106;

/// Compares and prints; that two things differ is no failure.
pub async fn diff(context: &Context<'_>, args: DiffArgs) -> Result<u8, Error> {
    let request = Request { a: args.a, b: args.b };
    let response = context.diff_executions(request).await?;
    context.output.plain(&response, "diff", text)?;
    Ok(0)
}

fn text(response: &Response) -> String {
    let mut text = format!("A  {}\nB  {}\n", side(&response.a), side(&response.b));
    if response.equal {
        text.push_str("equal\n");
    }
    if let Some(it) = &response.first_divergence {
        text.push_str(&divergence(it));
    }
    if !response.nodes.is_empty() {
        let side = |name| format!("{name:SIDE_WIDTH$}");
        text.push_str(&format!("\n{:NODE_WIDTH$} {} {} differs\n", "node", side("A"), side("B")));
        response.nodes.iter().for_each(|it| text.push_str(&row(it)));
        if response.nodes_left_out > 0 {
            text.push_str(&format!("({} more nodes)\n", response.nodes_left_out));
        }
    }
    text.push_str(&definition(&response.definition));
    text
}

fn side(it: &Compared) -> String {
    let mut parts = vec![it.name.clone()];
    parts.extend(it.diagram_id.as_deref().map(|it| shown::line(it, 40)));
    parts.extend(it.status.map(|it| it.name().to_owned()));
    parts.extend(it.duration_ms.map(seconds));
    if let Some(usage) = &it.llm_usage {
        parts.push(format!("{} tokens", usage.total_tokens));
        parts.extend(usage.cost_usd.map(dollars));
    }
    let fork = it.forked_from.as_ref();
    let fork = fork.map(|it| format!("\n   a fork of {} from {}, run {}", it.execution_id, it.node, it.iteration));
    parts.join("  ") + &fork.unwrap_or_default()
}

fn dollars(usd: f64) -> String {
    format!("${usd:.4}")
}

fn divergence(it: &Divergence) -> String {
    let head = format!("first difference: {}, run {}: {}\n", it.node, it.iteration, it.differs.join(", "));
    let sides = [("A", &it.a), ("B", &it.b)].map(|(name, texts)| match texts {
        Some(texts) => step(name, texts),
        None => format!("  {name}  it did not run\n"),
    });
    head + &sides.concat()
}

fn step(name: &str, texts: &StepTexts) -> String {
    let all =
        [("prompt", &texts.prompt), ("output", &texts.output), ("error", &texts.error), ("branch", &texts.branch)];
    let given = all.into_iter().filter_map(|(what, text)| Some((what, text.as_ref()?)));
    given.map(|(what, text)| format!("  {name}  {what:8}{}", wrapped(text))).collect()
}

/// A text in lines of bounded width behind its name.
fn wrapped(text: &str) -> String {
    let clean = shown::clean(text, &mut Default::default()).into_owned();
    let mut lines = Vec::new();
    for line in clean.lines() {
        let chars: Vec<char> = line.chars().collect();
        lines.extend(chars.chunks(TEXT_WIDTH).map(|it| it.iter().collect::<String>()));
        if chars.is_empty() {
            lines.push(String::new());
        }
    }
    lines.join("\n             ") + "\n"
}

fn row(node: &NodeDifference) -> String {
    let told = |it: &Option<NodeSide>| it.as_ref().map_or_else(|| "-".to_owned(), node_side);
    let label = shown::line(&node.node, NODE_WIDTH);
    let run = node.iteration.filter(|it| *it > 1).map(|it| format!(" (run {it})")).unwrap_or_default();
    let differs = shown::line(&format!("{}{run}", node.differs.join(", ")), DIFFERS_WIDTH);
    let line = format!("{label:NODE_WIDTH$} {:SIDE_WIDTH$} {:SIDE_WIDTH$} {differs}", told(&node.a), told(&node.b));
    format!("{}\n", line.trim_end())
}

fn node_side(it: &NodeSide) -> String {
    let runs = if it.runs == 1 { String::new() } else { format!(" x{}", it.runs) };
    let mut parts = vec![format!("{}{runs}", it.status)];
    parts.extend(it.duration_ms.map(seconds));
    parts.extend(it.tokens.map(|it| format!("{it} tok")));
    parts.extend(it.cost_usd.map(dollars));
    shown::line(&parts.join(" "), SIDE_WIDTH)
}

fn definition(it: &Definition) -> String {
    if it.unified.is_empty() {
        let same = "\nthe diagrams are the same\n";
        return if it.equal { same.to_owned() } else { String::new() };
    }
    let mut text = "\ndiagram:\n".to_owned();
    for (kind, changes) in [("node", &it.nodes), ("connection", &it.connections), ("person", &it.persons)] {
        text.push_str(&changed(kind, changes));
    }
    it.sections.iter().for_each(|it| text.push_str(&format!("  ~ {it}\n")));
    if it.equal {
        text.push_str("  both say the same; comments or layout differ\n");
    }
    for line in it.unified.lines() {
        text.push_str(shown::beginning(&shown::clean(line, &mut Default::default()), LINE_WIDTH).0);
        text.push('\n');
    }
    if it.lines_left_out > 0 {
        text.push_str(&format!("({} more lines)\n", it.lines_left_out));
    }
    text
}

fn changed(kind: &str, changes: &Changes) -> String {
    let line = |sign: char, name: &str| format!("  {sign} {kind} {}\n", shown::line(name, 80));
    let mut text: String = changes.added.iter().map(|it| line('+', it)).collect();
    text.extend(changes.removed.iter().map(|it| line('-', it)));
    text.extend(changes.changed.iter().map(|it| {
        let fields: Vec<&str> = it.fields.iter().map(|it| it.field.as_str()).collect();
        format!("  ~ {kind} {}: {}\n", shown::line(&it.name, 50), shown::line(&fields.join(", "), 50))
    }));
    if changes.left_out > 0 {
        text.push_str(&format!("  ({} more)\n", changes.left_out));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_where_two_runs_part_and_fits_a_terminal() {
        let texts = |prompt: &str| StepTexts { prompt: Some(prompt.to_owned()), ..StepTexts::default() };
        let node = |runs, tokens| NodeSide {
            status: "completed".into(),
            runs,
            duration_ms: Some(1_230),
            tokens,
            cost_usd: tokens.map(|_| 0.0012),
            texts: StepTexts::default(),
        };
        let response = Response {
            a: Compared { name: "exec_a".into(), duration_ms: Some(420), ..Compared::default() },
            b: Compared { name: "exec_b".into(), ..Compared::default() },
            first_divergence: Some(Divergence {
                node: "write".into(),
                iteration: 2,
                differs: vec!["prompt".into()],
                a: Some(texts(&"x".repeat(200))),
                b: Some(texts("one\ntwo")),
            }),
            nodes: vec![
                NodeDifference {
                    node: "a label that is much too long for its column".into(),
                    differs: vec!["prompt".into(), "output".into()],
                    iteration: Some(2),
                    a: Some(node(2, Some(1_234_567))),
                    b: Some(node(2, Some(1_234_567))),
                },
                NodeDifference { node: "new".into(), b: Some(node(1, None)), ..NodeDifference::default() },
            ],
            definition: Definition {
                nodes: Changes { added: vec!["new".into()], ..Changes::default() },
                unified: format!("--- exec_a\n+++ exec_b\n-{}\n", "y".repeat(300)),
                ..Definition::default()
            },
            ..Response::default()
        };
        let shown = text(&response);
        assert!(shown.starts_with("A  exec_a  0.42 s\nB  exec_b\nfirst difference: write, run 2: prompt\n"), "{shown}");
        assert!(shown.contains("\n  B  prompt  one\n             two\n"), "{shown}");
        let new = format!("\n{:24} {:34} completed 1.23 s\n", "new", "-");
        assert!(shown.contains(&new) && shown.contains("\n  + node new\n"), "{shown}");
        let longest = shown.lines().map(|it| it.chars().count()).max();
        assert!(longest <= Some(120), "{longest:?}: {shown}");
    }

    #[test]
    fn what_is_equal_says_so() {
        let definition = Definition { equal: true, ..Definition::default() };
        let shown = text(&Response { equal: true, definition, ..Response::default() });
        assert!(shown.contains("\nequal\n") && shown.ends_with("the diagrams are the same\n"), "{shown}");
    }
}
