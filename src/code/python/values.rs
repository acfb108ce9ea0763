//! JSON to values of the interpreter and back.

use std::cmp::Ordering;
use std::fmt::Write;

use monty_types::{DictPairs, MontyObject, MontyTime};
use serde_json::{Map, Number, Value};

use crate::code::failure::Failure;
use crate::limits;

/// Deepest nesting of a value: the JSON reader on the other side of a pipe stops at 128.
const DEPTH_MAX: usize = 100;
/// What an element costs beside its text when the size of a value is added up, in bytes.
const ELEMENT_BYTES: usize = 2;

/// Makes a value of the interpreter.
///
/// # Errors
///
/// `Raised` when `value` is nested deeper than a value may be.
pub(in crate::code) fn from_json(value: &Value) -> Result<MontyObject, Failure> {
    from_json_at(value, 0)
}

/// Makes a dict of the interpreter.
///
/// # Errors
///
/// As [`from_json`].
pub(in crate::code) fn from_map(map: &Map<String, Value>) -> Result<MontyObject, Failure> {
    map_at(map, 0)
}

fn from_json_at(value: &Value, depth: usize) -> Result<MontyObject, Failure> {
    if depth > DEPTH_MAX {
        return Err(too_deep());
    }
    Ok(match value {
        Value::Null => MontyObject::None,
        Value::Bool(it) => MontyObject::Bool(*it),
        Value::Number(number) => from_number(number),
        Value::String(text) => MontyObject::String(text.clone()),
        Value::Array(items) => {
            MontyObject::List(items.iter().map(|it| from_json_at(it, depth + 1)).collect::<Result<_, _>>()?)
        }
        Value::Object(map) => map_at(map, depth)?,
    })
}

