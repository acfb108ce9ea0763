//! The node as a whole, against fake ports: what is sent, what comes out, what is refused.

mod talk;

use std::sync::Arc;

use serde_json::{Value, json};

use self::talk::{EXECUTION, Talk, diagram, person, problems, read};
use crate::diagram::{ContentType, Person, Service};
use crate::nodes::content::convert;
use crate::nodes::context::Note;
use crate::nodes::harness;
use crate::nodes::output::ChatMessage;
use crate::nodes::ports::blobs::BlobRef;
use crate::nodes::ports::models::{Cost, ModelTool, ReplyImage, ToolCall};
use crate::nodes::ports::{ModelReply, Purpose};
use crate::nodes::{Node, NodeContext, Outcome, Output, Question};

fn shown(messages: &[ChatMessage]) -> String {
    messages.iter().map(|it| format!("{}: {}", it.role, it.content)).collect::<Vec<_>>().join(" | ")
}

fn ask(person: &str, prompt: &str, more: Value) -> Value {
    let mut fields = json!({"person": person, "default_prompt": prompt});
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fields
}

fn conversation(output: &Output) -> Value {
    output.forms.as_ref().expect("a person's output has forms").conversation.clone()
}

#[tokio::test]
async fn every_preset_shows_exactly_the_messages_of_memory_two() {
    let persons = vec![
        person("Ann", "Ann", Service::Scripted, Some("You are Ann.")),
        person("Ben", "Ben", Service::Scripted, None),
    ];
    let mut talk =
        Talk::new(persons, &["ann 1", "ben 1", "ann 2", "ben 2", "ann 3", "ben 3", "ann 4", "ben 4", "ben 5"]);
    for (label, who, memory) in [
        ("a1", "Ann", json!({})),
        ("b1", "Ben", json!({})),
        ("a2", "Ann", json!({})),
        ("b2", "Ben", json!({"memorize_to": "all_messages"})),
        ("a3", "Ann", json!({"memorize_to": "SENT_BY_ME"})),
        ("b3", "Ben", json!({"memorize_to": "SENT_TO_ME", "at_most": 1})),
        ("a4", "Ann", json!({"memorize_to": "CONVERSATION_PAIRS", "at_most": 3})),
        ("b4", "Ben", json!({"memorize_to": "GOLDFISH"})),
        ("b5", "Ben", json!({"memorize_to": "ALL_MESSAGES", "ignore_person": "Ann", "at_most": 3})),
    ] {
        talk.run(label, 1, ask(who, &format!("q {label}"), memory), json!({})).await;
    }
    let expected = [
        "system: You are Ann. | user: q a1",
        "user: q b1",
        "system: You are Ann. | user: q a1 | assistant: ann 1 | user: q a2",
        "user: [to Ann]: q a1 | user: [Ann]: ann 1 | user: q b1 | assistant: ben 1 | user: [to Ann]: q a2 | user: [Ann]: ann 2 | user: q b2",
        "system: You are Ann. | assistant: ann 1 | assistant: ann 2 | user: q a3",
        "user: q b2 | user: q b3",
        "system: You are Ann. | user: q a3 | assistant: ann 3 | user: q a4",
        "user: q b4",
        "assistant: ben 3 | user: q b4 | assistant: ben 4 | user: q b5",
    ];
    assert_eq!(talk.sent(), expected);
}

#[tokio::test]
async fn a_handed_over_conversation_is_shown_once_with_names_as_in_conv2() {
    let persons = vec![person("p1", "A", Service::Scripted, None), person("p2", "B", Service::Scripted, None)];
    let mut talk = Talk::new(persons, &["a one", "b one", "a two"]);
    let a = talk.run("a", 1, ask("A", "hello", json!({})), json!({})).await;
    let handed = json!({"default": conversation(&a)});
    let b = talk.run("b", 1, ask("B", "react to {{default}} / {{last_message}}", json!({})), handed).await;
    talk.run("c", 1, ask("A", "fin {{b}}", json!({})), json!({"b": *b.body})).await;
    let expected = [
        "user: hello",
        "user: [to A]: hello | user: [A]: a one | user: react to a one / a one",
        "user: hello | assistant: a one | user: fin b one",
    ];
    assert_eq!(talk.sent(), expected);
}

