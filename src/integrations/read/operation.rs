//! The operations of a manifest.

use std::collections::BTreeSet;

use super::super::manifest::{
    BodyTemplate, Operation, Pagination, PagingKind, RequestPart, ResponsePart, ValueTemplate,
};
use super::super::pointer::Pointer;
use super::super::section::Section;
use super::super::template::Template;
use super::{is_header_name, read_rate_limit, refused_code};
use crate::diagram::{Tree, TreeKind};
use crate::limits;

/// Reads `operations`; `refused` says what in the manifest asks for code that all of them would need.
pub(super) fn read_all(top: &mut Section<'_, '_>, refused: Option<&str>) -> Vec<Operation> {
    if top.tree("operations").is_none() {
        top.missing("operations", "{get_thing: {method: GET, path: /things}}");
        return Vec::new();
    }
    let entries = top.entries("operations");
    if entries.len() > limits::MANIFEST_OPERATIONS_MAX {
        let message = format!("the manifest has {} operations", entries.len());
        let hint = format!("{} are the most; split the provider", limits::MANIFEST_OPERATIONS_MAX);
        top.problem("E404", "operations", message, hint);
        return Vec::new();
    }
    let mut operations = Vec::with_capacity(entries.len());
    for (name, tree) in entries {
        let section = top.below(tree, format!("operations.{}", name.value));
        let mut operation = read_operation(name.value.clone(), section);
        if operation.refused.is_none() {
            operation.refused = refused.map(str::to_owned);
        }
        operations.push(operation);
    }
    operations
}

fn read_operation(name: String, mut section: Section<'_, '_>) -> Operation {
    let refused = refused_code(&mut section);
    let method = read_method(&mut section);
    let path = section.required_text("path", "/things/{id}");
    check_path(&mut section, &path);
    let operation = Operation {
        description: section.text("description"),
        required_scopes: section.texts("required_scopes"),
        timeout_s: section.number("timeout_override", 0.1, 300.0),
        rate_limit: read_rate_limit(&mut section, "rate_limit_override"),
        request: read_request(&mut section, &path),
        response: read_response(&mut section),
        pagination: read_pagination(&mut section),
        name,
        method,
        path,
        refused,
    };
    section.finish();
    operation
}

fn read_method(section: &mut Section<'_, '_>) -> String {
    if section.tree("method").is_none() {
        section.missing("method", "GET");
    }
    let names = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"];
    section.choice("method", &names).unwrap_or("GET").to_owned()
}

fn check_path(section: &mut Section<'_, '_>, path: &str) {
    let problem = if path.is_empty() {
        return;
    } else if !path.starts_with('/') {
        "must begin with `/`"
    } else if path.contains(['?', '#', '\\']) || path.bytes().any(|it| it.is_ascii_control() || it == b' ') {
        "holds more than a path"
    } else if params_of(path).is_none() {
        "has a brace that is not closed"
    } else {
        return;
    };
    let message = format!("`{}` {problem}: `{path}`", section.place("path"));
    section.problem("E403", "path", message, "write a path such as `/things/{id}`; the query goes to `request`");
}

/// The names in braces of a path, in order; `None` when a brace is not closed.
pub(in super::super) fn params_of(path: &str) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    let mut rest = path;
    while let Some(at) = rest.find(['{', '}']) {
        let (name, after) = rest[at..].strip_prefix('{')?.split_once('}')?;
        if name.is_empty() || name.contains(['{', '/']) {
            return None;
        }
        names.push(name);
        rest = after;
    }
    Some(names)
}

fn read_request(operation: &mut Section<'_, '_>, path: &str) -> RequestPart {
    let Some(mut section) = operation.section("request") else { return RequestPart::default() };
    let request = RequestPart {
        body_schema: section.schema("body_schema"),
        body: read_body(&mut section),
        query_schema: section.schema("query_params_schema"),
        query: section.templates("query_params_template"),
        headers: section.templates("headers_template"),
        path_params: section.templates("path_params_template"),
    };
    if let Some(name) = request.headers.iter().map(|(name, _)| name).find(|it| !is_header_name(it)) {
        let message = format!("`{name}` is no header name");
        section.problem("E403", "headers_template", message, "write letters, digits and `-`");
    }
    let known: BTreeSet<&str> = params_of(path).unwrap_or_default().into_iter().collect();
    if let Some((name, _)) = request.path_params.iter().find(|(name, _)| !known.contains(name.as_str())) {
        let message =
            format!("`{}` gives `{name}`, which the path does not have", section.place("path_params_template"));
        section.problem("E403", "path_params_template", message, format!("the path is `{path}`"));
    }
    section.finish();
    request
}

