//! Dotted keys into JSON values: `user.name`, `rows.0.id`.

use serde_json::{Map, Value};

/// Deepest dotted key that is set: each part may make a new mapping.
const DEPTH_MAX: usize = 64;

/// Returns the value at `key`. A key that is there as it is written, dots and all, wins.
pub fn get<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    if let Some(found) = value.get(key) {
        return Some(found);
    }
    key.split('.').try_fold(value, |at, part| match at {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        other => other.get(part),
    })
}

/// Sets the value at `key`, making mappings on the way.
///
/// # Errors
///
/// The part of the key that leads into something that is neither a mapping nor a list.
pub fn set(value: &mut Value, key: &str, new: Value) -> Result<(), String> {
    if key.split('.').count() > DEPTH_MAX {
        return Err(key.chars().take(60).collect());
    }
    let mut at = value;
    for part in key.split('.') {
        if at.is_null() {
            *at = Value::Object(Map::new());
        }
        at = match at {
            Value::Object(map) => map.entry(part).or_insert(Value::Null),
            Value::Array(items) => {
                let index = part.parse::<usize>().ok();
                index.and_then(|it| items.get_mut(it)).ok_or_else(|| part.to_owned())?
            }
            _ => return Err(part.to_owned()),
        };
    }
    *at = new;
    Ok(())
}

/// Returns the last part of `key`.
pub fn last(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_lead_through_mappings_and_lists() {
        let value = json!({"user": {"name": "Ann"}, "rows": [{"id": 7}], "a.b": 1});
        for (key, expected) in [
            ("user.name", Some(json!("Ann"))),
            ("rows.0.id", Some(json!(7))),
            ("a.b", Some(json!(1))),
            ("user.zip", None),
            ("rows.x", None),
        ] {
            assert_eq!(get(&value, key), expected.as_ref(), "{key}");
        }
    }

    #[test]
    fn setting_makes_mappings_and_refuses_to_lead_into_a_text() {
        let mut value = json!({"rows": [1], "t": "text"});
        for (key, refused) in [("a.b.c", None), ("rows.0", None), ("rows.1", Some("1")), ("t.x", Some("x"))] {
            assert_eq!(set(&mut value, key, json!("new")).err().as_deref(), refused, "{key}");
        }
        assert_eq!(value, json!({"rows": ["new"], "t": "text", "a": {"b": {"c": "new"}}}));
    }
}