#[tokio::test]
async fn a_goldfish_forgets_itself_and_hears_others_as_in_self_loop() {
    let persons = vec![person("P", "P", Service::Scripted, None), person("Q", "Q", Service::Scripted, None)];
    let mut talk = Talk::new(persons, &["one", "two", "seen", "all"]);
    let goldfish = json!({"memorize_to": "GOLDFISH"});
    let first = talk.run("p", 1, ask("P", "say", goldfish.clone()), json!({})).await;
    let handed = json!({"default": conversation(&first)});
    let second = talk.run("p", 2, ask("P", "say", goldfish.clone()), handed).await;
    let handed = json!({"default": conversation(&second)});
    talk.run("q", 1, ask("Q", "judge", goldfish), handed.clone()).await;
    talk.run("all", 1, ask("Q", "again", json!({"memorize_to": "ALL_MESSAGES"})), handed).await;
    let expected = [
        "user: say",
        "user: say",
        "user: [to P]: say | user: [P]: two | user: judge",
        "user: [to P]: say | user: [P]: one | user: [to P]: say | user: [P]: two | user: judge | assistant: seen | user: again",
    ];
    assert_eq!(talk.sent(), expected);
}

#[tokio::test]
async fn a_reply_has_its_forms_messages_and_facts() {
    let mut talk = Talk::new(vec![person("p1", "Ann", Service::OpenAi, None)], &["hi"]);
    let output = talk.run("n", 3, ask("Ann", "say", json!({})), json!({})).await;
    assert_eq!(*output.body, json!("hi"));
    let prompt =
        json!({"id": format!("{EXECUTION}:n:3:0"), "from": "system", "to": "p1", "role": "user", "content": "say"});
    let reply =
        json!({"id": format!("{EXECUTION}:n:3:1"), "from": "p1", "to": "system", "role": "assistant", "content": "hi"});
    let expected = json!({"messages": [prompt, reply], "last_message": "hi", "person_id": "p1", "model": "fake-1"});
    assert_eq!(conversation(&output), expected);
    let stored: Vec<_> = talk.messages.iter().map(|it| it.id.clone()).collect();
    assert_eq!(stored, [format!("{EXECUTION}:n:3:0"), format!("{EXECUTION}:n:3:1")]);
    let expected = json!({
        "person_id": "p1",
        "model": "fake-1",
        "llm_usage": {"input": 10, "output": 2, "cached": 1, "total": 12},
        "memory": {"preset": "ALL_INVOLVED", "shown": 0, "total": 0},
        "finish_reason": "stop",
    });
    assert_eq!(Value::Object(output.meta), expected);
}

#[tokio::test]
async fn the_model_chooses_memory_only_when_there_is_something_to_choose() {
    let persons = vec![person("Ann", "Ann", Service::Scripted, None), person("Ben", "Ben", Service::Scripted, None)];
    let mut talk = Talk::new(persons, &["ann 1", "[2]", "ben 1"]);
    talk.run("a0", 1, ask("Ann", "q a0", json!({"memorize_to": "names of people"})), json!({})).await;
    let fields = ask("Ben", "q b1", json!({"memorize_to": "what Ann said first"}));
    let output = talk.run("b1", 1, fields, json!({})).await;
    assert_eq!(talk.sent()[2], "user: [Ann]: ann 1 | user: q b1");
    let chosen = json!([format!("{EXECUTION}:a0:1:1")]);
    let expected = json!({"preset": "what Ann said first", "shown": 1, "total": 2, "selected_ids": chosen});
    assert_eq!(output.meta["memory"], expected);
    assert_eq!(output.meta["llm_usage"]["total"], json!(24), "choosing costs too");
    let requests = talk.models.requests.lock().unwrap();
    assert_eq!(requests[1].purpose, Purpose::Selection { n_candidates: 2 });
    assert_eq!((requests[1].temperature, requests[1].nth), (Some(0.0), 0));
    for part in ["Ben", "- exec_", "(Ann): ann 1", "q b1", "what Ann said first"] {
        assert!(requests[1].messages[0].content.contains(part), "{part}");
    }
}