fn read_body(section: &mut Section<'_, '_>) -> Option<BodyTemplate> {
    let tree = section.tree("body_template")?;
    let place = section.place("body_template");
    if let TreeKind::Text(text) = &tree.kind {
        return section.parsed(Template::json(text, &place), tree.span, &place).map(BodyTemplate::Text);
    }
    Some(BodyTemplate::Value(value_template(section, tree, &place)))
}

fn value_template(section: &mut Section<'_, '_>, tree: &Tree, place: &str) -> ValueTemplate {
    match &tree.kind {
        TreeKind::Text(_) => match section.template_of(tree, place) {
            Some(template) => ValueTemplate::Text(template),
            None => ValueTemplate::Plain(tree.to_json()),
        },
        TreeKind::List(items) => {
            ValueTemplate::List(items.iter().map(|it| value_template(section, it, place)).collect())
        }
        TreeKind::Map(entries) => {
            let inside = |(key, it): &(crate::diagram::Spanned<String>, Tree)| {
                (key.value.clone(), value_template(section, it, &format!("{place}.{}", key.value)))
            };
            ValueTemplate::Map(entries.iter().map(inside).collect())
        }
        TreeKind::Null | TreeKind::Bool(_) | TreeKind::Number(_) => ValueTemplate::Plain(tree.to_json()),
    }
}

fn read_response(operation: &mut Section<'_, '_>) -> ResponsePart {
    let success_codes = vec![200, 201, 202, 204];
    let Some(mut section) = operation.section("response") else {
        return ResponsePart {
            success_codes,
            pointer: Pointer::whole(),
            schema: None,
            error_pointer: None,
            transform: None,
        };
    };
    let response = ResponsePart {
        success_codes: section.statuses("success_codes").unwrap_or(success_codes),
        pointer: section.pointer("json_pointer").unwrap_or_else(Pointer::whole),
        schema: section.schema("schema"),
        error_pointer: section.pointer("error_json_pointer"),
        transform: read_transform(&mut section),
    };
    section.finish();
    response
}

fn read_transform(section: &mut Section<'_, '_>) -> Option<Template> {
    let tree = section.tree("transform")?;
    let text = section.text("transform")?;
    let place = section.place("transform");
    section.parsed(Template::json(&text, &place), tree.span, &place)
}

fn read_pagination(operation: &mut Section<'_, '_>) -> Option<Pagination> {
    let mut section = operation.section("pagination")?;
    let names = ["none", "offset_limit", "page_number", "cursor", "link_header", "next_token"];
    if section.tree("type").is_none() {
        section.missing("type", "page_number");
    }
    let kind = match section.choice("type", &names) {
        Some("offset_limit") => Some(PagingKind::OffsetLimit),
        Some("page_number") => Some(PagingKind::PageNumber),
        Some("cursor") => Some(PagingKind::Cursor),
        Some("link_header") => Some(PagingKind::LinkHeader),
        Some("next_token") => Some(PagingKind::NextToken),
        _ => None,
    };
    let text =
        |section: &mut Section<'_, '_>, key, preset: &str| section.text(key).unwrap_or_else(|| preset.to_owned());
    let has_default_limit = section.tree("default_limit").is_some();
    let limit_param = section.text("limit_param");
    let pagination = Pagination {
        kind: kind.unwrap_or(PagingKind::LinkHeader),
        limit_param: limit_param.or_else(|| has_default_limit.then(|| "limit".to_owned())),
        offset_param: text(&mut section, "offset_param", "offset"),
        page_param: text(&mut section, "page_param", "page"),
        cursor_param: text(&mut section, "cursor_param", "cursor"),
        cursor_path: section.pointer("cursor_response_path"),
        has_more_path: section.pointer("has_more_path"),
        default_limit: section.whole("default_limit", 1, 1_000).unwrap_or(100),
    };
    if matches!(kind, Some(PagingKind::Cursor | PagingKind::NextToken)) && pagination.cursor_path.is_none() {
        section.missing("cursor_response_path", "$.next_cursor");
    }
    section.finish();
    kind.map(|_| pagination)
}
