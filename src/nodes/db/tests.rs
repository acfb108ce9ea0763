use serde_json::{Value, json};

use super::*;
use crate::nodes::harness::{Harness, codes};

async fn check(fields: Value, inputs: Value, before: &[(&str, &str)], expected: Result<Value, &str>) -> Harness {
    let mut harness = Harness::new(NodeKind::Db, fields.clone()).inputs(inputs);
    for (path, text) in before {
        harness = harness.file(path, text);
    }
    let value = harness.body().await;
    match (&value, &expected) {
        (Ok(value), Ok(expected)) => assert_eq!(value, expected, "{fields}"),
        (Err(error), Err(code)) => assert_eq!(&error.code(), code, "{fields}"),
        _ => panic!("{fields}: {value:?}, expected {expected:?}"),
    }
    harness
}

#[tokio::test]
async fn reading_gives_values_by_format_keys_and_lines() {
    let files = [
        ("files/a.json", "{\"user\": {\"name\": \"Ann\", \"age\": 31}}"),
        ("files/bad.json", "{nope"),
        ("files/log.txt", "first line\nsecond line"),
        ("files/p.csv", "name,age\nAnn,30\nBen,40\n"),
        ("files/c.yaml", "a: {b: 1}\n"),
        ("files/x*.txt", "star"),
    ];
    for (fields, expected) in [
        (json!({"file": "files/a.json"}), Ok(json!({"user": {"name": "Ann", "age": 31}}))),
        (json!({"file": "files/{who}.json", "keys": "user.name"}), Ok(json!("Ann"))),
        (
            json!({"file": "files/a.json", "keys": ["user.age", "user.zip"]}),
            Ok(json!({"user.age": 31, "user.zip": null})),
        ),
        (
            json!({"file": "files/a.json", "keys": "user.age, user.name"}),
            Ok(json!({"user.age": 31, "user.name": "Ann"})),
        ),
        (
            json!({"file": "files/a.json", "serialize_json": true, "keys": "user"}),
            Ok(json!("{\"name\":\"Ann\",\"age\":31}")),
        ),
        (
            json!({"file": "files/a.json", "format": "text", "lines": 1}),
            Ok(json!("{\"user\": {\"name\": \"Ann\", \"age\": 31}}")),
        ),
        (json!({"file": "files/bad.json"}), Err("FILE_FAILED")),
        (json!({"file": "files/bad.json", "format": "text"}), Ok(json!("{nope"))),
        (json!({"file": "files/log.txt", "lines": "2:3"}), Ok(json!("second line"))),
        (json!({"file": "files/log.txt", "keys": "a"}), Err("FILE_FAILED")),
        (json!({"file": "files/p.csv"}), Ok(json!("name,age\nAnn,30\nBen,40\n"))),
        (
            json!({"file": "files/p.csv", "format": "csv"}),
            Ok(json!([{"name": "Ann", "age": "30"}, {"name": "Ben", "age": "40"}])),
        ),
        (json!({"file": "files/p.csv", "keys": "1.name"}), Ok(json!("Ben"))),
        (json!({"file": "files/c.yaml"}), Ok(json!("a: {b: 1}\n"))),
        (json!({"file": "files/c.yaml", "keys": "a.b"}), Ok(json!(1))),
        (json!({"file": "files/none.txt"}), Err("FILE_NOT_FOUND")),
        (json!({"file": "files/none.txt", "missing_value": {"n": 0}}), Ok(json!({"n": 0}))),
        (json!({"file": ["files/log.txt"]}), Ok(json!({"files/log.txt": "first line\nsecond line"}))),
        (
            json!({"file": ["files/p*.csv", "files/c.yaml"]}),
            Ok(json!({"files/c.yaml": "a: {b: 1}\n", "files/p.csv": "name,age\nAnn,30\nBen,40\n"})),
        ),
        (json!({"file": "files/l*.txt"}), Ok(json!({"files/log.txt": "first line\nsecond line"}))),
        (json!({"file": "files/none*"}), Ok(json!({}))),
        (json!({"file": "files/x*.txt"}), Ok(json!("star"))),
        (json!({"file": "files/l*.txt", "glob": false}), Err("FILE_NOT_FOUND")),
    ] {
        check(fields, json!({"default": {"who": "a"}}), &files, expected).await;
    }
}

