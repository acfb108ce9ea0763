//! Lists the top-level declarations of a TypeScript source. Runs in the worker process only: the library
//! recurses without limit over what it is given.

mod exports;
mod jsdoc;
mod literal;
mod members;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use oxc::allocator::Allocator;
use oxc::ast::ast::{
    Class, Declaration, ExportDefaultDeclarationKind, Function, Program, Statement, TSEnumDeclaration,
    TSInterfaceDeclaration, TSTypeAliasDeclaration, VariableDeclaration, VariableDeclarationKind,
};
use oxc::parser::Parser;
use oxc::semantic::{Scoping, SemanticBuilder};
use oxc::span::{GetSpan, SourceType, Span};
use oxc::syntax::constant_value::ConstantValue;
use serde_json::{Map, Value, json};

use self::jsdoc::JsDocs;
use crate::code::failure::Failure;
use crate::code::python::place;
use crate::nodes::ports::outline::{Outline, OutlineItem, OutlineOptions, Pattern};

/// Outlines `source`.
///
/// # Errors
///
/// `Unparsable` with the first syntax error.
pub(in crate::code) fn outline(source: &str, options: &OutlineOptions) -> Result<Outline, Failure> {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, source, source_type(options)).parse();
    if let Some(first) = parsed.diagnostics.iter().next() {
        let offset = first.labels.first().map_or(0, |it| it.offset() as usize);
        let (line, column) = place::line_column(source, offset);
        return Err(Failure::Unparsable { message: place::lower_first(&first.message), line, column });
    }
    let program = parsed.program;
    if let Some(first) = program.body.iter().find(|it| options.is_script && it.is_module_declaration()) {
        let (line, column) = place::line_column(source, first.span().start as usize);
        let message = "`import` and `export` have no place in a script".to_owned();
        return Err(Failure::Unparsable { message, line, column });
    }
    let scoping = SemanticBuilder::new().with_enum_eval(true).build(&program).semantic.into_scoping();
    let reader = Reader {
        source,
        options,
        scoping: &scoping,
        jsdocs: JsDocs::of(source, &program, options.jsdoc),
        exported: exports::names(&program),
        line_starts: source.match_indices('\n').map(|(at, _)| at + 1).collect(),
    };
    let n_lines = u32::try_from(source.lines().count()).unwrap_or(u32::MAX);
    Ok(Outline { items: reader.items(&program), imports: exports::imports(&program), n_lines })
}

/// Modules allow `import`, `export` and top-level `await`, scripts do not.
fn source_type(options: &OutlineOptions) -> SourceType {
    let path = options.path.as_deref().unwrap_or_default().to_ascii_lowercase();
    let named = |suffixes: &[&str]| suffixes.iter().any(|it| path.ends_with(it));
    let base = if named(&[".d.ts", ".d.mts", ".d.cts"]) {
        SourceType::d_ts()
    } else if named(&[".tsx", ".jsx"]) {
        SourceType::tsx()
    } else {
        SourceType::ts()
    };
    if options.is_script { base.with_script(true) } else { base.with_module(true) }
}

/// What listing declarations needs to know.
struct Reader<'s> {
    source: &'s str,
    options: &'s OutlineOptions,
    scoping: &'s Scoping,
    jsdocs: JsDocs<'s>,
    /// Names that some `export` statement exports, by themselves or as another name.
    exported: HashSet<String>,
    /// Where every line but the first begins, in bytes.
    line_starts: Vec<usize>,
}

/// How a declaration stands in its source.
#[derive(Clone, Copy)]
struct Place {
    /// The whole statement, `export` included: comments stand before it.
    span: Span,
    is_exported: bool,
    is_default: bool,
}

