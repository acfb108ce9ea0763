//! The sections `settings`, `inputs` and `tool` (diagrams.md 1.1).

use super::budget;
use super::diagnostic::Diagnostic;
use super::draft::Draft;
use super::entries::{Entries, Range};
use super::model::{InputDeclaration, Settings};
use super::tree::{Spanned, Tree, TreeKind};

const INPUT_TYPES: [&str; 6] = ["string", "number", "integer", "boolean", "object", "array"];

/// Reads `settings`.
pub(super) fn read(tree: &Tree, draft: &mut Draft<'_>) -> Settings {
    if !tree.is_map() {
        let message = format!("`settings` is {}, not a mapping", tree.kind_name());
        draft.wrong_shape("settings", tree.span, message, "write `settings: {timeout: 60}`");
        return Settings::default();
    }
    let mut fields = Entries::new(draft, "settings", tree);
    let settings = Settings {
        strict_templates: fields.boolean("strict_templates").unwrap_or(false),
        timeout: fields.number("timeout", Range::Positive),
        max_node_executions: fields.small_integer("max_node_executions", 1),
        max_node_iterations: fields.small_integer("max_node_iterations", 1),
        max_parallel: fields.small_integer("max_parallel", 1),
        budget: budget::field(&mut fields),
        budget_span: fields.tree("budget").map(|it| it.span),
    };
    fields.finish();
    settings
}

/// Reads `inputs`.
pub(super) fn inputs(tree: &Tree, draft: &mut Draft<'_>) -> Vec<InputDeclaration> {
    if !tree.is_map() {
        let message = format!("`inputs` is {}, not a mapping", tree.kind_name());
        draft.wrong_shape("inputs", tree.span, message, "write `inputs: {topic: {type: string}}`");
    }
    tree.entries().iter().map(|(name, config)| input(name, config, draft)).collect()
}

fn input(name: &Spanned<String>, config: &Tree, draft: &mut Draft<'_>) -> InputDeclaration {
    if !config.is_map() && !config.is_null() {
        let message = format!("the declaration of input `{}` is {}, not a mapping", name.value, config.kind_name());
        let hint = format!("write `{}: {{type: string}}`, with `default:` for a value", name.value);
        let mut diagnostic = Diagnostic::new("E106", name.span, message).at("inputs").hint(hint);
        if let Some(kind) = config.as_text().filter(|it| INPUT_TYPES.contains(it)) {
            diagnostic = diagnostic.patch(config.span, format!("{{type: {kind}}}"));
        }
        draft.report(diagnostic);
    }
    let mut fields = Entries::new(draft, format!("inputs.{}", name.value), config);
    let declaration = InputDeclaration {
        name: name.value.clone(),
        value_type: fields.choice("type", &INPUT_TYPES).map(str::to_owned),
        description: fields.text("description").map(|it| it.value),
        default: fields.tree("default").map(Tree::to_json),
        required: fields.boolean("required").unwrap_or(false),
        choices: fields.list("enum"),
        secret: fields.boolean("secret").unwrap_or(false),
        span: name.span,
    };
    fields.finish();
    declaration
}

/// Whether MCP clients take `name` as the name of a tool: what all of them and their models' services allow.
pub fn is_tool_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-'))
}

