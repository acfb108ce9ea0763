//! The prompts of a person_job: which one runs, and its text (diagrams.md 2.3).

use crate::diagram::Diagnostic;
use crate::error::Error;
use crate::nodes::content;
use crate::nodes::context::NodeContext;
use crate::nodes::fields::Fields;
use crate::nodes::memory::conversation;
use crate::nodes::template::{self, Template};

/// The input that supplies the prompt where the node has none of its own for the run.
const PROMPT_INPUT: &str = "prompt";

/// The prompts a node was given.
pub(super) struct Prompts {
    first: Given,
    default: Given,
    has_input: bool,
}

/// One prompt as read: it may be there and still unusable (its file was not found, it does not parse).
struct Given {
    is_given: bool,
    template: Option<Template>,
}

impl Prompts {
    /// Reads the prompt fields: E503 when there is none, E504 for a file that is not there, E702, E602.
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        let first = read_prompt(fields, "first_prompt_file", ["first_only_prompt", "resolved_first_prompt"]);
        let default = read_prompt(fields, "prompt_file", ["default_prompt", "resolved_prompt"]);
        let has_input = fields.has_input(PROMPT_INPUT);
        if !first.is_given && !default.is_given && !has_input {
            let node = fields.node();
            let message = format!("person_job `{}` has no prompt", node.label);
            fields.report(
                Diagnostic::new("E503", node.span, message)
                    .field("default_prompt")
                    .hint("write `default_prompt:` or `prompt_file:`, or label an incoming connection `prompt`"),
            );
        }
        Self { first, default, has_input }
    }

    /// Whether a first prompt has to serve every run (W209).
    pub(super) fn only_first(&self) -> bool {
        self.first.is_given && !self.default.is_given && !self.has_input
    }

    /// Returns the prompt of this run: the first one in the first run, else the default one, else the
    /// input `prompt` as it is, else the first one again.
    ///
    /// # Errors
    ///
    /// `TEMPLATE_FAILED` when nothing supplies a prompt, when it is blank, or when it does not render.
    pub(super) fn text(&self, cx: &NodeContext) -> Result<String, Error> {
        let (first, default) = (self.first.template.as_ref(), self.default.template.as_ref());
        let own = if cx.iteration == 1 { first.or(default) } else { default };
        let text = match (own, cx.input(PROMPT_INPUT), first) {
            (Some(template), _, _) => render(cx, template)?,
            (None, Some(input), _) => content::as_text(input),
            (None, None, Some(template)) => render(cx, template)?,
            (None, None, None) => return Err(no_prompt(cx, "has no prompt in this run")),
        };
        if text.trim().is_empty() {
            return Err(no_prompt(cx, "has a prompt that is blank once rendered"));
        }
        Ok(text)
    }
}

fn no_prompt(cx: &NodeContext, what: &str) -> Error {
    Error::invalid("TEMPLATE_FAILED", format!("`{}` {what}", cx.label))
        .hint("write a `default_prompt` with text of its own, or see what the input `prompt` delivers")
}

fn render(cx: &NodeContext, prompt: &Template) -> Result<String, Error> {
    let roots = prompt.roots();
    let extra = conversation::prompt_names(&cx.names.inputs, &cx.messages, &cx.persons, |name| roots.contains(&name));
    template::render(cx, prompt, &extra)
}

/// Reads one prompt: its file wins over the inline text, that over the legacy field. Blank is absent.
fn read_prompt(fields: &mut Fields<'_>, file_key: &'static str, inline_keys: [&'static str; 2]) -> Given {
    let [inline, legacy] = inline_keys.map(|key| fields.text_not_blank(key).map(|text| (key, text)));
    if let Some(file) = fields.text_not_blank(file_key) {
        return Given { is_given: true, template: fields.prompt_file(file_key, &file) };
    }
    match inline.or(legacy) {
        Some((key, text)) => Given { is_given: true, template: fields.template(key, &text) },
        None => Given { is_given: false, template: None },
    }
}
