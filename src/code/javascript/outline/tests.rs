use super::*;

fn options(patterns: &[Pattern]) -> OutlineOptions {
    OutlineOptions { patterns: patterns.to_vec(), jsdoc: true, ..OutlineOptions::default() }
}

/// The facts of all items of one pattern.
fn facts(pattern: Pattern, source: &str) -> Value {
    let outline = outline(source, &options(&[pattern])).unwrap_or_else(|it| panic!("{source}: {it:?}"));
    outline.items.into_iter().map(|it| Value::Object(it.facts)).collect()
}

fn check(pattern: Pattern, source: &str, expected: Value) {
    assert_eq!(facts(pattern, source), expected, "{source}");
}

#[test]
fn interfaces_have_their_members_as_written() {
    check(
        Pattern::Interface,
        "/** A node.\n * @see B */\nexport interface A<T = string> extends B<T>, C {\n  /** its id */ readonly id: string;\n  \
         next?: Array<A<T>>;\n  run(n: number, ...rest: string[]): void;\n  [key: string]: unknown;\n}\ninterface D {}",
        json!([
            {
                "name": "A", "typeParameters": ["T = string"], "extends": ["B<T>", "C"],
                "properties": [
                    {"name": "id", "type": "string", "optional": false, "readonly": true, "jsDoc": "its id"},
                    {"name": "next", "type": "Array<A<T>>", "optional": true, "readonly": false},
                ],
                "methods": [{
                    "name": "run",
                    "parameters": [
                        {"name": "n", "type": "number", "optional": false},
                        {"name": "rest", "type": "string[]", "optional": true, "rest": true},
                    ],
                    "returnType": "void", "optional": false,
                }],
                "signatures": ["[key: string]: unknown"],
                "isExported": true, "jsDoc": "A node.", "jsDocTags": [{"tag": "see", "text": "B"}],
            },
            {"name": "D", "extends": [], "properties": [], "methods": [], "isExported": false},
        ]),
    );
}

#[test]
fn types_are_texts() {
    check(
        Pattern::Type,
        "type Id = string | number;\ntype Pair<A, B extends Id> = {\n  a: A,\n  b: B\n};\nexport { Id };",
        json!([
            {"name": "Id", "type": "string | number", "isExported": true},
            {"name": "Pair", "typeParameters": ["A", "B extends Id"], "type": "{\n  a: A,\n  b: B\n}", "isExported": false},
        ]),
    );
}

#[test]
fn enum_members_have_the_values_they_will_have() {
    check(
        Pattern::Enum,
        "export const enum E { A, B = 5, C, D = 'd', F = 1 << 3, G = A + C, H = 1.5, I = f() }\nenum X { Y = E.B }",
        json!([
            {
                "name": "E",
                "members": [
                    {"name": "A", "value": 0}, {"name": "B", "value": 5}, {"name": "C", "value": 6},
                    {"name": "D", "value": "d"}, {"name": "F", "value": 8}, {"name": "G", "value": 6},
                    {"name": "H", "value": 1.5}, {"name": "I", "value": null, "expression": "f()"},
                ],
                "isConst": true, "isExported": true,
            },
            {"name": "X", "members": [{"name": "Y", "value": 5}], "isConst": false, "isExported": false},
        ]),
    );
}

#[test]
fn classes_have_properties_and_methods() {
    check(
        Pattern::Class,
        "abstract class A extends B<C> implements D, E {\n  private static n = 1;\n  #secret?: string;\n  \
         constructor(readonly x: number) { super() }\n  get y(): number { return 1 }\n  \
         protected async go<T>(a = 1): Promise<T> { return f(a) }\n  [key]() {}\n}\nexport default class {}",
        json!([
            {
                "name": "A", "extends": "B<C>", "implements": ["D", "E"], "isAbstract": true,
                "properties": [
                    {"name": "n", "type": null, "optional": false, "readonly": false, "isStatic": true, "accessibility": "private", "defaultValue": "1"},
                    {"name": "#secret", "type": "string", "optional": true, "readonly": false},
                ],
                "methods": [
                    {"name": "constructor", "parameters": [{"name": "x", "type": "number", "optional": false}], "returnType": null, "isAsync": false, "accessor": "constructor"},
                    {"name": "y", "parameters": [], "returnType": "number", "isAsync": false, "accessor": "get"},
                    {"name": "go", "typeParameters": ["T"], "parameters": [{"name": "a", "type": null, "optional": true, "defaultValue": "1"}], "returnType": "Promise<T>", "isAsync": true, "accessibility": "protected"},
                    {"name": "[key]", "parameters": [], "returnType": null, "isAsync": false},
                ],
                "isExported": false,
            },
            {"name": "default", "extends": null, "implements": [], "isAbstract": false, "properties": [], "methods": [], "isExported": true, "isDefault": true},
        ]),
    );
}

