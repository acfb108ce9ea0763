//! Security schemes of a document as the `auth` of a manifest: the first that is understood; the others are
//! named.

use serde_json::{Value, json};
use url::Url;

use super::document::Document;
use crate::integrations::read::is_header_name;

/// Makes `auth`.
pub(super) fn auth(document: &Document<'_>, base_url: &str, left_out: &mut Vec<String>) -> Value {
    let schemes = document.root().pointer("/components/securitySchemes").and_then(Value::as_object);
    let mut chosen = None;
    for name in wanted(document) {
        let scheme = schemes.and_then(|it| it.get(&name)).and_then(|it| document.resolve(it));
        let auth = scheme.and_then(|it| understood(document, &name, it, base_url));
        match (auth, &chosen) {
            (Some(auth), None) => chosen = Some(auth),
            (Some(_), Some(_)) => {
                left_out.push(format!("the security scheme `{name}`: one is taken, and it comes later"))
            }
            (None, _) => left_out.push(format!("the security scheme `{name}`, which is not understood")),
        }
    }
    chosen.unwrap_or_else(|| json!({"strategy": "none"}))
}

/// The schemes that are asked for, each once, those of the whole document first.
fn wanted(document: &Document<'_>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let of_operations = document.operations(&mut Vec::new());
    let lists = document.root().get("security").into_iter();
    let lists = lists.chain(of_operations.iter().filter_map(|it| it.operation.get("security")));
    for requirement in lists.filter_map(Value::as_array).flatten() {
        for name in requirement.as_object().into_iter().flat_map(|it| it.keys()) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    names
}

fn understood(document: &Document<'_>, name: &str, scheme: &Value, base_url: &str) -> Option<Value> {
    let text = |key: &str| scheme.get(key).and_then(Value::as_str).unwrap_or_default();
    match text("type") {
        "http" => match text("scheme").to_ascii_lowercase().as_str() {
            "bearer" => Some(json!({"strategy": "oauth2_bearer"})),
            "basic" => Some(json!({"strategy": "basic"})),
            _ => None,
        },
        "apiKey" => match text("in") {
            "header" if is_header_name(text("name")) => {
                Some(json!({"strategy": "api_key_header", "header": text("name")}))
            }
            "query" if !text("name").is_empty() => {
                Some(json!({"strategy": "api_key_query", "query_param": text("name")}))
            }
            _ => None,
        },
        "oauth2" => {
            let Some(flow) = scheme.pointer("/flows/clientCredentials") else {
                // The other flows need a browser; whoever has a token can send it.
                return scheme.get("flows").map(|_| json!({"strategy": "oauth2_bearer"}));
            };
            let endpoint = flow.get("tokenUrl").and_then(Value::as_str)?;
            let endpoint =
                Url::parse(base_url).ok()?.join(endpoint).ok().filter(|it| it.scheme().starts_with("http"))?;
            let scopes = scopes_of(document, name);
            let mut auth = json!({"strategy": "oauth2_client_credentials", "token_endpoint": endpoint.as_str()});
            if !scopes.is_empty() {
                auth["scopes"] = scopes.into();
            }
            Some(auth)
        }
        _ => None,
    }
}

/// Every scope that is asked of the scheme `name`.
fn scopes_of(document: &Document<'_>, name: &str) -> Vec<String> {
    let of_operations = document.operations(&mut Vec::new());
    let lists = document.root().get("security").into_iter();
    let lists = lists.chain(of_operations.iter().filter_map(|it| it.operation.get("security")));
    let requirements = lists.filter_map(Value::as_array).flatten();
    let mut scopes: Vec<String> = requirements
        .filter_map(|it| it.get(name)?.as_array())
        .flatten()
        .filter_map(|it| it.as_str().map(str::to_owned))
        .collect();
    scopes.sort();
    scopes.dedup();
    scopes
}

/// The scopes that an operation asks for, of its first requirement that has any.
pub(super) fn scopes(document: &Document<'_>, operation: &Value) -> Vec<String> {
    let security = operation.get("security").or_else(|| document.root().get("security"));
    let requirements = security.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
    let lists = requirements.flat_map(|it| it.values()).filter_map(Value::as_array);
    let scopes = lists.map(|it| it.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect::<Vec<_>>());
    scopes.into_iter().find(|it| !it.is_empty()).unwrap_or_default()
}