/// Reads `tool`; `false` means the same as nothing.
pub(super) fn tool(tree: &Tree, draft: &mut Draft<'_>) -> Option<Tree> {
    match &tree.kind {
        TreeKind::Bool(is_tool) => is_tool.then(|| tree.clone()),
        TreeKind::Map(_) => {
            let mut fields = Entries::new(draft, "tool", tree);
            if let Some(name) = fields.text("name").filter(|it| !is_tool_name(&it.value)) {
                let message = format!("`{}` can be no tool name", name.value);
                let hint = "write 1 to 64 letters, digits, `_` and `-`";
                fields.report("name", Diagnostic::new("E403", name.span, message).hint(hint));
            }
            fields.text("description");
            fields.finish();
            Some(tree.clone())
        }
        TreeKind::Text(text) if text.eq_ignore_ascii_case("yes") || text.eq_ignore_ascii_case("on") => {
            let warning = Diagnostic::new("W103", tree.span, format!("`tool: {text}` is read as true")).at("tool");
            draft.report(warning.hint("write `true`").patch(tree.span, "true"));
            Some(Tree { span: tree.span, kind: TreeKind::Bool(true) })
        }
        _ => {
            let message = format!("`tool` is {}, not true or a mapping", tree.kind_name());
            draft.wrong_shape("tool", tree.span, message, "write `tool: true` or `tool: {name: …, description: …}`");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagram::budget::Budget;
    use crate::diagram::parse;
    use crate::diagram::testing::light_problems;

    #[test]
    fn settings_and_inputs_are_read() {
        let text = "version: light\nnodes: [{label: s, type: start}]\nsettings: {strict_templates: true, timeout: 1.5, \
                    max_node_executions: 5, max_parallel: 2, budget: {usd: 0.5}}\ninputs:\n  a:\n  b: {type: integer, \
                    default: 3, enum: [1, 3], required: true, secret: yes, description: how many}\ntool: {name: t}\n";
        let diagram = parse(text, None).diagram.unwrap();
        let expected = Settings {
            strict_templates: true,
            timeout: Some(1.5),
            max_node_executions: Some(5),
            max_node_iterations: None,
            max_parallel: Some(2),
            budget: Some(Budget { usd: Some(0.5), ..Budget::default() }),
            budget_span: diagram.settings.budget_span,
        };
        assert_eq!(diagram.settings, expected);
        assert_eq!(diagram.settings.budget_span.map(|it| it.line), Some(3));
        let [a, b] = diagram.inputs.as_slice() else { panic!("{:?}", diagram.inputs) };
        assert_eq!((a.name.as_str(), &a.value_type, a.required), ("a", &None, false));
        assert_eq!((b.value_type.as_deref(), &b.default), (Some("integer"), &Some(json!(3))));
        assert_eq!((&b.choices, b.required, b.secret), (&Some(vec![json!(1), json!(3)]), true, true));
        assert!(diagram.tool.is_some());
    }

    #[test]
    fn problems_of_settings_stand_where_they_are() {
        for (line, expected) in [
            ("settings: 5", vec!["E106 settings 3:11"]),
            ("settings: {timeout: 0}", vec!["E404 settings 3:21"]),
            ("settings: {timeout: soon}", vec!["E402 settings 3:21"]),
            ("settings: {timeout: '5'}", vec!["W104 settings 3:21"]),
            ("settings: {strict_templates: yes}", vec!["W103 settings 3:30"]),
            ("settings: {max_paralel: 5}", vec!["W401 settings 3:12"]),
            ("settings: {budget: 5}", vec!["E402 settings 3:20"]),
            ("settings: {budget: {usd: -1, euro: 2}}", vec!["E404 budget 3:26", "W401 budget 3:30"]),
            ("settings: {budget: {calls: 0, seconds: 0}}", vec!["E404 budget 3:28", "E404 budget 3:40"]),
            ("settings: {budget: {tokens: 1.5, on_limit: stop}}", vec!["E404 budget 3:29", "E403 budget 3:44"]),
            ("inputs: [a]", vec!["E106 inputs 3:9"]),
            ("inputs: {a: string}", vec!["E106 inputs 3:10"]),
            ("inputs: {a: {type: text}}", vec!["E403 inputs.a 3:20"]),
            ("tool: maybe", vec!["E106 tool 3:7"]),
            ("tool: yes", vec!["W103 tool 3:7"]),
            ("tool: {name: a b}", vec!["E403 tool 3:14"]),
            ("tool: {name: a-b_1, descripton: c}", vec!["W401 tool 3:21"]),
            ("tool: false", vec![]),
        ] {
            let text = format!("nodes: [{{label: s, type: start}}]\n{line}\n");
            assert_eq!(light_problems(&text), expected, "{line}");
        }
    }
}
