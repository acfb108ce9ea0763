use super::*;

/// Codes with their lines.
fn problems(text: &str) -> Vec<(&'static str, u32)> {
    read(text).diagnostics.iter().map(|it| (it.code, it.span.line)).collect()
}

const HEAD: &str = "name: x\nbase_url: https://x.test\nauth: {strategy: none}\n";

#[test]
fn every_mistake_is_one_problem_with_its_line() {
    for (text, expected) in [
        ("", vec![("E102", 1)]),
        ("name: [", vec![("E101", 1)]),
        ("name: x\nname: y\n", vec![("E103", 2)]),
        ("name: x\n", vec![("E401", 1), ("E401", 1), ("E401", 1)]),
        (&format!("{HEAD}operations: {{}}\n"), vec![]),
        (&format!("{HEAD}operations: []\n"), vec![("E402", 4)]),
        (&format!("{HEAD}operatons: {{}}\noperations: {{}}\n"), vec![("E801", 4)]),
        (&format!("{HEAD}operations:\n  a:\n    method: GET\n    path: /a\n    metod: GET\n"), vec![("E801", 8)]),
        (&format!("{HEAD}operations:\n  a: {{method: FETCH, path: a}}\n"), vec![("E403", 5), ("E403", 5)]),
        (&format!("{HEAD}operations:\n  a: {{method: GET, path: '/{{x'}}\n"), vec![("E403", 5)]),
        (&format!("{HEAD}operations:\n  a: {{method: GET, path: '/a?b=1'}}\n"), vec![("E403", 5)]),
        (&format!("{HEAD}default_timeout: 0\noperations: {{}}\n"), vec![("E404", 4)]),
        (&format!("{HEAD}default_timeout: soon\noperations: {{}}\n"), vec![("E402", 4)]),
        (
            &format!("{HEAD}rate_limit:\n  capacity: 0\n  algorithm: bucket\noperations: {{}}\n"),
            vec![("E404", 5), ("E403", 6)],
        ),
        (&format!("{HEAD}retry_policy: {{max_retries: 11}}\noperations: {{}}\n"), vec![("E404", 4)]),
        (&format!("{HEAD}retry_policy: {{retry_on_status: [99]}}\noperations: {{}}\n"), vec![("E402", 4)]),
        (
            &format!(
                "{HEAD}operations:\n  a:\n    method: POST\n    path: /\n    request:\n      body_template: '{{{{ x'\n      body_schema: {{type: 3}}\n"
            ),
            vec![("E602", 9), ("E604", 10)],
        ),
        (
            &format!(
                "{HEAD}operations:\n  a:\n    method: GET\n    path: /{{id}}\n    request: {{path_params_template: {{di: '1'}}}}\n"
            ),
            vec![("E403", 8)],
        ),
        (
            &format!(
                "{HEAD}operations:\n  a:\n    method: GET\n    path: /\n    response: {{json_pointer: items}}\n    pagination: {{type: cursor}}\n"
            ),
            vec![("E403", 8), ("E401", 9)],
        ),
        ("name: x\nbase_url: ftp://x\nauth: {strategy: none}\noperations: {}\n", vec![("E403", 2)]),
        ("name: x\nbase_url: https://u:p@x\nauth: {strategy: none}\noperations: {}\n", vec![("E403", 2)]),
        ("name: ../x\nbase_url: https://x\nauth: {strategy: none}\noperations: {}\n", vec![("E403", 1)]),
        ("name: x\nbase_url: https://x\nauth: {strategy: api_key}\noperations: {}\n", vec![("E403", 3)]),
        (
            "name: x\nbase_url: https://x\nauth: {strategy: oauth2_client_credentials}\noperations: {}\n",
            vec![("E401", 3)],
        ),
        (&format!("{HEAD}schemas_directory: s\noperations: {{}}\n"), vec![("W402", 4)]),
    ] {
        assert_eq!(problems(text), expected, "{text}\n{:?}", read(text).diagnostics);
    }
}

#[test]
fn operations_that_ask_for_code_are_refused_and_the_others_stay() {
    let text = format!(
        "{HEAD}operations:\n  a: {{method: GET, path: /, pre_request_hook: hooks.sign}}\n  b: {{method: GET, path: /}}\n"
    );
    let read = read(&text);
    assert!(!read.is_valid());
    assert_eq!(read.diagnostics.iter().map(|it| it.code).collect::<Vec<_>>(), ["E802"]);
    let manifest = read.manifest.expect("the rest is usable");
    assert_eq!(manifest.operations[0].refused.as_deref(), Some("operations.a.pre_request_hook"));
    assert_eq!(manifest.operations[1].refused, None);
    let text = "name: x\nbase_url: https://x\nauth: {strategy: custom}\noperations: {a: {method: GET, path: /}}\n";
    let manifest = super::read(text).manifest.expect("it is read");
    assert_eq!(manifest.operations[0].refused.as_deref(), Some("auth.strategy"));
}

#[test]
fn what_is_left_out_is_as_the_reference_says() {
    let manifest =
        read(&format!("{HEAD}rate_limit: {{}}\nretry_policy: {{}}\noperations: {{a: {{method: get, path: /}}}}\n"))
            .manifest
            .expect("valid");
    assert_eq!((manifest.version.as_str(), manifest.default_timeout_s), ("1.0.0", 30.0));
    assert_eq!(manifest.retry, Some(RetryPolicy::default()));
    let limit =
        RateLimit { algorithm: Algorithm::TokenBucket, capacity: 50, refill_per_sec: 1.0, window_size_sec: 60.0 };
    assert_eq!(manifest.rate_limit, Some(limit));
    let operation = &manifest.operations[0];
    assert_eq!(
        (operation.method.as_str(), operation.response.success_codes.as_slice()),
        ("GET", &[200, 201, 202, 204][..])
    );
    assert_eq!(operation.response.pointer.text(), "$");
}

#[test]
fn json_is_read_as_well() {
    let text = r#"{"name": "x", "base_url": "https://x.test/", "auth": {"strategy": "none"}, "operations": {}}"#;
    assert_eq!(read(text).manifest.expect("valid").base_url, "https://x.test");
}

#[test]
fn hostile_texts_are_problems_and_nothing_else() {
    let deep = format!("name: {}", "[".repeat(10_000));
    let many = format!(
        "{HEAD}operations:\n{}",
        (0..3_000).map(|it| format!("  o{it}: {{method: GET, path: /}}\n")).collect::<String>()
    );
    let bomb = "a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    for text in
        ["\u{0}", "- a\n- b\n", "name: !!binary x", "? {a: b}\n: c", &deep, &many, bomb, "name: \u{feff}\u{202e}\n"]
    {
        let read = read(text);
        assert!(!read.is_valid() && read.manifest.is_none(), "{}", text.chars().take(40).collect::<String>());
    }
}