impl Reader<'_> {
    fn items(&self, program: &Program<'_>) -> Vec<OutlineItem> {
        let mut items = Vec::new();
        for statement in &program.body {
            if self.wants(Pattern::Export) {
                for facts in exports::of(statement) {
                    items.push(self.item(Pattern::Export, statement.span(), facts));
                }
            }
            match statement {
                Statement::ExportDeclaration(it) => {
                    let place = Place { span: it.span, is_exported: true, is_default: false };
                    self.declaration(&it.declaration, place, &mut items);
                }
                Statement::ExportDefaultDeclaration(it) => {
                    let place = Place { span: it.span, is_exported: true, is_default: true };
                    self.default(&it.declaration, place, &mut items);
                }
                other => {
                    if let Some(declaration) = other.as_declaration() {
                        let place = Place { span: other.span(), is_exported: false, is_default: false };
                        self.declaration(declaration, place, &mut items);
                    }
                }
            }
        }
        items
    }

    fn declaration(&self, declaration: &Declaration<'_>, place: Place, items: &mut Vec<OutlineItem>) {
        match declaration {
            Declaration::TSInterfaceDeclaration(it) => self.interface(it, place, items),
            Declaration::TSTypeAliasDeclaration(it) => self.type_alias(it, place, items),
            Declaration::TSEnumDeclaration(it) => self.enumeration(it, place, items),
            Declaration::FunctionDeclaration(it) => self.function(it, place, items),
            Declaration::ClassDeclaration(it) => self.class(it, place, items),
            Declaration::VariableDeclaration(it) => self.constants(it, place, items),
            Declaration::TSExternalModuleDeclaration(_)
            | Declaration::TSNamespaceDeclaration(_)
            | Declaration::TSGlobalDeclaration(_)
            | Declaration::TSImportEqualsDeclaration(_) => {}
        }
    }

    fn default(&self, declaration: &ExportDefaultDeclarationKind<'_>, place: Place, items: &mut Vec<OutlineItem>) {
        match declaration {
            ExportDefaultDeclarationKind::FunctionDeclaration(it) => self.function(it, place, items),
            ExportDefaultDeclarationKind::ClassDeclaration(it) => self.class(it, place, items),
            ExportDefaultDeclarationKind::TSInterfaceDeclaration(it) => self.interface(it, place, items),
            // A value without a name; the pattern `export` lists it.
            _ => {}
        }
    }

    fn interface(&self, it: &TSInterfaceDeclaration<'_>, place: Place, items: &mut Vec<OutlineItem>) {
        if !self.wants(Pattern::Interface) {
            return;
        }
        let mut facts = self.named(Some(it.id.name.as_str()));
        self.add_type_parameters(&mut facts, it.type_parameters.as_deref());
        let extends: Vec<&str> = it.extends.iter().map(|it| self.text(it.span)).collect();
        facts.insert("extends".to_owned(), json!(extends));
        self.add_signatures(&mut facts, &it.body.body);
        self.push(Pattern::Interface, facts, place, items);
    }

    fn type_alias(&self, it: &TSTypeAliasDeclaration<'_>, place: Place, items: &mut Vec<OutlineItem>) {
        if !self.wants(Pattern::Type) {
            return;
        }
        let mut facts = self.named(Some(it.id.name.as_str()));
        self.add_type_parameters(&mut facts, it.type_parameters.as_deref());
        facts.insert("type".to_owned(), self.text(it.type_annotation.span()).into());
        self.push(Pattern::Type, facts, place, items);
    }

    fn enumeration(&self, it: &TSEnumDeclaration<'_>, place: Place, items: &mut Vec<OutlineItem>) {
        if !self.wants(Pattern::Enum) {
            return;
        }
        let scope = it.body.scope_id.get();
        let members: Vec<Value> = it
            .body
            .members
            .iter()
            .map(|member| {
                let name = member.id.static_name();
                let symbol = scope.and_then(|scope| self.scoping.get_binding(scope, name.into()));
                let known = symbol.and_then(|it| self.scoping.get_enum_member_value(it));
                let mut facts = self.named(Some(name.as_str()));
                facts.insert("value".to_owned(), known.map_or(Value::Null, constant));
                if known.is_none()
                    && let Some(written) = &member.initializer
                {
                    facts.insert("expression".to_owned(), self.text(written.span()).into());
                }
                self.jsdocs.add(&mut facts, member.span);
                Value::Object(facts)
            })
            .collect();
        let mut facts = self.named(Some(it.id.name.as_str()));
        facts.insert("members".to_owned(), members.into());
        facts.insert("isConst".to_owned(), it.r#const.into());
        self.push(Pattern::Enum, facts, place, items);
    }

    fn function(&self, it: &Function<'_>, place: Place, items: &mut Vec<OutlineItem>) {
        if !self.wants(Pattern::Function) {
            return;
        }
        let mut facts = self.named(it.id.as_ref().map(|it| it.name.as_str()));
        self.add_type_parameters(&mut facts, it.type_parameters.as_deref());
        self.add_call(&mut facts, &it.params, it.return_type.as_deref());
        facts.insert("isAsync".to_owned(), it.r#async.into());
        facts.insert("isGenerator".to_owned(), it.generator.into());
        self.push(Pattern::Function, facts, place, items);
    }

    fn class(&self, it: &Class<'_>, place: Place, items: &mut Vec<OutlineItem>) {
        if !self.wants(Pattern::Class) {
            return;
        }
        let mut facts = self.named(it.id.as_ref().map(|it| it.name.as_str()));
        self.add_type_parameters(&mut facts, it.type_parameters.as_deref());
        let extends = it.heritage.as_ref().map(|heritage| {
            let arguments = heritage.type_arguments.as_ref().map_or("", |it| self.text(it.span));
            format!("{}{arguments}", self.text(heritage.expression.span()))
        });
        facts.insert("extends".to_owned(), json!(extends));
        let implements: Vec<&str> = it.implements.iter().map(|it| self.text(it.span)).collect();
        facts.insert("implements".to_owned(), json!(implements));
        facts.insert("isAbstract".to_owned(), it.r#abstract.into());
        self.add_class_members(&mut facts, &it.body.body);
        self.push(Pattern::Class, facts, place, items);
    }

    fn constants(&self, it: &VariableDeclaration<'_>, place: Place, items: &mut Vec<OutlineItem>) {
        if !self.wants(Pattern::Const) || it.kind != VariableDeclarationKind::Const {
            return;
        }
        for declarator in &it.declarations {
            // A pattern such as `const {a, b} = c` names several; none of them has a value of its own.
            let Some(name) = declarator.id.get_identifier_name() else { continue };
            let mut facts = self.named(Some(name.as_str()));
            let written = declarator.type_annotation.as_ref().map(|it| self.text(it.type_annotation.span()).to_owned());
            let value = declarator.init.as_ref();
            let kind = written.or_else(|| value.and_then(|it| literal::type_of(self.source, it)));
            facts.insert("type".to_owned(), json!(kind));
            facts.insert("value".to_owned(), value.map_or(Value::Null, |it| literal::value(self.source, it)));
            self.push(Pattern::Const, facts, place, items);
        }
    }

    fn push(&self, pattern: Pattern, mut facts: Map<String, Value>, place: Place, items: &mut Vec<OutlineItem>) {
        let is_named = facts.get("name").and_then(Value::as_str).is_some_and(|it| self.exported.contains(it));
        facts.insert("isExported".to_owned(), (place.is_exported || is_named).into());
        if place.is_default {
            facts.insert("isDefault".to_owned(), true.into());
        }
        self.jsdocs.add(&mut facts, place.span);
        items.push(self.item(pattern, place.span, facts));
    }

    fn item(&self, pattern: Pattern, span: Span, facts: Map<String, Value>) -> OutlineItem {
        OutlineItem { pattern, line: self.line(span.start), end_line: self.line(span.end.saturating_sub(1)), facts }
    }

    fn line(&self, offset: u32) -> u32 {
        let n_before = self.line_starts.partition_point(|it| *it <= offset as usize);
        u32::try_from(n_before + 1).unwrap_or(u32::MAX)
    }

    /// Facts that begin with a name; what has none is the default export.
    fn named(&self, name: Option<&str>) -> Map<String, Value> {
        Map::from_iter([("name".to_owned(), Value::from(name.unwrap_or("default")))])
    }

    fn wants(&self, pattern: Pattern) -> bool {
        self.options.patterns.contains(&pattern)
    }

    fn text(&self, span: Span) -> &str {
        span.source_text(self.source)
    }
}

/// Whole numbers are shown without a fraction.
fn constant(value: &ConstantValue) -> Value {
    match value {
        ConstantValue::Number(number) => literal::number(*number),
        ConstantValue::String(text) => text.as_str().into(),
    }
}
