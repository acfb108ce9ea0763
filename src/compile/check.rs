//! The order of a compilation: parse, read every node and person, look at the whole graph, build the
//! plan. It knows no single rule; those stand in the files beside it.

use super::capabilities::capabilities;
use super::graph::Graph;
use super::plan::{self, Plan};
use super::read::ReadNode;
use super::report::Capabilities;
use super::{budgets, collisions, flow, persons, read, without_effect};
use crate::diagram::{self, Diagnostic, Diagram, Format, Parsed, Severity};
use crate::nodes::{ReadContext, Surroundings};

/// What compiling gives.
pub struct Compiled {
    /// The diagram as far as it could be read.
    pub diagram: Option<Diagram>,
    pub format: Option<Format>,
    /// Sorted by place; errors and warnings together.
    pub diagnostics: Vec<Diagnostic>,
    /// Only when there is no error.
    pub plan: Option<Plan>,
    /// What it would touch when run, as far as the diagram could be read.
    pub capabilities: Option<Capabilities>,
}

impl Compiled {
    /// Whether there is no error.
    pub fn is_valid(&self) -> bool {
        self.plan.is_some()
    }
}

/// Parses and compiles `text`; `asked` is the format an explicit flag names.
pub fn compile(text: &str, asked: Option<Format>, surroundings: &dyn Surroundings) -> Compiled {
    compile_parsed(text, diagram::parse(text, asked), surroundings)
}

/// [`compile`] of a text that has been parsed already.
pub fn compile_parsed(text: &str, parsed: Parsed, surroundings: &dyn Surroundings) -> Compiled {
    let mut diagnostics = parsed.diagnostics;
    let Some(mut diagram) = parsed.diagram else {
        return Compiled {
            diagram: None,
            format: parsed.format,
            diagnostics: sorted(diagnostics),
            plan: None,
            capabilities: None,
        };
    };
    diagnostics.extend(persons::tools(&diagram));
    persons::adopt(&mut diagram, surroundings);
    let sound = read_all(text, &diagram, surroundings, &mut diagnostics);
    let capabilities = Some(capabilities(&diagram, surroundings));
    let plan =
        sound.map(|(nodes, graph)| plan::build(&diagram, nodes, graph, persons::complete(&diagram, surroundings)));
    Compiled { diagram: Some(diagram), format: parsed.format, diagnostics: sorted(diagnostics), plan, capabilities }
}

/// Adds every problem to `diagnostics` and returns nodes and graph when none of them is an error.
fn read_all(
    text: &str,
    diagram: &Diagram,
    surroundings: &dyn Surroundings,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<(Vec<ReadNode>, Graph)> {
    let cx = ReadContext { diagram, surroundings };
    let nodes = read::read_nodes(&cx, text, diagnostics);
    diagnostics.extend(persons::check(diagram, surroundings));
    diagnostics.extend(budgets::check(diagram, surroundings));
    diagnostics.extend(without_effect::check(diagram));
    diagnostics.extend(collisions::names_for_code(diagram));
    let nodes = nodes?;
    let graph = plan::graph(diagram, &nodes);
    // One broken connection or node makes half a graph look unreachable, so the whole is only looked
    // at when its parts are sound (diagrams.md 4.1).
    if !diagnostics.iter().any(spoils_the_graph) {
        diagnostics.extend(flow::check(diagram, &graph, &nodes));
        diagnostics.extend(collisions::check(diagram, &graph));
    }
    let has_error = diagnostics.iter().any(|it| it.severity() == Severity::Error);
    (!has_error).then_some((nodes, graph))
}

fn spoils_the_graph(diagnostic: &Diagnostic) -> bool {
    ["E1", "E2", "E3"].iter().any(|it| diagnostic.code.starts_with(it))
}

fn sorted(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    diagnostics.sort_by_key(|it| (it.span.line, it.span.column));
    diagnostics
}