#[test]
fn functions_have_parameters_and_return_types() {
    check(
        Pattern::Function,
        "export async function f<T>({a, b}: P, c?: T): Promise<void> {}\nfunction* g() {}\nexport default function h() {}",
        json!([
            {
                "name": "f", "typeParameters": ["T"],
                "parameters": [{"name": "{a, b}", "type": "P", "optional": false}, {"name": "c", "type": "T", "optional": true}],
                "returnType": "Promise<void>", "isAsync": true, "isGenerator": false, "isExported": true,
            },
            {"name": "g", "parameters": [], "returnType": null, "isAsync": false, "isGenerator": true, "isExported": false},
            {"name": "h", "parameters": [], "returnType": null, "isAsync": false, "isGenerator": false, "isExported": true, "isDefault": true},
        ]),
    );
}

#[test]
fn constants_have_the_values_that_are_written() {
    check(
        Pattern::Const,
        "export const A = 1, B: string = 'x';\nconst C = { a: [1, -2.5, true, null], 'b c': `t`, [`k`]: A.b } as const;\n\
         const D = {} satisfies Record<string, number>;\nconst F = (x: number) => x + 1;\nlet g = 1;\nconst {h} = C;\n\
         const S = {...C};",
        json!([
            {"name": "A", "type": "number", "value": 1, "isExported": true},
            {"name": "B", "type": "string", "value": "x", "isExported": true},
            {"name": "C", "type": null, "value": {"a": [1, -2.5, true, null], "b c": "t", "k": "A.b"}, "isExported": false},
            {"name": "D", "type": "Record<string, number>", "value": {}, "isExported": false},
            {"name": "F", "type": null, "value": "(x: number) => x + 1", "isExported": false},
            {"name": "S", "type": null, "value": "{...C}", "isExported": false},
        ]),
    );
}

#[test]
fn exports_name_everything_that_leaves_the_module() {
    check(
        Pattern::Export,
        "export const {a, b: [c]} = x;\nexport type T = 1;\nexport { d as e, type F };\nexport { g } from './g';\n\
         export * from './h';\nexport * as i from './i';\nexport default J;",
        json!([
            {"name": "a", "kind": "const"}, {"name": "c", "kind": "const"}, {"name": "T", "kind": "type"},
            {"name": "e", "kind": "name", "local": "d", "isTypeOnly": false},
            {"name": "F", "kind": "name", "isTypeOnly": true},
            {"name": "g", "kind": "name", "isTypeOnly": false, "from": "./g"},
            {"name": "*", "kind": "namespace", "isTypeOnly": false, "from": "./h"},
            {"name": "i", "kind": "namespace", "isTypeOnly": false, "from": "./i"},
            {"name": "default", "kind": "name", "local": "J"},
        ]),
    );
}

#[test]
fn imports_and_lines_are_told() {
    let source = "\u{feff}import a, { b as c } from 'x';\nimport type * as d from 'y';\n\ninterface E {\n}\n";
    let outline = outline(source, &options(&[Pattern::Interface])).unwrap();
    assert_eq!(
        Value::from(outline.imports),
        json!([
            {"from": "x", "names": ["default", "b"], "isTypeOnly": false},
            {"from": "y", "names": ["*"], "isTypeOnly": true},
        ])
    );
    assert_eq!((outline.items[0].line, outline.items[0].end_line, outline.n_lines), (4, 5, 5));
}

#[test]
fn comments_are_left_out_unless_asked_for() {
    let options = OutlineOptions { patterns: vec![Pattern::Type], ..OutlineOptions::default() };
    let outline = outline("/** doc */ type A = 1", &options).unwrap();
    assert!(!outline.items[0].facts.contains_key("jsDoc"));
}

#[test]
fn a_deep_value_ends_as_text() {
    let source = format!("const a = {}1{}", "[".repeat(40), "]".repeat(40));
    let value = facts(Pattern::Const, &source)[0]["value"].to_string();
    assert!(value.starts_with(&"[".repeat(DEPTH)) && value.contains("\"[[[["), "{value}");
    const DEPTH: usize = 16;
}

#[test]
fn a_syntax_error_has_its_place() {
    for (source, script, expected) in [
        ("interface A {", false, (1, 14)),
        ("let a = 1\nconst b: = 2", false, (2, 10)),
        ("const s = \"open\nconst t = 1", false, (1, 11)),
        ("/* open", false, (1, 1)),
        ("const t = `open", false, (1, 11)),
        ("const ä = 'ö' 'ü'", false, (1, 14)),
        ("export const a = 1", true, (1, 1)),
    ] {
        let options = OutlineOptions { is_script: script, ..options(&Pattern::ALL) };
        match outline(source, &options) {
            Err(Failure::Unparsable { line, column, message }) => {
                assert_eq!((line, column), expected, "{source}: {message}");
            }
            other => panic!("{source}: {other:?}"),
        }
    }
}

#[test]
fn the_suffix_tells_jsx_and_declarations() {
    let with = |path: &str, source: &str| {
        let options = OutlineOptions { path: Some(path.to_owned()), ..options(&Pattern::ALL) };
        outline(source, &options).map(|it| it.items.len())
    };
    assert_eq!(with("a/b.tsx", "const a = <div>{1}</div>"), Ok(1));
    assert!(with("a/b.ts", "const a = <div>{1}</div>").is_err());
    assert_eq!(with("b.d.ts", "declare const a: number;\ndeclare function f(): void;"), Ok(2));
}
