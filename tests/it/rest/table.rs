//! The table of operations: none is without a test that shows its effect, and the description is the one that is
//! kept in `resources`.

use std::collections::BTreeSet;

use dipeo::http::rest;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{Rest, aliases, diagrams, executions};

/// Shows the effect of some operations, in a workspace of its own.
type Effect = fn(&Rest) -> BoxFuture<'_, ()>;

const EFFECTS: &[(&[&str], Effect)] = &[
    (&["createDiagram", "readDiagram", "listDiagrams"], |it| Box::pin(diagrams::are_made_and_read(it))),
    (&["replaceDiagram", "deleteDiagram"], |it| Box::pin(diagrams::are_replaced_and_removed(it))),
    (&["validateDiagram", "compileText", "convertText", "diagramStats"], |it| Box::pin(diagrams::are_checked(it))),
    (&["listRevisions", "labelRevision", "readRevision", "compareRevisions", "restoreRevision"], |it| {
        Box::pin(diagrams::have_a_history(it))
    }),
    (&["runDiagram", "runText"], |it| Box::pin(executions::are_started(it))),
    (&["forkExecution", "replayExecution", "compareExecutions"], |it| Box::pin(executions::are_repeated(it))),
    (&["listExecutions", "readExecution"], |it| Box::pin(executions::are_listed_and_read(it))),
    (&["executionLogs", "executionMessages", "executionMetrics"], |it| Box::pin(executions::tell_what_happened(it))),
    (&["stopExecution", "resumeExecution", "answerExecution", "controlExecution"], |it| {
        Box::pin(executions::are_steered(it))
    }),
    (&["deleteExecution"], |it| Box::pin(executions::are_deleted(it))),
    (&["listModels", "listKeys", "search", "readResource"], |it| Box::pin(diagrams::are_found_with_models(it))),
    (&["listWorkflows", "readWorkflow", "deleteWorkflow", "validateWorkflow"], |it| {
        Box::pin(aliases::workflows_are_diagrams(it))
    }),
    (&["listWorkflowVersions", "listVersions", "saveWorkflowVersion", "restoreWorkflowVersion"], |it| {
        Box::pin(aliases::versions_are_revisions(it))
    }),
    (&["runWorkflow", "listRuns", "readRun", "runLogs"], |it| Box::pin(aliases::runs_are_executions(it))),
    (&["stopRun", "resumeRun"], |it| Box::pin(aliases::runs_are_steered(it))),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_shows_its_effect() {
    let mut shown = BTreeSet::new();
    for (ids, effect) in EFFECTS {
        let rest = Rest::new();
        effect(&rest).await;
        let asked = rest.asked();
        for id in *ids {
            assert!(asked.contains(id), "nobody asked for {id}: {asked:?}");
            shown.insert(*id);
        }
        rest.app.shut_down_runs().await;
        rest.app.close().await;
    }
    let all: BTreeSet<&str> = rest::operations().map(|it| it.id).collect();
    assert_eq!(shown, all);
}

#[test]
fn the_description_is_the_one_that_is_kept() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/resources/openapi.json");
    let text = serde_json::to_string_pretty(&rest::description()).expect("JSON") + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &text).expect("written");
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == text, "resources/openapi.json is not what the code says; run with UPDATE=1");
}

/// Every `$ref` in a document.
fn references<'v>(value: &'v Value, into: &mut BTreeSet<&'v str>) {
    match value {
        Value::Object(map) => {
            into.extend(map.get("$ref").and_then(Value::as_str));
            map.values().for_each(|it| references(it, into));
        }
        Value::Array(items) => items.iter().for_each(|it| references(it, into)),
        _ => {}
    }
}

#[test]
fn the_description_refers_to_nothing_that_is_not_there_and_keeps_nothing_unused() {
    let description = rest::description();
    let mut found = BTreeSet::new();
    references(&description, &mut found);
    for reference in &found {
        let pointer = reference.strip_prefix('#').expect("within the document");
        assert!(description.pointer(pointer).is_some(), "{reference} is not there");
    }
    let schemas = description["components"]["schemas"].as_object().expect("schemas");
    for name in schemas.keys() {
        assert!(found.contains(format!("#/components/schemas/{name}").as_str()), "`{name}` is used nowhere");
    }
}

#[test]
fn the_description_names_each_operation_as_the_table_has_it() {
    let description = rest::description();
    let mut described = 0;
    for (path, item) in description["paths"].as_object().expect("paths") {
        for (verb, operation) in item.as_object().expect("operations") {
            let id = operation["operationId"].as_str().expect("an id");
            let found = rest::operations().find(|it| it.id == id).expect("in the table");
            assert_eq!((found.path, found.verb.name()), (path.as_str(), verb.to_uppercase().as_str()), "{id}");
            described += 1;
        }
    }
    assert_eq!(described, rest::operations().count());
}
