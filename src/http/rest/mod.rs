//! The REST interface: a list of operations, from which the routes and their description are made.
//!
//! | file | what it holds |
//! |---|---|
//! | `operation` | what an operation is |
//! | `diagrams`, `revisions`, `runs`, `executions`, `models` | the operations under `/api/v1`, each with what it calls |
//! | `aliases`, `words` | the paths of Tool Hub, and its shapes |
//! | `input`, `conditions`, `schemas` | how a request is read and checked |
//! | `serve` | how it is carried out and answered |
//! | `openapi`, `pages` | the description, as a document and as a page |
//!
//! An operation translates and calls one use case of [`crate::handlers`]; it holds no rule of its own.

mod aliases;
mod conditions;
mod diagrams;
mod executions;
mod input;
mod lists;
mod models;
pub mod openapi;
mod operation;
mod pages;
mod revisions;
mod runs;
mod schemas;
mod serve;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::{MethodFilter, on};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::compression::CompressionLayer;

pub use self::operation::{Operation, Verb};
use self::serve::{Served, Shared};
use crate::handlers::App;

/// Every operation, in the order in which they are described.
pub fn operations() -> impl Iterator<Item = &'static Operation> {
    let own = [diagrams::OPERATIONS, revisions::OPERATIONS, runs::OPERATIONS, executions::OPERATIONS];
    own.into_iter().chain([models::OPERATIONS, aliases::OPERATIONS]).flatten()
}

pub use self::pages::PATHS as PAGES;

/// Every path of an operation.
pub fn paths() -> Vec<&'static str> {
    let mut all: Vec<&'static str> = operations().map(|it| it.path).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The description of the interface.
pub fn description() -> Value {
    openapi::document(&operations().collect::<Vec<_>>())
}

/// Serves `app` under `/api`, and describes that on `/openapi.json` and `/docs`. Waits end when `stop` is
/// cancelled.
pub fn routes(app: Arc<App>, stop: CancellationToken) -> Router {
    let is_described = !app.config.is_production;
    let shared = Shared { app, stop, tracker: TaskTracker::new() };
    let mut router = Router::new();
    for operation in operations() {
        let served = Served::new(operation, &shared);
        let answer = move |request: Request| Arc::clone(&served).answer(request);
        router = router.route(operation.path, on(filter(operation.verb), answer));
    }
    if is_described {
        router = router.merge(pages::routes());
    }
    router.layer(CompressionLayer::new())
}

fn filter(verb: Verb) -> MethodFilter {
    match verb {
        Verb::Get => MethodFilter::GET,
        Verb::Post => MethodFilter::POST,
        Verb::Put => MethodFilter::PUT,
        Verb::Delete => MethodFilter::DELETE,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_operation_has_a_name_and_a_place_of_its_own() {
        let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
        for it in operations() {
            assert!(ids.insert(it.id) && !it.id.is_empty(), "{}", it.id);
            assert!(places.insert((it.path, it.verb.name())), "{} {}", it.verb.name(), it.path);
            assert!(!it.successes.is_empty() && !it.summary.is_empty() && !it.handler.is_empty(), "{}", it.id);
        }
    }

    #[test]
    fn what_stands_in_a_path_is_a_part_of_the_request() {
        for it in operations() {
            let schema = schemas::of_request(it);
            for name in schemas::names_in(it.path) {
                assert!(schema["properties"].get(name).is_some(), "{} has no `{name}`", it.id);
            }
            let fields: Vec<&str> = it.names.iter().map(|(_, field)| *field).chain(it.hidden.iter().copied()).collect();
            let whole = Operation { names: &[], hidden: &[], request: it.request, ..*it };
            let whole = schemas::of_request(&whole);
            for field in fields {
                assert!(whole["properties"].get(field).is_some(), "{}: the shape has no field `{field}`", it.id);
            }
        }
    }
}
