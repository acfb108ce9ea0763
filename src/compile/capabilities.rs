//! What a diagram would touch when run, read from its text: a reader decides by it whether to run it.

use super::report::Capabilities;
use crate::diagram::kinds::fold;
use crate::diagram::{Budget, Diagram, DiagramNode, NodeKind, Person, Service, Tree};
use crate::nodes::Surroundings;
use crate::nodes::ports::Language;

/// Lists host commands, files, hosts, models and questions of `diagram`.
pub(super) fn capabilities(diagram: &Diagram, surroundings: &dyn Surroundings) -> Capabilities {
    let budget = diagram.settings.budget.as_ref().map(Budget::to_json);
    let mut found = Capabilities { budget, ..Capabilities::default() };
    for node in &diagram.nodes {
        add_new(&mut found.commands, host_command(node, surroundings).map(str::to_owned));
        add_new(&mut found.paths, paths(node));
        add_new(&mut found.hosts, host(node, surroundings));
        found.asks |= node.kind == Some(NodeKind::UserResponse);
    }
    add_new(&mut found.commands, diagram.persons.iter().filter_map(own_program).map(str::to_owned));
    add_new(&mut found.models, diagram.persons.iter().filter_map(|it| model(it, surroundings)));
    found
}

fn add_new(list: &mut Vec<String>, new: impl IntoIterator<Item = String>) {
    for it in new {
        if !list.contains(&it) {
            list.push(it);
        }
    }
}

/// Returns the program that answers for a person, if it is one of the host.
fn own_program(person: &Person) -> Option<&'static str> {
    matches!(person.service, Some(Service::ClaudeCode | Service::ClaudeCodeCustom)).then_some("claude")
}

/// Returns the interpreter of the host that a code node needs, if the sandbox does not do.
fn host_command(node: &DiagramNode, surroundings: &dyn Surroundings) -> Option<&'static str> {
    if node.kind != Some(NodeKind::CodeJob) {
        return None;
    }
    let (language, command) = match text(node, "language").map(fold).as_deref() {
        None | Some("python") => (Language::Python, "python3"),
        Some("javascript") => (Language::JavaScript, "node"),
        Some("typescript") => (Language::TypeScript, "node"),
        Some("bash") => return Some("bash"),
        Some("shell") => return Some("sh"),
        Some(_) => return None,
    };
    match text(node, "runtime").map(fold).as_deref() {
        Some("host") => return Some(command),
        Some("sandbox") => return None,
        _ => {}
    }
    let file = || text(node, "file_path").and_then(|it| surroundings.file(it));
    let source = text(node, "code").map(str::to_owned).or_else(file)?;
    surroundings.languages().check_code(language, &source).ok()?.needs_host.map(|_| command)
}

/// Returns the files and patterns that a node names, templates included as they are.
fn paths(node: &DiagramNode) -> Vec<String> {
    let Some(kind) = node.kind else { return Vec::new() };
    let keys: &[&str] = match kind {
        NodeKind::Endpoint => return endpoint_path(node).into_iter().collect(),
        NodeKind::Db => &["file"],
        NodeKind::CodeJob => &["file_path"],
        NodeKind::TemplateJob => &["template_path", "output_path"],
        NodeKind::JsonSchemaValidator => &["schema_path", "data_path"],
        _ => &[],
    };
    let values = keys.iter().filter_map(|it| node.field(it));
    values.flat_map(texts).map(str::to_owned).collect()
}

/// Returns the host that a node calls; one that a template decides stands as the template.
fn host(node: &DiagramNode, surroundings: &dyn Surroundings) -> Option<String> {
    let address = match node.kind? {
        NodeKind::ApiJob => text(node, "url")?.to_owned(),
        NodeKind::IntegratedApi => surroundings.provider(text(node, "provider")?.trim()).ok()?.base_url.clone(),
        _ => return None,
    };
    let host = address.split_once("://").map_or(address.as_str(), |(_, rest)| rest).split(['/', '?', '#']).next()?;
    // What stands before the `@` may be a key.
    Some(host.rsplit('@').next().unwrap_or(host).to_owned()).filter(|it| !it.is_empty())
}

fn endpoint_path(node: &DiagramNode) -> Option<String> {
    let saves = match node.field("save_to_file").map(Tree::to_json)? {
        serde_json::Value::Bool(it) => it,
        serde_json::Value::String(word) => matches!(fold(&word).as_str(), "yes" | "on" | "y" | "true"),
        _ => false,
    };
    let named = text(node, "file_name").map(str::to_owned);
    saves.then(|| named.unwrap_or_else(|| format!("files/results/{}.json", node.id)))
}

fn texts(tree: &Tree) -> Vec<&str> {
    match tree.as_text() {
        Some(text) => vec![text],
        None => tree.items().iter().filter_map(Tree::as_text).collect(),
    }
}

fn text<'a>(node: &'a DiagramNode, key: &str) -> Option<&'a str> {
    node.field(key).and_then(Tree::as_text).filter(|it| !it.trim().is_empty())
}

fn model(person: &Person, surroundings: &dyn Surroundings) -> Option<String> {
    let service = person.service?;
    if matches!(service, Service::Caller | Service::Scripted) {
        return Some(service.name().to_owned());
    }
    let named = person.model.clone().filter(|it| !it.trim().is_empty());
    let model = named.or_else(|| surroundings.default_model(service));
    Some(model.map_or(service.name().to_owned(), |it| format!("{}/{it}", service.name())))
}
