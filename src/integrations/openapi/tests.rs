use serde_json::{Value, json};

use super::*;
use crate::integrations::read;
use crate::integrations::write::to_yaml;

/// Imports the operations of `paths`; the result is a manifest that reads back without a problem.
fn imported(paths: Value, extra: Value) -> Imported {
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {"title": "My Shop", "version": "2"},
        "servers": [{"url": "https://{host}.test/v1/", "variables": {"host": {"default": "shop"}}}],
        "paths": paths,
    });
    for (key, value) in extra.as_object().into_iter().flatten() {
        document[key] = value.clone();
    }
    let imported = import(&document, &Options::default()).unwrap_or_else(|error| panic!("{error:?}"));
    let text = to_yaml(&imported.manifest).expect("it is written");
    let checked = read(&text);
    assert!(checked.diagnostics.is_empty(), "{:?}\n{text}", checked.diagnostics);
    imported
}

fn operation(operation: Value) -> (Value, Vec<String>) {
    let imported = imported(json!({"/a/{id}": {"get": operation}}), json!({}));
    let operations = imported.manifest["operations"].as_object().expect("a map");
    (operations.values().next().expect("one").clone(), imported.left_out)
}

#[test]
fn the_head_of_a_manifest_comes_from_info_and_servers() {
    let imported = imported(json!({"/": {"get": {}}}), json!({}));
    let manifest = &imported.manifest;
    assert_eq!((&manifest["name"], &manifest["version"]), (&json!("my_shop"), &json!("2")));
    assert_eq!(
        (&manifest["base_url"], &manifest["auth"]),
        (&json!("https://shop.test/v1"), &json!({"strategy": "none"}))
    );
    assert_eq!(manifest["operations"]["get"]["path"], "/");
}