#[tokio::test]
async fn the_prompt_of_a_run_is_the_first_the_default_or_the_input() {
    let both = json!({"person": "P", "first_only_prompt": "F", "default_prompt": "D"});
    let first = json!({"person": "P", "first_only_prompt": "F", "default_prompt": ""});
    let default = json!({"person": "P", "default_prompt": "D"});
    let file = json!({"person": "P", "default_prompt": "D", "prompt_file": "hello.txt"});
    let legacy = json!({"person": "P", "resolved_prompt": "L"});
    let none = json!({"person": "P"});
    let given = json!({"prompt": "I {{x}}"});
    for (fields, iteration, inputs, expected) in [
        (&both, 1, json!({}), "F"),
        (&both, 2, json!({}), "D"),
        (&first, 1, json!({}), "F"),
        (&first, 2, json!({}), "F"),
        (&first, 2, given.clone(), "I {{x}}"),
        (&default, 1, given.clone(), "D"),
        (&file, 1, json!({}), "hello from a file"),
        (&legacy, 1, json!({}), "L"),
        (&none, 1, given, "I {{x}}"),
    ] {
        let mut talk = Talk::new(vec![person("P", "P", Service::Scripted, None)], &["ok"]);
        let mut fields = fields.clone();
        fields["memorize_to"] = json!("GOLDFISH");
        talk.run("n", iteration, fields.clone(), inputs).await;
        assert_eq!(talk.sent(), [format!("user: {expected}")], "{fields} {iteration}");
    }
}

#[tokio::test]
async fn prompts_know_conversations_and_the_whole_history() {
    let mut talk = Talk::new(vec![person("p1", "Ann", Service::Scripted, None)], &["r1", "r2"]);
    let first = talk.run("a", 1, ask("Ann", "q1", json!({})), json!({})).await;
    let prompt = "{{c_last_message}} {{c_messages[0].content}} {{global_message_count}} {{#each global_conversation}}{{from}}>{{to}} {{content}};{{/each}}";
    let fields = ask("Ann", prompt, json!({"memorize_to": "GOLDFISH"}));
    talk.run("b", 1, fields, json!({"c": conversation(&first)})).await;
    assert_eq!(talk.sent()[1], "user: r1 q1 2 system>Ann q1;Ann>system r1;");
}

#[tokio::test]
async fn a_blank_or_missing_prompt_fails_without_a_call() {
    for (prompt, inputs) in [("{{x}}", json!({"x": " "})), ("{{! nothing }}", json!({}))] {
        let mut talk = Talk::new(vec![person("P", "P", Service::Scripted, None)], &[]);
        let error = talk.try_run("n", 1, ask("P", prompt, json!({})), inputs).await.unwrap_err();
        assert_eq!(error.code(), "TEMPLATE_FAILED", "{prompt}");
    }
}

#[tokio::test]
async fn a_structured_reply_is_parsed_and_checked() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]});
    for format in [
        json!({"text_format": schema}),
        json!({"text_format": schema.to_string()}),
        json!({"text_format": "ignored", "text_format_file": "schema.json"}),
        json!({"text_format_file": "late.json"}),
    ] {
        let mut talk = Talk::new(vec![person("P", "P", Service::Scripted, None)], &["```json\n{\"a\": 7}\n```", "{}"]);
        let output = talk.run("n", 1, ask("P", "x", format.clone()), json!({})).await;
        let forms = output.forms.expect("forms");
        assert_eq!((&*output.body, &forms.object), (&json!({"a": 7}), &Some(json!({"a": 7}))), "{format}");
        assert_eq!(forms.text, "```json\n{\"a\": 7}\n```");
        let error = talk.try_run("n", 2, ask("P", "x", format), json!({})).await.unwrap_err();
        assert_eq!((error.code(), error.is_retryable()), ("REPLY_INVALID", true));
        assert!(error.message().contains("\"a\" is a required property"), "{error}");
        assert!(talk.models.requests.lock().unwrap().iter().all(|it| it.schema.is_some()));
    }
}

#[tokio::test]
async fn fields_of_the_node_win_over_those_of_the_person() {
    let mut talk = Talk::new(vec![person("P", "P", Service::Scripted, None)], &["1", "2"]);
    talk.run("n", 1, ask("P", "x", json!({})), json!({})).await;
    talk.run("n", 2, ask("P", "x", json!({"temperature": 0, "max_tokens": 9})), json!({})).await;
    let requests = talk.models.requests.lock().unwrap();
    let asked: Vec<_> = requests.iter().map(|it| (it.temperature, it.max_tokens, it.nth)).collect();
    assert_eq!(asked, [(Some(0.5), None, 0), (Some(0.0), Some(9), 1)]);
}

async fn waiting(talk: &Talk, label: &str, node: &dyn Node) -> Question {
    match node.run(&talk.context(label, 1, json!({}))).await.expect("the node asks") {
        Outcome::Wait(question) => *question,
        Outcome::Done(output) => panic!("nobody was asked: {output:?}"),
    }
}

