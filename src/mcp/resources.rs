//! Resources: lists, templates, contents and completion, from the handler `fetch`.

use rmcp::ErrorData;
use rmcp::model::{
    CacheScope, CompleteRequestParams, CompletionInfo, MetaObject, ReadResourceResult, Reference, Resource,
    ResourceContents, ResourceTemplate,
};
use serde_json::{Map, Value, json};

use super::{answer, app_page};
use crate::error::{Error, ErrorKind};
use crate::handlers::{App, Caller, fetch};

/// How long a client may keep something, in milliseconds, and who may share it.
pub type CacheHints = (u64, CacheScope);

/// What never changes while this version runs.
pub const FIXED: CacheHints = (3_600_000, CacheScope::Public);
/// The list of tools when diagrams are among them, or when it depends on who asks.
pub const TOOLS: CacheHints = (60_000, CacheScope::Private);
/// What lists diagrams: a file may appear at any time.
pub const LISTS: CacheHints = (5_000, CacheScope::Private);

/// Forms of URIs that are no template.
const COLLECTIONS: [&str; 2] = ["dipeo://diagrams", "dipeo://executions"];

/// Lists the collections, every diagram and every guide page: what a client that reads only the first page
/// is most likely to want comes first.
///
/// # Errors
///
/// `INTERNAL` when the workspace cannot be read.
pub async fn list(app: &App, caller: &Caller) -> Result<Vec<Resource>, Error> {
    let mut listed: Vec<Resource> = fetch::list(app, caller).await?.into_iter().map(resource).collect();
    listed.push(app_page::listed());
    listed.sort_by_key(|it| rank(&it.uri));
    Ok(listed)
}

fn resource(listed: fetch::Listed) -> Resource {
    Resource::new(listed.uri, listed.name).with_description(listed.description).with_mime_type(listed.mime_type)
}

/// What is there in every workspace, without the pages of single errors: the template of the guide covers them.
pub fn fixed() -> Vec<Resource> {
    let listed = fetch::fixed().into_iter().filter(|it| rank(&it.uri) < 3).map(resource);
    listed.chain([app_page::listed()]).collect()
}

fn rank(uri: &str) -> u8 {
    match uri {
        _ if COLLECTIONS.contains(&uri) => 0,
        _ if uri.starts_with("dipeo://diagrams/") => 1,
        _ if uri.starts_with("dipeo://guide/errors/") => 3,
        _ => 2,
    }
}

/// The URI templates.
pub fn templates() -> Vec<ResourceTemplate> {
    fetch::TEMPLATES
        .iter()
        .map(|(uri, name, description, mime_type)| {
            ResourceTemplate::new(*uri, *name).with_description(*description).with_mime_type(*mime_type)
        })
        .collect()
}

/// Reads the resource that `uri` names.
///
/// # Errors
///
/// `-32002` (which the library turns into `-32602` for modern clients) when there is none.
pub async fn read(app: &App, caller: &Caller, uri: &str) -> Result<ReadResourceResult, ErrorData> {
    if uri == app_page::URI {
        return Ok(app_page::read());
    }
    let request = fetch::Request { id: uri.to_owned() };
    let document = fetch::fetch(app, caller, request).await.map_err(|error| {
        let mut error = protocol_error(&error.scrubbed(app.scrubber()));
        if let Some(data) = &mut error.data {
            data["uri"] = uri.into();
        }
        error
    })?;
    let (ttl_ms, scope) = cache_hints(uri, &document.metadata);
    let mime_type = document.metadata.get("mime_type").and_then(Value::as_str).unwrap_or("text/plain");
    let is_base64 = document.metadata.get("encoding").and_then(Value::as_str) == Some("base64");
    let mut contents = if is_base64 {
        ResourceContents::blob(document.text, uri).with_mime_type(mime_type)
    } else {
        ResourceContents::text(document.text, uri).with_mime_type(mime_type)
    };
    if let Some(warnings) = document.metadata.get("warnings") {
        let mut meta = MetaObject::new();
        meta.insert("io.github.dipeo/warnings".to_owned(), warnings.clone());
        contents = contents.with_meta(meta);
    }
    Ok(ReadResourceResult::new(vec![contents]).with_ttl_ms(ttl_ms).with_cache_scope(scope))
}