#[test]
fn parameters_become_templates_and_a_schema() {
    let (operation, left_out) = operation(json!({"operationId": "listThings", "parameters": [
        {"name": "id", "in": "path", "required": true, "schema": {"type": "integer"}},
        {"name": "q", "in": "query", "required": true, "schema": {"type": "string"}},
        {"name": "limit", "in": "query", "schema": {"type": "integer", "default": 20, "maximum": 50}},
        {"name": "tags", "in": "query", "explode": false, "schema": {"type": "array", "items": {"type": "string"}}},
        {"name": "filter[a]", "in": "query", "schema": {"type": "string"}},
        {"name": "deep", "in": "query", "style": "deepObject", "schema": {"type": "object"}},
        {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
        {"name": "Authorization", "in": "header", "schema": {"type": "string"}},
        {"name": "sid", "in": "cookie", "schema": {"type": "string"}},
    ]}));
    assert_eq!(
        operation["request"],
        json!({
            "path_params_template": {"id": "{{ config.id }}"},
            "query_params_template": {
                "q": "{{ config.q }}",
                "limit": "{{ config.limit|default(20) }}",
                "tags": "{{ config.tags|default('')|separated(',') }}",
                "filter[a]": "{{ config[\"filter[a]\"]|default('') }}",
            },
            "headers_template": {"X-Trace": "{{ config[\"X-Trace\"]|default('') }}"},
            "query_params_schema": {
                "type": "object",
                "properties": {
                    "q": {"type": "string"},
                    "limit": {"type": "integer", "maximum": 50, "default": 20},
                    "filter[a]": {"type": "string"},
                },
                "required": ["q"],
            },
        })
    );
    assert_eq!(left_out.len(), 2, "{left_out:?}");
    assert!(left_out[0].contains("`deep`") && left_out[1].contains("the cookie `sid`"), "{left_out:?}");
}

#[test]
fn bodies_pass_config_body_or_the_named_properties() {
    let body = |schema: Value, required: bool| {
        let (operation, _) = operation(
            json!({"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}),
        );
        operation["request"]["body_template"].as_str().expect("a template").to_owned()
    };
    let object = json!({"type": "object", "properties": {"a": {}, "b-c": {}, "made": {"readOnly": true}}});
    let both = "{% if config.body is defined %}{{ config.body }}{% else %}{{ config|pick(\"a\", \"b-c\") }}{% endif %}";
    assert_eq!(body(object, true), both);
    assert_eq!(body(json!({"type": "string"}), true), "{{ config.body }}");
    assert_eq!(body(json!({"type": "string"}), false), "{% if config.body is defined %}{{ config.body }}{% endif %}");
    let named_body = json!({"allOf": [{"properties": {"body": {}}}, {"oneOf": [{"properties": {"n": {}}}]}]});
    assert_eq!(body(named_body, true), "{{ config|pick(\"body\", \"n\") }}");
    let (without, left_out) = operation(json!({"requestBody": {"content": {"multipart/form-data": {"schema": {}}}}}));
    assert_eq!(without["request"].get("body_template"), None);
    assert!(left_out[0].contains("multipart/form-data"), "{left_out:?}");
}

#[test]
fn replies_of_success_give_codes_and_schema() {
    let json_reply = |schema: Value| json!({"description": "", "content": {"application/json": {"schema": schema}}});
    let (found, _) = operation(
        json!({"responses": {"201": json_reply(json!({"type": "object"})), "204": {}, "404": {}, "default": {}}}),
    );
    assert_eq!(found["response"], json!({"success_codes": [201, 204], "schema": {"type": "object"}}));
    let (found, _) = operation(json!({"responses": {"2XX": json_reply(json!({}))}}));
    assert_eq!(found["response"]["success_codes"].as_array().map(Vec::len), Some(7));
    assert_eq!(found["response"].get("schema"), None);
}

#[test]
fn schemas_are_written_out_and_old_words_translated() {
    let components = json!({"components": {"schemas": {
        "Node": {"type": "object", "required": ["id", "secret"], "properties": {
            "id": {"type": "integer", "minimum": 0, "exclusiveMinimum": true},
            "secret": {"type": "string", "writeOnly": true},
            "kind": {"type": "string", "nullable": true, "enum": ["a"]},
            "children": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
        }},
    }}});
    let reply = json!({"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}}});
    let imported = imported(json!({"/": {"get": {"responses": reply}}}), components);
    assert_eq!(
        imported.manifest["operations"]["get"]["response"]["schema"],
        json!({"type": "object", "required": ["id"], "properties": {
            "id": {"type": "integer", "exclusiveMinimum": 0},
            "secret": {"type": "string"},
            "kind": {"type": ["string", "null"], "enum": ["a", null]},
            "children": {"type": "array", "items": {}},
        }})
    );
}

#[test]
fn the_first_security_scheme_that_is_understood_is_taken() {
    let schemes = json!({
        "digest": {"type": "http", "scheme": "digest"},
        "bearer": {"type": "http", "scheme": "Bearer"},
        "basic": {"type": "http", "scheme": "basic"},
        "header": {"type": "apiKey", "in": "header", "name": "X-Key"},
        "query": {"type": "apiKey", "in": "query", "name": "key"},
        "cookie": {"type": "apiKey", "in": "cookie", "name": "sid"},
        "client": {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "/oauth/token", "scopes": {"a": ""}}}},
        "browser": {"type": "oauth2", "flows": {"authorizationCode": {"authorizationUrl": "x", "tokenUrl": "y"}}},
    });
    for (wanted, expected, n_left_out) in [
        (json!([]), json!({"strategy": "none"}), 0),
        (json!([{"digest": []}, {"bearer": []}, {"basic": []}]), json!({"strategy": "oauth2_bearer"}), 2),
        (json!([{"basic": []}]), json!({"strategy": "basic"}), 0),
        (json!([{"header": []}]), json!({"strategy": "api_key_header", "header": "X-Key"}), 0),
        (json!([{"cookie": []}, {"query": []}]), json!({"strategy": "api_key_query", "query_param": "key"}), 1),
        (
            json!([{"client": ["b", "a"]}]),
            json!({"strategy": "oauth2_client_credentials", "token_endpoint": "https://shop.test/oauth/token", "scopes": ["a", "b"]}),
            0,
        ),
        (json!([{"browser": []}]), json!({"strategy": "oauth2_bearer"}), 0),
        (json!([{"nope": []}]), json!({"strategy": "none"}), 1),
    ] {
        let extra = json!({"components": {"securitySchemes": schemes}, "security": wanted});
        let imported = imported(json!({"/": {"get": {}}}), extra);
        assert_eq!(imported.manifest["auth"], expected, "{wanted}");
        assert_eq!(imported.left_out.len(), n_left_out, "{wanted}: {:?}", imported.left_out);
    }
}

#[test]
fn only_some_operations_and_another_server_can_be_asked_for() {
    let document = json!({"openapi": "3.0.3", "info": {}, "paths": {
        "/a": {"get": {"operationId": "listA"}, "post": {"operationId": "addA"}}, "/b": {"get": {"operationId": "listA"}},
    }});
    let options = |base_url: Option<&str>, only: &str| Options {
        name: Some("x".to_owned()),
        base_url: base_url.map(str::to_owned),
        only: Some(glob::Pattern::new(only).expect("a pattern")),
    };
    let found = import(&document, &options(Some("https://x.test/"), "list_*")).expect("it imports");
    let names: Vec<&str> =
        found.manifest["operations"].as_object().expect("a map").keys().map(String::as_str).collect();
    assert_eq!((names, found.manifest["base_url"].as_str()), (vec!["list_a", "list_a_2"], Some("https://x.test")));
    for (base_url, only, part) in [
        (Some("https://x.test"), "zip*", "none of the 3 operations"),
        (Some("x.test"), "*", "cannot be the base address"),
        (None, "*", "names no server"),
    ] {
        let error = import(&document, &options(base_url, only)).expect_err(part);
        assert!(error.code() == "INVALID_INPUT" && error.message().contains(part), "{error}");
    }
}

#[test]
fn what_is_no_document_is_said_clearly() {
    for (text, part) in [
        ("", "the text is empty"),
        ("- a", "not one mapping"),
        ("{\"openapi\": ", "line 1"),
        ("swagger: '2.0'", "version 2.0"),
        ("openapi: 4.0.0", "`4.0.0` is not understood"),
        ("a: 1", "`openapi` is missing"),
        ("openapi: 3.0.0\nservers: [{url: /v1}]\npaths: {/a: {get: {}}}", "relative"),
        ("openapi: 3.0.0\nservers: [{url: 'https://x'}]\npaths: {}", "no operation"),
        ("openapi: 3.0.0\nservers: [{url: 'https://x'}]\npaths: 3", "no operation"),
    ] {
        let outcome = parse(text).and_then(|it| import(&it, &Options::default()));
        let error = outcome.expect_err(text);
        assert!(error.message().contains(part), "{text}: {error}");
        assert!(error.hint_text().is_some(), "{text}");
    }
}

#[test]
fn hostile_documents_end_without_a_panic() {
    let cyclic = json!({"schemas": {
        "A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/A"},
        "Wide": {"properties": (0..200).map(|it| (format!("p{it}"), json!({"$ref": "#/components/schemas/Wide2"}))).collect::<Map<_, _>>()},
        "Wide2": {"anyOf": (0..200).map(|_| json!({"$ref": "#/components/schemas/Wide3"})).collect::<Vec<_>>()},
        "Wide3": {"items": {"$ref": "#/components/schemas/Wide"}},
        "Odd": {"type": 3, "required": true, "properties": [], "items": 7, "allOf": {}},
    }});
    let mut deep = json!({"type": "string"});
    for _ in 0..100 {
        deep = json!({"properties": {"x": deep}});
    }
    let content = |schema: Value| json!({"content": {"application/json": {"schema": schema}}});
    let mut paths = Map::new();
    let schemas = ["A", "B", "Wide", "Odd", "Nope"].map(|it| json!({"$ref": format!("#/components/schemas/{it}")}));
    for (nth, schema) in schemas
        .into_iter()
        .chain([deep, json!({"$ref": "http://evil.test/x"}), json!({"$ref": 3}), json!(true)])
        .enumerate()
    {
        let operation = json!({"requestBody": content(schema.clone()), "responses": {"200": content(schema)}});
        paths.insert(format!("/s{nth}"), json!({"post": operation}));
    }
    paths.insert("no slash".to_owned(), json!({"get": {}}));
    paths.insert("/open{brace".to_owned(), json!({"get": {}}));
    paths.insert("/q?x=1".to_owned(), json!({"get": {}}));
    paths.insert("/ref".to_owned(), json!({"$ref": "#/paths/~1ref"}));
    paths.insert("/odd".to_owned(), json!({"get": {"parameters": [3, {"in": "query"}, {"$ref": "#/nope"}, {"name": "x\" }}", "in": "query"}], "responses": 7, "operationId": "{{ x }}"}}));
    let imported = imported(Value::Object(paths), json!({"components": cyclic}));
    assert_eq!(imported.n_operations, 10, "{:?}", imported.left_out);
    assert!(
        ["no slash", "/open{brace", "/q?x=1", "/ref"]
            .iter()
            .all(|path| imported.left_out.iter().any(|it| it.contains(path))),
        "{:?}",
        imported.left_out
    );
}