#[tokio::test]
async fn the_caller_is_asked_durably_and_the_answer_goes_on_as_the_reply() {
    let mut talk = Talk::new(vec![person("g", "Guest", Service::Caller, Some("One word."))], &[]);
    let fields = ask("Guest", "Best tea?", json!({}));
    let node = talk.node(&fields, &json!({}));
    for (label, answer, shown_before) in
        [("p", "green", "user: Best tea?"), ("p2", "black", "user: Best tea? | assistant: green | user: Best tea?")]
    {
        let asked = waiting(&talk, label, &*node).await;
        let stored = serde_json::to_string(&asked).expect("a question is JSON");
        let question: Question = serde_json::from_str(&stored).expect("and reads back");
        assert_eq!(shown(&question.messages), format!("system: One word. | {shown_before}"));
        assert_eq!((question.prompt.as_str(), question.person.as_deref()), ("Best tea?", Some("Guest")));
        let answer = node.check_answer(&question, json!(answer)).expect("a text fits");
        let outcome = node.resume(&talk.context(label, 1, json!({})), &question, answer.clone()).await;
        let Ok(Outcome::Done(output)) = outcome else { panic!("it goes on: {outcome:?}") };
        assert_eq!(*output.body, answer);
        assert_eq!(output.meta["model"], json!("caller"));
        assert!(!output.meta.contains_key("llm_usage"));
        talk.stored(label, 1, output);
    }
}

#[tokio::test]
async fn answers_that_do_not_fit_are_refused() {
    let talk = Talk::new(vec![person("g", "Guest", Service::Caller, None)], &[]);
    let node = talk.node(&ask("Guest", "x", json!({})), &json!({}));
    let text = waiting(&talk, "n", &*node).await;
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]});
    let node = talk.node(&ask("Guest", "x", json!({"text_format": schema})), &json!({}));
    let object = waiting(&talk, "n", &*node).await;
    assert_eq!(object.schema, Some(schema));
    for (question, answer, expected) in [
        (&text, json!("ok"), Ok(json!("ok"))),
        (&text, json!(42), Ok(json!("42"))),
        (&text, json!(" "), Err("the answer is blank")),
        (&text, json!({"a": 1}), Err("the answer is an object, and a text is asked for")),
        (&object, json!({"a": 1}), Ok(json!({"a": 1}))),
        (&object, json!("{\"a\": 1}"), Ok(json!({"a": 1}))),
        (&object, json!("nothing"), Err("the answer does not fit the schema: it is not JSON")),
        (&object, json!({}), Err("the answer does not fit the schema: \"a\" is a required property")),
    ] {
        let found = node.check_answer(question, answer.clone());
        if let Err(error) = &found {
            assert_eq!(error.code(), "INVALID_ANSWER");
        }
        assert_eq!(found.map_err(|it| it.to_string()), expected.map_err(str::to_owned), "{answer}");
    }
}

#[tokio::test]
async fn a_caller_is_not_asked_to_choose_memory() {
    let mut talk = Talk::new(vec![person("P", "P", Service::Scripted, None)], &["r"]);
    talk.run("a", 1, ask("P", "q", json!({})), json!({})).await;
    talk.models_override = Some(Service::Caller);
    let node = talk.node(&ask("P", "next", json!({"memorize_to": "what matters"})), &json!({}));
    let question = waiting(&talk, "n", &*node).await;
    assert_eq!(shown(&question.messages), "user: q | assistant: r | user: next");
    let notes = talk.notes.take();
    assert!(matches!(&notes[..], [Note::Log { level: "warning", message }] if message.contains("what matters")));
}

