//! Checks and completes a run's input against what the diagram declares; all problems at once.

use serde_json::{Map, Value};

use crate::diagram::InputDeclaration;
use crate::error::Error;
use crate::nearest::nearest;

/// Returns `given` with defaults filled in. A diagram that declares nothing takes everything.
///
/// # Errors
///
/// `INVALID_INPUT` with every problem in the message and in `details.problems`.
pub fn check(declared: &[InputDeclaration], given: Map<String, Value>) -> Result<Map<String, Value>, Error> {
    if declared.is_empty() {
        return Ok(given);
    }
    let mut problems: Vec<String> = given
        .keys()
        .filter(|name| !declared.iter().any(|it| it.name == **name))
        .map(|name| match nearest(name, declared.iter().map(|it| it.name.as_str())) {
            Some(near) => format!("there is no input `{name}`, did you mean `{near}`?"),
            None => format!("there is no input `{name}`"),
        })
        .collect();
    let mut complete = Map::new();
    for input in declared {
        match given.get(&input.name).or(input.default.as_ref()) {
            Some(value) => {
                problems.extend(problem(input, value));
                complete.insert(input.name.clone(), value.clone());
            }
            None if input.required => problems.push(format!("the input `{}` is required", input.name)),
            None => {}
        }
    }
    if problems.is_empty() {
        return Ok(complete);
    }
    let names: Vec<&str> = declared.iter().map(|it| it.name.as_str()).collect();
    Err(Error::invalid("INVALID_INPUT", problems.join("; "))
        .hint(format!("the diagram's inputs are: {}", names.join(", ")))
        .details(serde_json::json!({ "problems": problems })))
}

fn problem(input: &InputDeclaration, value: &Value) -> Option<String> {
    if let Some(choices) = &input.choices
        && !choices.contains(value)
    {
        let choices: Vec<String> = choices.iter().map(Value::to_string).collect();
        return Some(format!("the input `{}` must be one of {}", input.name, choices.join(", ")));
    }
    let wanted = input.value_type.as_deref()?;
    let fits = match wanted {
        "string" | "text" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|it| it.fract() == 0.0),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" | "list" => value.is_array(),
        _ => true,
    };
    (!fits).then(|| format!("the input `{}` must be of type {wanted}", input.name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn declared() -> Vec<InputDeclaration> {
        let input = |name: &str, value_type: &str, default: Option<Value>, required| InputDeclaration {
            name: name.into(),
            value_type: Some(value_type.into()),
            description: None,
            default,
            required,
            choices: None,
            secret: false,
            span: Default::default(),
        };
        vec![input("topic", "string", None, true), input("rounds", "integer", Some(json!(2)), false)]
    }

    #[test]
    fn defaults_are_filled_in_and_all_problems_are_named_at_once() {
        let Value::Object(good) = json!({"topic": "tea"}) else { unreachable!() };
        assert_eq!(Value::Object(check(&declared(), good).expect("complete")), json!({"topic": "tea", "rounds": 2}));
        let Value::Object(bad) = json!({"tpoic": "tea", "rounds": "x"}) else { unreachable!() };
        let error = check(&declared(), bad).expect_err("three problems");
        assert_eq!(
            error.message(),
            "there is no input `tpoic`, did you mean `topic`?; the input `topic` is required; the input `rounds` must be of type integer"
        );
    }
}
