//! The schema: the file that shows it is what the program has, its operations are the original's by name, and each
//! of them has a test.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{TypeKind, TypeSystemDefinition};

const QUERIES: [&str; 25] = [
    "getApiKeys",
    "getApiKey",
    "getAvailableModels",
    "listConversations",
    "getDiagram",
    "listDiagrams",
    "getExecution",
    "listExecutions",
    "getSupportedFormats",
    "getPerson",
    "listPersons",
    "listPromptFiles",
    "getPromptFile",
    "listProviders",
    "getProvider",
    "getProviderOperations",
    "getOperationSchema",
    "getProviderStatistics",
    "getSystemInfo",
    "getExecutionCapabilities",
    "healthCheck",
    "getExecutionOrder",
    "getExecutionMetrics",
    "getExecutionHistory",
    "getActiveCliSession",
];
const MUTATIONS: [&str; 24] = [
    "createApiKey",
    "testApiKey",
    "deleteApiKey",
    "registerCliSession",
    "unregisterCliSession",
    "createDiagram",
    "executeDiagram",
    "deleteDiagram",
    "controlExecution",
    "sendInteractiveResponse",
    "updateNodeState",
    "uploadFile",
    "uploadDiagram",
    "validateDiagram",
    "convertDiagramFormat",
    "createNode",
    "updateNode",
    "deleteNode",
    "createPerson",
    "updatePerson",
    "deletePerson",
    "executeIntegration",
    "testIntegration",
    "reloadProvider",
];
const SUBSCRIPTIONS: [&str; 1] = ["executionUpdates"];
/// Ours, besides the original's (platform.md 15).
const MORE_QUERIES: [&str; 2] = ["system_health", "systemHealth"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The fields of an object type.
fn fields_of(name: &str) -> Vec<String> {
    let document = parse_schema(dipeo::http::graphql::sdl()).expect("a schema");
    let kinds = document.definitions.into_iter().filter_map(|it| match it {
        TypeSystemDefinition::Type(it) if it.node.name.node == name => Some(it.node.kind),
        _ => None,
    });
    let fields = kinds.filter_map(|it| match it {
        TypeKind::Object(it) => Some(it.fields),
        _ => None,
    });
    fields.flatten().map(|it| it.node.name.node.to_string()).collect()
}

#[test]
fn the_file_of_the_schema_is_what_the_program_has() {
    let path = root().join("resources/schema.graphql");
    let sdl = dipeo::http::graphql::sdl();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &sdl).expect("written");
    }
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(file == sdl, "resources/schema.graphql is not what the program has; write it anew with UPDATE=1");
}

#[test]
fn the_operations_are_those_of_the_original_by_name() {
    let set = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<BTreeSet<String>>();
    let found = |name: &str| fields_of(name).into_iter().collect::<BTreeSet<String>>();
    assert_eq!(found("Query"), set(&[&QUERIES[..], &MORE_QUERIES[..]].concat()));
    assert_eq!(found("Mutation"), set(&MUTATIONS));
    assert_eq!(found("Subscription"), set(&SUBSCRIPTIONS));
}

#[test]
fn fields_and_arguments_are_in_snake_case_and_enums_in_upper_case() {
    let is_snake = |it: &str| it.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_');
    let is_upper = |it: &str| it.chars().all(|it| it.is_ascii_uppercase() || it.is_ascii_digit() || it == '_');
    let document = parse_schema(dipeo::http::graphql::sdl()).expect("a schema");
    let mut wrong = Vec::new();
    for definition in document.definitions {
        let TypeSystemDefinition::Type(it) = definition else { continue };
        let name = it.node.name.node.to_string();
        match it.node.kind {
            TypeKind::Object(object) => {
                let is_root = ["Query", "Mutation", "Subscription"].contains(&name.as_str());
                for field in object.fields {
                    let arguments = field.node.arguments.iter().map(|it| it.node.name.node.to_string());
                    let own = (!is_root).then(|| field.node.name.node.to_string());
                    wrong.extend(arguments.chain(own).filter(|it| !is_snake(it)).map(|it| format!("{name}.{it}")));
                }
            }
            TypeKind::InputObject(input) => {
                let names = input.fields.iter().map(|it| it.node.name.node.to_string());
                wrong.extend(names.filter(|it| !is_snake(it)).map(|it| format!("{name}.{it}")));
            }
            TypeKind::Enum(values) => {
                let names = values.values.iter().map(|it| it.node.value.node.to_string());
                wrong.extend(names.filter(|it| !is_upper(it)).map(|it| format!("{name}.{it}")));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// `getApiKeys` → `get_api_keys`.
fn snake(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        if entry.path().is_dir() {
            text.push_str(&sources(&entry.path()));
        } else {
            text.push_str(&std::fs::read_to_string(entry.path()).expect("a text"));
        }
    }
    text
}

#[test]
fn every_operation_has_a_test_that_begins_with_its_name() {
    let tests = sources(&root().join("tests/it/graphql"));
    let all = ["Query", "Mutation", "Subscription"].map(fields_of).concat();
    assert_eq!(all.len(), QUERIES.len() + MORE_QUERIES.len() + MUTATIONS.len() + SUBSCRIPTIONS.len());
    let untested: Vec<&String> = all.iter().filter(|it| !tests.contains(&format!("async fn {}_", snake(it)))).collect();
    assert!(untested.is_empty(), "no test of {untested:?}");
}