#[test]
fn every_field_problem_has_its_code() {
    let good = json!({"person": "Ann", "default_prompt": "hi"});
    let with = |more: Value| {
        let mut fields = good.clone();
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fields
    };
    for (fields, expected) in [
        (good.clone(), ""),
        (json!({"default_prompt": "hi"}), "E502 person"),
        (with(json!({"person": "Anne"})), "E501 person"),
        (json!({"person": "Ann"}), "E503 default_prompt"),
        (json!({"person": "Ann", "default_prompt": " ", "first_only_prompt": ""}), "E503 default_prompt"),
        (json!({"person": "Ann", "prompt_file": "nowhere.txt"}), "E504 prompt_file"),
        (with(json!({"defualt_prompt": "hi"})), "W401 defualt_prompt"),
        (with(json!({"max_iteration": 0})), "E404 max_iteration"),
        (with(json!({"max_iteration": "many"})), "E402 max_iteration"),
        (with(json!({"max_iteration": "3"})), "W104 max_iteration"),
        (
            with(json!({"at_most": 0, "temperature": 3, "max_tokens": 0})),
            "E404 at_most, E404 max_tokens, E404 temperature",
        ),
        (with(json!({"memorize_to": "ALL_INVOLVD"})), "E403 memorize_to"),
        (with(json!({"memorize_to": "remember all", "ignore_person": "Ann, user"})), ""),
        (with(json!({"ignore_person": ["Anne"]})), "E501 ignore_person"),
        (with(json!({"text_format": "class R(BaseModel):\n    a: int\n"})), "E605 text_format"),
        (with(json!({"text_format": "x = 1"})), "E605 text_format"),
        (with(json!({"text_format": {"type": "objekt"}})), "E604 text_format"),
        (with(json!({"text_format": "[1]"})), "E604 text_format"),
        (with(json!({"text_format": "", "text_format_file": "late.json"})), "W502 text_format_file"),
        (with(json!({"tools": "none"})), ""),
        (with(json!({"tools": ["none", {"type": "image", "enabled": false}]})), ""),
        (with(json!({"tools": ["websearch", {"type": "image"}]})), ""),
        (with(json!({"tools": ["files:read", "files"]})), "E406 tools, E406 tools"),
        (with(json!({"tools": true})), "E402 tools"),
        (with(json!({"batch": true, "batch_input_key": "items", "on_item_error": "stop"})), "E403 on_item_error"),
        (with(json!({"batch": false, "max_concurrent": 10})), ""),
    ] {
        assert_eq!(problems(fields.clone(), &[]), expected, "{fields}");
    }
    assert_eq!(problems(json!({"person": "Ann"}), &["prompt"]), "", "an input labelled prompt is a prompt");
}

#[test]
fn traits_say_how_often_it_runs_and_whether_a_first_prompt_serves_all() {
    for (fields, expected) in [
        (json!({"person": "Ann", "default_prompt": "d"}), (Some(100), false)),
        (json!({"person": "Ann", "first_only_prompt": "f", "max_iteration": 2}), (Some(2), true)),
        (json!({"person": "Ann", "first_only_prompt": "f", "default_prompt": "d"}), (Some(100), false)),
    ] {
        let persons = [Arc::new(person("Ann", "Ann", Service::Scripted, None))];
        let (node, _) = read(&diagram(&persons, &fields, &[], None));
        let traits = node.traits();
        assert_eq!((traits.max_iteration, traits.only_first_prompt), expected, "{fields}");
    }
}

fn image(bytes: &str) -> ReplyImage {
    ReplyImage { media_type: "image/png".to_owned(), bytes: bytes.as_bytes().to_vec() }
}

/// The value, its text form and what others remember, of a reply with these images.
async fn with_images(text: &str, images: &[&str], asked: Option<ContentType>) -> (Value, Value, String) {
    let mut talk = Talk::new(vec![person("Ann", "Ann", Service::OpenAi, None)], &[text]);
    talk.models.with.lock().unwrap().images = images.iter().map(|it| image(it)).collect();
    let (node, _) = read(&diagram(&talk.persons, &ask("Ann", "draw", json!({"tools": "image"})), &[], asked));
    let Outcome::Done(output) = node.run(&talk.context("n", 1, json!({}))).await.expect("it runs") else {
        panic!("nobody is asked")
    };
    let forms = output.forms.as_deref();
    let as_text = convert(&output.body, forms, Some(ContentType::RawText)).expect("it converts").expect("a value");
    let body = Value::clone(&output.body);
    talk.stored("n", 1, output);
    (body, Value::clone(&as_text), talk.messages[1].content.clone())
}

#[tokio::test]
async fn a_reply_that_is_one_image_is_its_reference_and_more_is_a_map() {
    let cat = BlobRef::parse(&json!({
        "blob": "77af778b51abd4a3c51c5ddd97204a9c3ae614ebccb75a606c3b6865aed6744e", "media_type": "image/png", "size": 3,
    }))
    .expect("a reference")
    .to_json();
    let (body, text, said) = with_images("", &["cat"], None).await;
    assert_eq!((&body, &text, said.as_str()), (&cat, &cat, "[image]"));
    let (body, text, said) = with_images("Here:", &["cat"], None).await;
    assert_eq!((&body, &text, said.as_str()), (&json!({"text": "Here:", "images": [cat]}), &json!("Here:"), "Here:"));
    let (body, ..) = with_images("", &["cat", "cat"], None).await;
    assert_eq!(body, json!({"text": "", "images": [cat, cat]}));
    let (body, ..) = with_images("", &["cat"], Some(ContentType::ConversationState)).await;
    assert_eq!(body, cat);
}

