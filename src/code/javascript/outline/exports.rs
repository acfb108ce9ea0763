//! What a module gives to others and takes from them.

use std::collections::HashSet;

use oxc::ast::ast::{
    Declaration, ExportDefaultDeclarationKind, ExportSpecifier, Expression, ImportDeclarationSpecifier,
    ImportOrExportKind, Program, Statement, VariableDeclarationKind,
};
use serde_json::{Map, Value, json};

/// Returns the local names that stand in an `export { … }`, `export default name` or `export = name`.
pub(super) fn names(program: &Program<'_>) -> HashSet<String> {
    let mut names = HashSet::new();
    for statement in &program.body {
        match statement {
            Statement::ExportNamedDeclaration(it) => {
                names.extend(it.specifiers.iter().map(|it| it.local.name().to_string()));
            }
            Statement::ExportDefaultDeclaration(it) => {
                if let ExportDefaultDeclarationKind::Identifier(it) = &it.declaration {
                    names.insert(it.name.to_string());
                }
            }
            Statement::TSExportAssignment(it) => {
                if let Expression::Identifier(it) = &it.expression {
                    names.insert(it.name.to_string());
                }
            }
            _ => {}
        }
    }
    names
}

/// Returns one `{name, kind, …}` for each name that `statement` exports.
pub(super) fn of(statement: &Statement<'_>) -> Vec<Map<String, Value>> {
    match statement {
        Statement::ExportDeclaration(it) => {
            declared(&it.declaration).into_iter().map(|(name, kind)| export(&name, kind)).collect()
        }
        Statement::ExportNamedDeclaration(it) => {
            it.specifiers.iter().map(|specifier| named(specifier, it.export_kind)).collect()
        }
        Statement::ExportFromDeclaration(it) => {
            let with_source = |mut facts: Map<String, Value>| {
                facts.insert("from".to_owned(), it.source.value.as_str().into());
                facts
            };
            it.specifiers.iter().map(|specifier| with_source(named(specifier, it.export_kind))).collect()
        }
        Statement::ExportAllDeclaration(it) => {
            let name = it.exported.as_ref().map_or_else(|| "*".to_owned(), |it| it.name().to_string());
            let mut facts = export(&name, "namespace");
            facts.insert("isTypeOnly".to_owned(), (it.export_kind == ImportOrExportKind::Type).into());
            facts.insert("from".to_owned(), it.source.value.as_str().into());
            vec![facts]
        }
        Statement::ExportDefaultDeclaration(it) => {
            let (local, kind) = match &it.declaration {
                ExportDefaultDeclarationKind::FunctionDeclaration(it) => {
                    (it.id.as_ref().map(|it| it.name.to_string()), "function")
                }
                ExportDefaultDeclarationKind::ClassDeclaration(it) => {
                    (it.id.as_ref().map(|it| it.name.to_string()), "class")
                }
                ExportDefaultDeclarationKind::TSInterfaceDeclaration(it) => (Some(it.id.name.to_string()), "interface"),
                ExportDefaultDeclarationKind::Identifier(it) => (Some(it.name.to_string()), "name"),
                _ => (None, "value"),
            };
            let mut facts = export("default", kind);
            if let Some(local) = local {
                facts.insert("local".to_owned(), local.into());
            }
            vec![facts]
        }
        Statement::TSExportAssignment(_) => vec![export("=", "value")],
        _ => Vec::new(),
    }
}

fn export(name: &str, kind: &str) -> Map<String, Value> {
    Map::from_iter([("name".to_owned(), name.into()), ("kind".to_owned(), kind.into())])
}

fn named(specifier: &ExportSpecifier<'_>, of_statement: ImportOrExportKind) -> Map<String, Value> {
    let (local, exported) = (specifier.local.name(), specifier.exported.name());
    let mut facts = export(exported.as_str(), "name");
    if local != exported {
        facts.insert("local".to_owned(), local.as_str().into());
    }
    let is_type = [of_statement, specifier.export_kind].contains(&ImportOrExportKind::Type);
    facts.insert("isTypeOnly".to_owned(), is_type.into());
    facts
}

fn declared(declaration: &Declaration<'_>) -> Vec<(String, &'static str)> {
    let one = |name: &str, kind| vec![(name.to_owned(), kind)];
    match declaration {
        Declaration::TSInterfaceDeclaration(it) => one(&it.id.name, "interface"),
        Declaration::TSTypeAliasDeclaration(it) => one(&it.id.name, "type"),
        Declaration::TSEnumDeclaration(it) => one(&it.id.name, "enum"),
        Declaration::FunctionDeclaration(it) => it.id.iter().map(|it| (it.name.to_string(), "function")).collect(),
        Declaration::ClassDeclaration(it) => it.id.iter().map(|it| (it.name.to_string(), "class")).collect(),
        Declaration::TSNamespaceDeclaration(it) => one(&it.id.name, "namespace"),
        Declaration::TSImportEqualsDeclaration(it) => one(&it.id.name, "name"),
        Declaration::TSExternalModuleDeclaration(_) | Declaration::TSGlobalDeclaration(_) => Vec::new(),
        Declaration::VariableDeclaration(it) => {
            let kind = match it.kind {
                VariableDeclarationKind::Var => "var",
                VariableDeclarationKind::Let => "let",
                VariableDeclarationKind::Const => "const",
                VariableDeclarationKind::Using | VariableDeclarationKind::AwaitUsing => "using",
            };
            let names = it.declarations.iter().flat_map(|it| it.id.get_binding_identifiers());
            names.map(|it| (it.name.to_string(), kind)).collect()
        }
    }
}

/// Returns `{from, names, isTypeOnly}` for each import; the default one is the name `default`, a whole
/// module `*`.
pub(super) fn imports(program: &Program<'_>) -> Vec<Value> {
    let imports = program.body.iter().filter_map(|statement| {
        let Statement::ImportDeclaration(it) = statement else { return None };
        let names: Vec<String> = it
            .specifiers
            .iter()
            .flatten()
            .map(|it| match it {
                ImportDeclarationSpecifier::ImportSpecifier(it) => it.imported.name().to_string(),
                ImportDeclarationSpecifier::ImportDefaultSpecifier(_) => "default".to_owned(),
                ImportDeclarationSpecifier::ImportNamespaceSpecifier(_) => "*".to_owned(),
            })
            .collect();
        let is_type = it.import_kind == ImportOrExportKind::Type;
        Some(json!({"from": it.source.value.as_str(), "names": names, "isTypeOnly": is_type}))
    });
    imports.collect()
}
