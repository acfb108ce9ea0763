//! What runs cost, as their results show it. A scripted person with a price stands in for a billed model.

use serde_json::{Value, json};

use crate::harness::workspace;

const DIAGRAM: &str = "version: light
persons:
  Ann: {service: scripted, model: dear, replies: [one two, 'not JSON', '{\"a\": 1}']}
  Ben: {service: scripted, model: cheap, replies: [three]}
nodes:
- {label: start, type: start}
- {label: first, type: person_job, person: Ann, default_prompt: four words are sent, max_iteration: 1}
- {label: second, type: person_job, person: Ben, default_prompt: two words, max_iteration: 1}
- label: third
  type: person_job
  person: Ann
  memorize_to: GOLDFISH
  default_prompt: two words
  text_format: {type: object}
  retry: {max_attempts: 2, delay_ms: 1}
  max_iteration: 1
- {label: end, type: endpoint}
connections:
- {from: start, to: first}
- {from: first, to: second, content_type: empty}
- {from: second, to: third, content_type: empty}
- {from: third, to: end}
";

#[test]
fn prices_of_the_settings_make_up_the_bill_of_a_run_by_person() {
    let workspace = workspace();
    workspace.write("bill.light.yaml", DIAGRAM);
    workspace.write("dipeo.toml", "[prices.\"scripted/dear\"]\ninput = 1000000.0\noutput = 10000000.0\n");
    let run = |arguments: &[&str]| -> Value {
        let output = workspace.command().args(arguments).output().expect("the program runs");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    };
    let object = run(&["run", "bill.light.yaml", "--json"]);
    // Four words in and two out; two and two for the reply that does not fit; two and two for the one that does.
    assert_eq!(object["llm_usage"]["cost_usd"], json!(68.0), "{object:#}");
    assert_eq!(object["llm_usage"].get("unpriced_calls"), None);
    let id = object["execution_id"].as_str().expect("an id");
    let verbose = run(&["results", id, "--verbose", "--json"]);
    let by_person = &verbose["llm_usage"]["by_person"];
    assert_eq!(by_person["Ann"], json!({"input_tokens": 8, "output_tokens": 6, "total_tokens": 14, "cost_usd": 68.0}));
    assert_eq!(by_person["Ben"], json!({"input_tokens": 2, "output_tokens": 1, "total_tokens": 3}));
}