#[tokio::test]
async fn images_among_the_inputs_go_along_with_the_prompt_each_once() {
    let mut talk = Talk::new(vec![person("Ann", "Ann", Service::OpenAi, None)], &["a cat"]);
    let inputs = |reference: &Value| json!({"a": reference, "b": {"text": "t", "images": [reference]}, "c": 7});
    let unknown = json!({"blob": "0".repeat(64), "media_type": "image/png", "size": 3});
    let error = talk.try_run("n", 1, ask("Ann", "what is it?", json!({})), inputs(&unknown)).await;
    assert_eq!(error.expect_err("bytes nobody keeps").code(), "FILE_NOT_FOUND");
    let node = talk.node(&ask("Ann", "what is it?", json!({})), &inputs(&unknown));
    let cx = talk.context("n", 1, json!({}));
    let cat = cx.ports.blobs.put(b"cat".to_vec(), "image/png".to_owned()).await.expect("kept");
    let pdf = cx.ports.blobs.put(b"pdf".to_vec(), "application/pdf".to_owned()).await.expect("kept");
    let mut given = inputs(&cat.to_json());
    given["d"] = pdf.to_json();
    let cx = NodeContext { ports: Arc::clone(&cx.ports), ..talk.context("n", 1, given) };
    assert!(matches!(node.run(&cx).await, Ok(Outcome::Done(_))));
    let requests = talk.models.requests.lock().unwrap();
    let request = requests.last().expect("a call");
    assert_eq!(request.messages.last().expect("a prompt").images, std::slice::from_ref(&cat));
    assert_eq!(request.images.get(&cat.blob).map(|it| it.to_vec()), Some(b"cat".to_vec()));
    let noted = format!("{:?}", talk.notes.take());
    assert!(noted.contains("`application/pdf` is no image"), "{noted}");
}

#[tokio::test]
async fn tools_are_the_nodes_own_else_the_persons_and_what_they_did_is_in_the_meta() {
    let search = ToolCall {
        call_id: "s1".to_owned(),
        tool: "websearch".to_owned(),
        arguments: json!({"query": "tea"}),
        output: Value::Null,
        is_error: false,
    };
    for (fields, expected) in [
        (json!({}), vec![ModelTool::Image]),
        (json!({"tools": ["web_search", "websearch"]}), vec![ModelTool::WebSearch]),
        (json!({"tools": "none"}), vec![]),
    ] {
        let tools = Some(harness::tree(json!(["image", "none"])));
        let ann = Person { tools, ..person("Ann", "Ann", Service::OpenAi, None) };
        let mut talk = Talk::new(vec![ann], &["ok"]);
        let reply = ModelReply { cost: Cost::Unpriced, tool_calls: vec![search.clone()], ..ModelReply::default() };
        *talk.models.with.lock().unwrap() = reply;
        let output = talk.run("n", 1, ask("Ann", "say", fields), json!({})).await;
        assert_eq!(talk.models.requests.lock().unwrap()[0].tools, expected);
        let called = json!([{"call_id": "s1", "tool": "websearch", "arguments": {"query": "tea"}, "is_error": false}]);
        assert_eq!(output.meta["tool_calls"], called);
        assert_eq!(output.meta["cost"], json!({"priced": false, "unpriced_calls": 1}));
    }
}

#[tokio::test]
async fn a_reply_that_does_not_fit_says_what_it_cost() {
    let mut talk = Talk::new(vec![person("Ann", "Ann", Service::OpenAi, None)], &["no JSON"]);
    talk.models.with.lock().unwrap().cost = Cost::Usd(0.5);
    let fields = ask("Ann", "say", json!({"text_format": {"type": "object"}}));
    let error = talk.try_run("n", 1, fields, json!({})).await.expect_err("the reply does not fit");
    let details = error.details_value().expect("details");
    assert_eq!((error.code(), &details["reply"]), ("REPLY_INVALID", &json!("no JSON")));
    assert_eq!(details["cost"], json!({"usd": 0.5, "priced": true}));
    assert_eq!((&details["person_id"], &details["llm_usage"]["total"]), (&json!("Ann"), &json!(12)));
}