#[tokio::test]
async fn writing_takes_the_value_the_inputs_name() {
    let ann = json!({"user": {"name": "Ann", "age": 30}, "who": "ann"});
    for (path, format, inputs, text) in [
        ("a.json", json!(null), json!({"default": {"a": 1}}), "{\n  \"a\": 1\n}"),
        ("a.json", json!(null), json!({"x": "plain"}), "\"plain\""),
        ("a.txt", json!(null), json!({"x": {"a": 1}}), "{\n  \"a\": 1\n}"),
        ("a.txt", json!(null), json!({"default": 1, "content": "this"}), "this"),
        ("a.txt", json!(null), json!({"default": 1, "generated_code": "code", "value": "v"}), "v"),
        ("a.txt", json!("json"), json!({"a": 1, "b": 2}), "{\n  \"a\": 1,\n  \"b\": 2\n}"),
        ("a.csv", json!(null), json!({"x": [{"a": 1}, {"b": "two, 2"}]}), "a,b\n1,\n,\"two, 2\"\n"),
    ] {
        let fields = json!({"operation": "write", "file": format!("files/{path}"), "format": format});
        let expected = json!({"operation": "write", "path": format!("files/{path}"), "bytes": text.len()});
        let harness = check(fields, inputs, &[], Ok(expected)).await;
        assert_eq!(harness.files.only_text(), text, "{path}");
    }
    let fields = json!({"operation": "write", "file": "files/{who}.json"});
    check(
        fields,
        json!({"default": ann}),
        &[],
        Ok(json!({"operation": "write", "path": "files/ann.json", "bytes": 68})),
    )
    .await;
}

#[tokio::test]
async fn content_in_the_diagram_is_written_as_it_stands() {
    for (fields, path, text) in [
        (json!({"operation": "write", "file": "files/a.txt", "content": "{{x}}\n"}), "files/a.txt", "{{x}}\n"),
        (json!({"operation": "write", "file": "files/a.json", "content": [1]}), "files/a.json", "[\n  1\n]"),
        (json!({"operation": "append", "file": "files/a.txt", "content": "b"}), "files/a.txt", "b"),
    ] {
        let harness = Harness::new(NodeKind::Db, fields.clone()).inputs(json!({"content": "an input", "x": 1}));
        harness.body().await.unwrap_or_else(|error| panic!("{fields}: {error}"));
        assert_eq!(harness.files.text(path).as_deref().map(str::trim_end), Some(text.trim_end()), "{fields}");
    }
    assert_eq!(codes(NodeKind::Db, json!({"file": "files/a.txt", "content": "x"})), ["W402"]);
}

#[tokio::test]
async fn appending_joins_what_is_there() {
    for (path, before, input, after) in [
        ("a.txt", Some("first line"), json!("second line"), "first line\nsecond line"),
        ("a.txt", Some("ends\n"), json!(2), "ends\n2"),
        ("a.txt", None, json!("new"), "new"),
        ("a.json", None, json!({"a": 1}), "[\n  {\n    \"a\": 1\n  }\n]"),
        ("a.json", Some("[1]"), json!("two"), "[\n  1,\n  \"two\"\n]"),
        ("a.json", Some("{\"a\": 1}"), json!("[2]"), "[\n  {\n    \"a\": 1\n  },\n  [\n    2\n  ]\n]"),
        ("a.jsonl", Some("{\"n\":1}"), json!({"n": 2}), "{\"n\":1}\n{\"n\":2}\n"),
    ] {
        let path = format!("files/{path}");
        let files: Vec<_> = before.iter().map(|text| (path.as_str(), *text)).collect();
        let expected = json!({"operation": "append", "path": path, "bytes": after.len()});
        let fields = json!({"operation": "append", "file": path});
        let harness = check(fields, json!({"default": input}), &files, Ok(expected)).await;
        assert_eq!(harness.files.only_text(), after, "{path} {before:?}");
    }
}