/// Completes one variable of a template or argument of a prompt. What cannot be completed has no
/// completions; that is never an error.
///
/// # Errors
///
/// `-32603` when the workspace or the database cannot be read.
pub async fn complete(
    app: &App,
    caller: &Caller,
    request: &CompleteRequestParams,
) -> Result<CompletionInfo, ErrorData> {
    let argument = &request.argument;
    let Some(variable) = variable(&request.r#ref, &argument.name) else { return Ok(CompletionInfo::default()) };
    let chosen = request.context.as_ref().and_then(|it| it.arguments.as_ref());
    let diagram = chosen.and_then(|it| it.get("name").or_else(|| it.get("diagram"))).cloned();
    let typed = fetch::Typed { variable, prefix: &argument.value, diagram };
    let mut values =
        fetch::complete(app, caller, typed).await.map_err(|error| protocol_error(&error.scrubbed(app.scrubber())))?;
    let has_more = values.len() > CompletionInfo::MAX_VALUES;
    values.truncate(CompletionInfo::MAX_VALUES);
    CompletionInfo::with_pagination(values, None, has_more).map_err(|text| ErrorData::internal_error(text, None))
}

/// Names the variable of a template that `argument` stands for.
fn variable<'a>(reference: &Reference, argument: &'a str) -> Option<&'a str> {
    match reference {
        Reference::Resource(it) => {
            let placeholder = format!("{{{argument}}}");
            fetch::TEMPLATES.iter().any(|(uri, ..)| *uri == it.uri && uri.contains(&placeholder)).then_some(argument)
        }
        Reference::Prompt(it) => match (it.name.as_str(), argument) {
            ("fix_diagram" | "review_diagram", "name") => Some("name"),
            ("explain_execution", "execution_id") => Some("id"),
            _ => None,
        },
        _ => None,
    }
}

fn cache_hints(uri: &str, metadata: &Map<String, Value>) -> CacheHints {
    let path = uri.strip_prefix("dipeo://").unwrap_or_default();
    if path.starts_with("guide/") || path.starts_with("blobs/") {
        return FIXED;
    }
    if path.starts_with("executions") {
        let status = metadata.get("status").and_then(Value::as_str).unwrap_or_default();
        // What failed or was aborted may be opened again.
        return (if status == "completed" { 3_600_000 } else { 0 }, CacheScope::Private);
    }
    LISTS
}

/// Turns a handler's error into one of the protocol, for methods that have no error results.
pub fn protocol_error(error: &Error) -> ErrorData {
    answer::log(error);
    let mut data = answer::error_shown(error);
    let message = data["message"].as_str().unwrap_or_default().to_owned();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::Invalid => {
            let forms: Vec<&str> =
                COLLECTIONS.into_iter().chain(fetch::TEMPLATES.iter().map(|(uri, ..)| *uri)).collect();
            data["forms"] = json!(forms);
            ErrorData::resource_not_found(message, Some(data))
        }
        ErrorKind::Conflict | ErrorKind::Refused | ErrorKind::Limit => ErrorData::invalid_request(message, Some(data)),
        ErrorKind::External | ErrorKind::Internal => ErrorData::internal_error(message, Some(data)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_resource_lists_every_form_of_uri() {
        let error = protocol_error(&Error::not_found("RESOURCE_NOT_FOUND", "there is no `dipeo://x`"));
        assert_eq!((error.code.0, error.message.as_ref()), (-32002, "there is no `dipeo://x`"));
        let data = error.data.expect("data");
        assert_eq!(data["code"], "RESOURCE_NOT_FOUND");
        assert_eq!(data["forms"].as_array().map(Vec::len), Some(COLLECTIONS.len() + fetch::TEMPLATES.len()));
    }

    #[test]
    fn how_long_something_may_be_kept_depends_on_whether_it_can_change() {
        let status = |it: &str| Map::from_iter([("status".to_owned(), json!(it))]);
        for (uri, metadata, expected) in [
            ("dipeo://guide/light-format", Map::new(), FIXED),
            ("dipeo://diagrams", Map::new(), LISTS),
            ("dipeo://diagrams/a/b", Map::new(), LISTS),
            ("dipeo://executions", Map::new(), (0, CacheScope::Private)),
            ("dipeo://executions/exec_1", status("running"), (0, CacheScope::Private)),
            ("dipeo://executions/exec_1/messages", status("completed"), (3_600_000, CacheScope::Private)),
            ("dipeo://executions/exec_1/timeline.svg", status("paused"), (0, CacheScope::Private)),
            ("dipeo://executions/exec_1/graph.mmd", status("aborted"), (0, CacheScope::Private)),
        ] {
            assert_eq!(cache_hints(uri, &metadata), expected, "{uri}");
        }
    }

    #[test]
    fn only_variables_of_known_templates_and_prompts_are_completed() {
        for (reference, argument, expected) in [
            (Reference::for_resource("dipeo://diagrams/{name}"), "name", Some("name")),
            (Reference::for_resource("dipeo://diagrams/{name}"), "id", None),
            (Reference::for_resource("dipeo://nothing/{name}"), "name", None),
            (Reference::for_resource("dipeo://executions/{id}/timeline.svg"), "id", Some("id")),
            (Reference::for_resource("dipeo://executions/{id}/graph.mmd"), "id", Some("id")),
            (Reference::for_prompt("explain_execution"), "execution_id", Some("id")),
            (Reference::for_prompt("fix_diagram"), "name", Some("name")),
            (Reference::for_prompt("review_diagram"), "name", Some("name")),
            (Reference::for_resource("dipeo://executions/{id}/messages"), "id", Some("id")),
            (Reference::for_resource("dipeo://guide/{page}"), "page", Some("page")),
            (Reference::for_resource("dipeo://blobs/{sha256}"), "sha256", Some("sha256")),
            (Reference::for_prompt("write_diagram"), "request", None),
        ] {
            assert_eq!(variable(&reference, argument), expected, "{reference:?} {argument}");
        }
    }
}
