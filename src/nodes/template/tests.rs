use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::*;
use crate::nodes::lookup::Inputs;

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().expect("a map")
}

fn names(inputs: &[(&str, Value)], variables: Value) -> Names {
    let mut all = Inputs::default();
    for (key, value) in inputs {
        all.insert(*key, Arc::new(value.clone()));
    }
    Names { inputs: all, variables: Arc::new(map(variables)), ..Names::default() }
}

fn rendered(text: &str, names: &Names) -> Rendered {
    let template = Template::parse(text).unwrap_or_else(|problem| panic!("{text}: {}", problem.message));
    template.render(names, &Map::new()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn sample() -> Names {
    let default = json!({
        "name": "Ann", "n": 42, "price": 1.5, "yes": true, "none": null, "blank": "", "zero": 0,
        "word": "False", "xs": ["a", "b", "c"], "rows": [{"id": 1, "tag": "red"}, {"id": 2, "tag": "blue"}],
        "m": {"k1": "v1", "k2": "v2"}, "deep": {"list": [{"name": "first"}, {"name": "second"}]},
        "pick": 1, "key": "k2", "sneaky": "{{name}}", "text": "{\"inner\": {\"v\": 9}}",
    });
    names(&[("default", default)], json!({}))
}

#[test]
fn values_blocks_and_loops_render_as_the_reference_says() {
    let names = sample();
    for (text, expected) in [
        ("{{name}}|{{ name }}|{{n}}|{{price}}|{{yes}}|{{none}}|{{blank}}|{{zero}}", "Ann|Ann|42|1.5|true|||0"),
        ("{{xs[0]}} {{xs[-1]}} {{xs[:2]}}", "a c [\n  \"a\",\n  \"b\"\n]"),
        ("{{deep.list[1].name}} {{xs[pick]}} {{m[key]}} {{m[\"k1\"]}}", "second b v2 v1"),
        ("{{#if name}}A{{else}}B{{/if}}{{#if blank}}C{{else}}D{{/if}}{{#if zero}}E{{else}}F{{/if}}", "ADF"),
        ("{{#if word}}G{{else}}H{{/if}}{{#if nope}}I{{else}}J{{/if}}{{ # if name }}K{{ / if }}", "HJK"),
        ("{{#unless none}}K{{/unless}}{{#unless name}}L{{else}}M{{/unless}}", "KM"),
        ("{{#each xs}}{{@index}}{{#if @first}}<{{/if}}{{this}}{{#if @last}}>{{else}},{{/if}}{{/each}}", "0<a,1b,2c>"),
        ("{{#each rows}}{{this.id}}:{{tag}};{{/each}}", "1:red;2:blue;"),
        ("{{#each m}}{{@key}}={{this}} {{/each}}{{#each blank}}x{{else}}nothing{{/each}}", "k1=v1 k2=v2 nothing"),
        ("{{#each rows}}{{#each xs}}{{this}}{{@index}}{{/each}}{{tag}} {{/each}}", "a0b1c2red a0b1c2blue "),
        ("{{sneaky}} \\{{name}} {{! a note }}{{!-- {{x}} --}}{{text.inner.v}}", "{{name}} {{name}} 9"),
        ("a\n{{#if name}}\nb\n{{/if}}\nc } }} { {name}", "a\n\nb\n\nc } }} { {name}"),
        ("{{inputs.default.n}} {{text[:8]}} {{name[0]}}", "42 {\"inner\" A"),
    ] {
        assert_eq!(rendered(text, &names), Rendered { text: expected.into(), unresolved: vec![] }, "{text}");
    }
}

#[test]
fn what_does_not_resolve_stays_as_written_and_is_told_once() {
    let names = sample();
    let done = rendered(
        "{{ missing }} {{deep.lisst.x}} {{xs[9]}} {{nmae}} {{missing}} {{#each n}}x{{else}}-{{/each}}",
        &names,
    );
    assert_eq!(done.text, "{{ missing }} {{deep.lisst.x}} {{xs[9]}} {{nmae}} {{missing}} -");
    let told: Vec<_> = done.unresolved.iter().map(|it| (it.path.as_str(), it.near.as_deref())).collect();
    assert_eq!(
        told,
        [("missing", None), ("deep.lisst.x", Some("deep.list")), ("xs[9]", None), ("nmae", Some("name")), ("n", None)]
    );
}

#[test]
fn conversations_offer_their_messages_below_all_other_names() {
    let chat = json!({"messages": [{"content": "one"}, {"content": "two"}]});
    let names = names(&[("c", chat)], json!({}));
    assert_eq!(rendered("{{c}} {{c_last_message}} {{c_messages[0].content}}", &names).text, "two two one");
    let template = Template::parse("{{#each global_conversation}}{{this.from}}{{/each}}{{c}}").expect("it parses");
    let extra = map(json!({"global_conversation": [{"from": "P"}], "c": "hidden"}));
    assert_eq!(template.render(&names, &extra).expect("it renders").text, "Ptwo");
}

#[test]
fn json_texts_are_looked_into_wherever_a_field_is_needed() {
    let names = names(&[("default", json!("{\"rows\": [\"{\\\"a\\\": 1}\"]}")), ("t", json!("[1, 2]"))], json!({}));
    assert_eq!(
        rendered("{{rows[0].a}}{{#each rows}}{{a}}{{/each}}{{#each t}}<{{this}}>{{/each}}", &names).text,
        "11<1><2>"
    );
    assert_eq!(rendered("{{t}} {{default[:7]}}", &names).text, "[1, 2] {\"rows\"");
}

#[test]
fn a_path_template_takes_single_braces_and_leaves_other_ones_alone() {
    let names = names(&[("default", json!({"who": "ann"}))], json!({}));
    let template = Template::parse_path("files/{who}/{{who}}.{a,b}/{nope}").expect("it parses");
    let done = template.render(&names, &Map::new()).expect("it renders");
    assert_eq!(done.text, "files/ann/ann.{a,b}/{nope}");
    assert_eq!(done.unresolved.len(), 1);
}

#[test]
fn hostile_templates_fail_and_neither_hang_nor_fill_the_memory() {
    let long: Vec<u32> = (0..2_000).collect();
    let names = names(&[("xs", json!(long)), ("big", json!("x".repeat(100_000)))], json!({}));
    for text in [
        format!("{}{}", "{{#each xs}}".repeat(30), "{{/each}}".repeat(30)),
        "{{#each xs}}{{big}}{{/each}}".to_owned(),
        "{{#each xs}}{{#each xs}}{{#if xs[1:]}}{{/if}}{{/each}}{{/each}}".to_owned(),
    ] {
        let template = Template::parse(&text).expect("it parses");
        let error = template.render(&names, &Map::new()).expect_err("it must stop");
        assert_eq!(error.code(), "TEMPLATE_FAILED");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_or_renderer_panic(text in "([{}#/\\[\\]. :a1@\\\\\"]|\\{\\{|\\}\\}|#if |#each xs|/if|/each|else){0,40}") {
        if let Ok(template) = Template::parse(&text) {
            template.render(&sample(), &Map::new()).expect("small templates render");
        }
        let _ = Template::parse_path(&text);
    }
}