fn map_at(map: &Map<String, Value>, depth: usize) -> Result<MontyObject, Failure> {
    let pairs = map
        .iter()
        .map(|(key, value)| Ok((MontyObject::String(key.clone()), from_json_at(value, depth + 1)?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    Ok(MontyObject::dict(pairs))
}

fn from_number(number: &Number) -> MontyObject {
    if let Some(int) = number.as_i64() {
        MontyObject::Int(int)
    } else if let Some(int) = number.as_u64() {
        MontyObject::BigInt(int.into())
    } else {
        MontyObject::Float(number.as_f64().unwrap_or_default())
    }
}

/// Makes JSON of a value of the interpreter: tuples become lists, sets sorted lists, dates ISO text,
/// keys text.
///
/// # Errors
///
/// `Raised` naming the place and type of what is no JSON, `TooLarge`.
pub(in crate::code) fn to_json(object: &MontyObject) -> Result<Value, Failure> {
    Writer { path: Vec::new(), n_bytes: 0 }.value(object)
}

/// Keeps where it is and how much it has made.
struct Writer {
    path: Vec<String>,
    n_bytes: usize,
}

impl Writer {
    fn value(&mut self, object: &MontyObject) -> Result<Value, Failure> {
        self.spend(ELEMENT_BYTES)?;
        Ok(match object {
            MontyObject::None => Value::Null,
            MontyObject::Bool(it) => Value::Bool(*it),
            MontyObject::Int(it) => Value::from(*it),
            MontyObject::BigInt(it) => match u64::try_from(it) {
                Ok(int) => Value::from(int),
                Err(_) => return Err(self.refuse("an integer beyond 64 bits")),
            },
            MontyObject::Float(it) => {
                Value::Number(Number::from_f64(*it).ok_or_else(|| self.refuse(&format!("the number `{it}`")))?)
            }
            MontyObject::String(text) | MontyObject::Path(text) => self.text(text.clone())?,
            MontyObject::List(items) | MontyObject::Tuple(items) => self.list(items)?,
            MontyObject::Set(items) | MontyObject::FrozenSet(items) => sorted(self.list(items)?),
            MontyObject::Dict(pairs) => self.pairs(pairs)?,
            MontyObject::NamedTuple { field_names, values, .. } => self.fields(field_names, values)?,
            MontyObject::ClassInstance(instance) => self.pairs(&instance.attrs)?,
            MontyObject::Date(it) => Value::String(format!("{:04}-{:02}-{:02}", it.year, it.month, it.day)),
            MontyObject::DateTime(it) => Value::String(format!(
                "{:04}-{:02}-{:02}T{}",
                it.year,
                it.month,
                it.day,
                clock_text((it.hour, it.minute, it.second), it.microsecond, it.offset_seconds)
            )),
            MontyObject::Time(it) => Value::String(time_text(it)),
            MontyObject::Repr(text) if text.starts_with("<coroutine") => {
                return Err(self.refuse("a coroutine (add `await`)"));
            }
            MontyObject::Repr(text) => return Err(self.refuse(&format!("`{}` (use `list(…)`)", shorten(text)))),
            MontyObject::Cycle(..) => return Err(self.refuse("a value that contains itself")),
            other => return Err(self.refuse(&format!("of type `{}`", other.type_name()))),
        })
    }

    fn text(&mut self, text: String) -> Result<Value, Failure> {
        self.spend(text.len())?;
        Ok(Value::String(text))
    }

    fn list(&mut self, items: &[MontyObject]) -> Result<Value, Failure> {
        let mut list = Vec::with_capacity(items.len());
        for (idx, item) in items.iter().enumerate() {
            list.push(self.child(|| format!("[{idx}]"), item)?);
        }
        Ok(Value::Array(list))
    }

    fn pairs(&mut self, pairs: &DictPairs) -> Result<Value, Failure> {
        let mut map = Map::new();
        for (key, value) in pairs.iter() {
            let key = self.key(key)?;
            self.spend(key.len())?;
            let value = self.child(|| format!(".{}", shorten(&key)), value)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }

    fn fields(&mut self, names: &[String], values: &[MontyObject]) -> Result<Value, Failure> {
        let mut map = Map::new();
        for (name, value) in names.iter().zip(values) {
            let value = self.child(|| format!(".{name}"), value)?;
            map.insert(name.clone(), value);
        }
        Ok(Value::Object(map))
    }

    /// Keys as `json.dumps` writes them.
    fn key(&self, key: &MontyObject) -> Result<String, Failure> {
        Ok(match key {
            MontyObject::String(text) => text.clone(),
            MontyObject::None => "null".into(),
            MontyObject::Bool(it) => it.to_string(),
            MontyObject::Int(it) => it.to_string(),
            MontyObject::BigInt(it) => it.to_string(),
            MontyObject::Float(_) => key.py_repr(),
            other => return Err(self.refuse(&format!("a dict with a key of type `{}`", other.type_name()))),
        })
    }

    fn child(&mut self, step: impl Fn() -> String, object: &MontyObject) -> Result<Value, Failure> {
        if self.path.len() >= DEPTH_MAX {
            return Err(too_deep());
        }
        self.path.push(step());
        let value = self.value(object);
        self.path.pop();
        value
    }

    fn spend(&mut self, n_bytes: usize) -> Result<(), Failure> {
        self.n_bytes = self.n_bytes.saturating_add(n_bytes);
        if self.n_bytes > limits::CODE_OUTPUT_BYTES_MAX {
            return Err(Failure::TooLarge { what: "the value".into() });
        }
        Ok(())
    }

    fn refuse(&self, what: &str) -> Failure {
        let path = self.path.concat();
        Failure::not_json(path.strip_prefix('.').unwrap_or(&path), what)
    }
}

fn too_deep() -> Failure {
    Failure::Raised {
        exception: "RecursionError".into(),
        message: format!("a value is nested deeper than {DEPTH_MAX} levels"),
        line: None,
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Sets have no order of their own; a sorted list is the same on every run.
fn sorted(list: Value) -> Value {
    let Value::Array(mut items) = list else { return list };
    items.sort_by(compare);
    Value::Array(items)
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64().unwrap_or_default().total_cmp(&b.as_f64().unwrap_or_default())
        }
        (Value::String(a), Value::String(b)) => a.cmp(b),
        _ => rank(a).cmp(&rank(b)).then_with(|| a.to_string().cmp(&b.to_string())),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

fn time_text(time: &MontyTime) -> String {
    clock_text((time.hour, time.minute, time.second), time.microsecond, time.offset_seconds)
}

/// ISO text of a time of day as Python's `isoformat` writes it.
fn clock_text((hour, minute, second): (u8, u8, u8), microsecond: u32, offset_s: Option<i32>) -> String {
    let mut text = format!("{hour:02}:{minute:02}:{second:02}");
    // Writing to a `String` never fails.
    if microsecond > 0 {
        let _ = write!(text, ".{microsecond:06}");
    }
    if let Some(offset_s) = offset_s {
        let sign = if offset_s < 0 { '-' } else { '+' };
        let minutes = offset_s.abs() / 60;
        let _ = write!(text, "{sign}{:02}:{:02}", minutes / 60, minutes % 60);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_survives_the_way_in_and_out() {
        for value in [
            json!(null),
            json!(true),
            json!(42),
            json!(-3.5),
            json!(u64::MAX),
            json!(i64::MIN),
            json!("täxt"),
            json!([1, [2, "x"], {}]),
            json!({"a": {"b c": [null]}, "7": 1}),
        ] {
            assert_eq!(to_json(&from_json(&value).unwrap()), Ok(value));
        }
    }

    #[test]
    fn a_set_comes_out_sorted() {
        let set = MontyObject::Set(vec![
            MontyObject::String("b".into()),
            MontyObject::Int(10),
            MontyObject::Float(9.5),
            MontyObject::String("a".into()),
            MontyObject::None,
        ]);
        assert_eq!(to_json(&set), Ok(json!([null, 9.5, 10, "a", "b"])));
    }

    #[test]
    fn what_is_no_json_is_named_with_its_place() {
        let inner = MontyObject::dict(vec![(
            MontyObject::String("b".into()),
            MontyObject::List(vec![MontyObject::None, MontyObject::Bytes(vec![1])]),
        )]);
        let cases = [
            (inner, "the value at `b[1]` is of type `bytes`, which is not JSON"),
            (MontyObject::Float(f64::NAN), "the value is the number `NaN`, which is not JSON"),
            (MontyObject::Repr("range(0, 3)".into()), "the value is `range(0, 3)` (use `list(…)`), which is not JSON"),
        ];
        for (object, expected) in cases {
            let Err(Failure::Raised { message, .. }) = to_json(&object) else { panic!("{object:?} is no JSON") };
            assert_eq!(message, expected);
        }
    }

    #[test]
    fn values_that_are_too_deep_or_too_large_are_refused() {
        let mut deep = MontyObject::None;
        for _ in 0..150 {
            deep = MontyObject::List(vec![deep]);
        }
        assert!(matches!(to_json(&deep), Err(Failure::Raised { exception, .. }) if exception == "RecursionError"));
        let large = MontyObject::String("x".repeat(limits::CODE_OUTPUT_BYTES_MAX + 1));
        assert!(matches!(to_json(&large), Err(Failure::TooLarge { .. })));
    }
}