#[tokio::test]
async fn updating_sets_keys_and_leaves_the_rest() {
    let before = [("files/a.json", "{\"user\": {\"name\": \"Ann\", \"age\": 30}, \"t\": 1}")];
    for (keys, input, expected) in [
        (json!("user.age"), json!(31), Ok("{\"user\":{\"name\":\"Ann\",\"age\":31},\"t\":1}")),
        (
            json!("new.deep"),
            json!("x"),
            Ok("{\"user\":{\"name\":\"Ann\",\"age\":30},\"t\":1,\"new\":{\"deep\":\"x\"}}"),
        ),
        (json!("user.age, t"), json!({"age": 5, "t": 6}), Ok("{\"user\":{\"name\":\"Ann\",\"age\":5},\"t\":6}")),
        (json!(["user.age", "t"]), json!({"age": 5}), Err("FILE_FAILED")),
        (json!("t.x"), json!(1), Err("FILE_FAILED")),
    ] {
        let harness = Harness::new(NodeKind::Db, json!({"operation": "update", "file": "files/a.json", "keys": keys}))
            .inputs(json!({"default": input}))
            .file(before[0].0, before[0].1);
        match (harness.body().await, expected) {
            (Ok(_), Ok(text)) => {
                let after: Value = serde_json::from_str(&harness.files.only_text()).expect("JSON");
                assert_eq!(after.to_string(), text, "{keys}");
            }
            (Err(error), Err(code)) => {
                assert_eq!(error.code(), code, "{keys}");
                assert_eq!(harness.files.only_text(), before[0].1);
            }
            (done, _) => panic!("{keys}: {done:?}"),
        }
    }
    let fields = json!({"operation": "update", "file": "files/none.json", "keys": "a"});
    check(fields, json!({"default": 1}), &[], Err("FILE_NOT_FOUND")).await;
    let fields = json!({"operation": "update", "file": "files/none.json", "keys": "a", "missing_value": {}});
    check(
        fields,
        json!({"default": 1}),
        &[],
        Ok(json!({"operation": "update", "path": "files/none.json", "bytes": 12})),
    )
    .await;
}

#[test]
fn diagnostics_name_each_mistake_once() {
    for (fields, expected) in [
        (json!({"operation": "raed", "file": "files/x.json"}), vec!["E403"]),
        (json!({"operation": "prompt", "file": "x"}), vec!["E403"]),
        (json!({"operation": "read"}), vec!["E401"]),
        (json!({"file": "files/x.txt", "keys": "a", "lines": "1"}), vec!["E405"]),
        (json!({"file": "files/x.txt", "format": "csv", "lines": "1"}), vec!["E405"]),
        (json!({"file": "files/x.txt", "lines": "x"}), vec!["E402"]),
        (json!({"file": 3}), vec!["E402"]),
        (json!({"file": "../x"}), vec!["E702"]),
        (json!({"operation": "update", "file": "files/x.json"}), vec!["E401"]),
        (json!({"operation": "write", "file": ["a", "b"]}), vec!["E402"]),
        (json!({"file": "files/x", "sub_type": "collection", "query": "q"}), vec!["W402", "W402"]),
        (json!({"file": "files/x", "sub_type": "fixed_prompt", "encoding": "latin-1"}), vec![]),
    ] {
        assert_eq!(codes(NodeKind::Db, fields.clone()), expected, "{fields}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_text_is_read_as_a_reference_to_its_bytes() {
    let harness = Harness::new(NodeKind::Db, json!({"operation": "read", "file": "files/photo.PNG"}));
    harness.files.put("files/photo.PNG", &[0x89, 0xff, 0x00]);
    let value = harness.body().await.expect("it reads");
    assert_eq!((&value["media_type"], &value["size"]), (&json!("image/png"), &json!(3)));
    let blob = crate::nodes::ports::blobs::BlobRef::parse(&value).expect("a reference");
    assert_eq!(&*harness.cx.ports.blobs.get(&blob).await.expect("kept"), &[0x89, 0xff, 0x00]);
}
