//! How the declarations of a source are arranged in the node's value.

use serde_json::{Map, Value, json};

use crate::nodes::ports::outline::{Outline, OutlineItem, OutlineOptions, Pattern};

/// The field `output_format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum OutputFormat {
    /// `{extracted, metadata, summary}`.
    #[default]
    Standard,
    /// One list for each pattern, side by side, as templates like to have them.
    ForCodegen,
    /// As standard, with the lines of everything and the imports.
    ForAnalysis,
}

impl OutputFormat {
    pub(super) const NAMES: &[&str] = &["standard", "for_codegen", "for_analysis"];

    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "standard" => Some(Self::Standard),
            "for_codegen" => Some(Self::ForCodegen),
            "for_analysis" => Some(Self::ForAnalysis),
            _ => None,
        }
    }
}

/// What the fields of a node say of the arrangement.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shaping {
    pub(super) enums_as_maps: bool,
    pub(super) flat: bool,
    pub(super) format: OutputFormat,
}

impl Shaping {
    /// Returns the value for one source.
    pub(super) fn arrange(self, mut outline: Outline, options: &OutlineOptions) -> Value {
        if self.enums_as_maps {
            outline.items.iter_mut().filter(|it| it.pattern == Pattern::Enum).for_each(members_as_map);
        }
        match self.format {
            OutputFormat::Standard | OutputFormat::ForAnalysis => self.with_summary(outline, options),
            OutputFormat::ForCodegen => self.for_codegen(outline, options),
        }
    }

    fn with_summary(self, outline: Outline, options: &OutlineOptions) -> Value {
        let count = |pattern| outline.items.iter().filter(|it| it.pattern == pattern).count();
        let by_type = options.patterns.iter().map(|it| (it.name().to_owned(), count(*it).into()));
        let summary = json!({"totalExtracted": outline.items.len(), "byType": by_type.collect::<Map<_, _>>()});
        let mut metadata = Map::new();
        if let Some(path) = &options.path {
            metadata.insert("path".to_owned(), path.as_str().into());
        }
        metadata.insert("parseMode".to_owned(), if options.is_script { "script" } else { "module" }.into());
        let patterns: Vec<&str> = options.patterns.iter().map(|it| it.name()).collect();
        metadata.insert("extractPatterns".to_owned(), json!(patterns));
        metadata.insert("lines".to_owned(), outline.n_lines.into());
        if self.format == OutputFormat::ForAnalysis {
            metadata.insert("imports".to_owned(), outline.imports.into());
        }
        let extracted = if self.flat {
            outline.items.into_iter().map(|it| self.flat_item(it)).collect()
        } else {
            Value::Object(self.lists(outline.items, options, Pattern::name))
        };
        json!({"extracted": extracted, "metadata": metadata, "summary": summary})
    }

    fn for_codegen(self, outline: Outline, options: &OutlineOptions) -> Value {
        let total = outline.items.len();
        let mut value = if self.flat {
            let all: Vec<Value> = outline.items.into_iter().map(|it| self.flat_item(it)).collect();
            Map::from_iter([("definitions".to_owned(), all.into())])
        } else {
            self.lists(outline.items, options, Pattern::plural)
        };
        value.insert("total_definitions".to_owned(), total.into());
        Value::Object(value)
    }

    /// One list for each pattern asked for, be it empty.
    fn lists(
        self,
        items: Vec<OutlineItem>,
        options: &OutlineOptions,
        key: fn(Pattern) -> &'static str,
    ) -> Map<String, Value> {
        let mut lists: Vec<(Pattern, Vec<Value>)> = options.patterns.iter().map(|it| (*it, Vec::new())).collect();
        for item in items {
            if let Some((_, list)) = lists.iter_mut().find(|(pattern, _)| *pattern == item.pattern) {
                list.push(self.item(item));
            }
        }
        lists.into_iter().map(|(pattern, list)| (key(pattern).to_owned(), list.into())).collect()
    }

    fn flat_item(self, item: OutlineItem) -> Value {
        let kind = item.pattern.name();
        let mut value = self.item(item);
        value["definition_type"] = kind.into();
        value
    }

    fn item(self, item: OutlineItem) -> Value {
        let mut facts = item.facts;
        if self.format == OutputFormat::ForAnalysis {
            facts.insert("line".to_owned(), item.line.into());
            facts.insert("endLine".to_owned(), item.end_line.into());
        }
        Value::Object(facts)
    }
}

/// `members` of an enum becomes `{name: value}`; a value nobody knows before the code runs is its expression.
fn members_as_map(item: &mut OutlineItem) {
    let Some(Value::Array(members)) = item.facts.get("members") else { return };
    let map = members.iter().filter_map(|member| {
        let value = member.get("expression").or_else(|| member.get("value")).cloned().unwrap_or_default();
        Some((member.get("name")?.as_str()?.to_owned(), value))
    });
    let map = map.collect::<Map<_, _>>();
    item.facts.insert("members".to_owned(), Value::Object(map));
}
