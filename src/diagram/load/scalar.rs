//! What an unquoted word of YAML means: the core schema of YAML 1.2, with a warning where a number is
//! not what it looks like. Must not know where the word stands.

use serde_json::Number;

use super::super::tree::TreeKind;

/// What a plain (unquoted) scalar is.
#[derive(Debug, PartialEq)]
pub(in crate::diagram) enum Plain {
    Value(TreeKind),
    /// A number, but not the one a reader may expect; the text says how it is read.
    Surprising(TreeKind, String),
    /// Looks like a number and is none that JSON can hold.
    NotFinite,
}

/// Reads a plain scalar. Only `true` and `false` are booleans; `yes`, dates and `1_000` stay text.
pub(in crate::diagram) fn read_plain(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Value(TreeKind::Null),
        "true" | "True" | "TRUE" => return Plain::Value(TreeKind::Bool(true)),
        "false" | "False" | "FALSE" => return Plain::Value(TreeKind::Bool(false)),
        _ => {}
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Plain::NotFinite;
    }
    if let Some(digits) = text.strip_prefix("0x").filter(|it| is_all(it, |byte| byte.is_ascii_hexdigit())) {
        return radix(text, digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o").filter(|it| is_all(it, |byte| matches!(byte, b'0'..=b'7'))) {
        return radix(text, digits, 8);
    }
    if is_all(unsigned, |byte| byte.is_ascii_digit()) {
        return decimal_integer(text, unsigned);
    }
    if is_float(unsigned) { float(text) } else { Plain::Value(TreeKind::Text(text.to_owned())) }
}

fn is_all(text: &str, is_digit: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(is_digit)
}

fn radix(source: &str, digits: &str, radix: u32) -> Plain {
    match u64::from_str_radix(digits, radix) {
        Ok(value) => Plain::Value(TreeKind::Number(value.into())),
        Err(_) => {
            // Too long for 64 bits; a double keeps the size and loses digits.
            let value = digits
                .chars()
                .filter_map(|it| it.to_digit(radix))
                .fold(0.0_f64, |sum, it| sum * f64::from(radix) + f64::from(it));
            rounded(source, value)
        }
    }
}

fn decimal_integer(source: &str, digits: &str) -> Plain {
    let signed = source.strip_prefix('+').unwrap_or(source);
    let number = signed.parse::<u64>().map(Number::from).or_else(|_| signed.parse::<i64>().map(Number::from));
    let Ok(number) = number else {
        return rounded(source, signed.parse().unwrap_or(f64::INFINITY));
    };
    if digits.len() > 1 && digits.starts_with('0') {
        let message = format!("`{source}` without quotes is the number {number}");
        return Plain::Surprising(TreeKind::Number(number), message);
    }
    Plain::Value(TreeKind::Number(number))
}

fn rounded(source: &str, value: f64) -> Plain {
    match Number::from_f64(value) {
        Some(number) => {
            let shown: String = source.chars().take(60).collect();
            let message = format!("`{shown}` does not fit into 64 bits and is read as {number}");
            Plain::Surprising(TreeKind::Number(number), message)
        }
        None => Plain::NotFinite,
    }
}

/// Digits with at most one point and an optional exponent; the sign is already off.
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let exponent_fits = exponent.is_none_or(|it| is_all(it.strip_prefix(['+', '-']).unwrap_or(it), is_digit));
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => is_all(fraction, is_digit),
        Some((whole, fraction)) => is_all(whole, is_digit) && fraction.bytes().all(is_digit),
        None => exponent.is_some() && is_all(mantissa, is_digit),
    };
    exponent_fits && mantissa_fits
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

fn float(text: &str) -> Plain {
    match text.parse::<f64>().ok().and_then(Number::from_f64) {
        Some(number) => Plain::Value(TreeKind::Number(number)),
        None => Plain::NotFinite,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn value(kind: TreeKind) -> Value {
        super::super::super::tree::Tree { span: Default::default(), kind }.to_json()
    }

    #[test]
    fn words_are_read_by_the_core_schema_of_yaml_1_2() {
        for (text, expected) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("true", json!(true)),
            ("False", json!(false)),
            ("yes", json!("yes")),
            ("no", json!("no")),
            ("on", json!("on")),
            ("y", json!("y")),
            ("12", json!(12)),
            ("-7", json!(-7)),
            ("+7", json!(7)),
            ("0x1F", json!(31)),
            ("0o17", json!(15)),
            ("0b1", json!("0b1")),
            ("1_000", json!("1_000")),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("5.", json!(5.0)),
            ("12e3", json!(12000.0)),
            ("1.e-1", json!(0.1)),
            ("2024-01-02", json!("2024-01-02")),
            ("1:30", json!("1:30")),
            ("1.2.3", json!("1.2.3")),
            ("e3", json!("e3")),
            (".", json!(".")),
            ("-", json!("-")),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
        ] {
            assert_eq!(read_plain(text), Plain::Value(read_kind(expected.clone())), "{text}");
        }
    }

    fn read_kind(value: Value) -> TreeKind {
        match value {
            Value::Null => TreeKind::Null,
            Value::Bool(it) => TreeKind::Bool(it),
            Value::Number(it) => TreeKind::Number(it),
            Value::String(it) => TreeKind::Text(it),
            _ => unreachable!("only scalars stand in the table"),
        }
    }

    #[test]
    fn numbers_that_surprise_say_how_they_are_read() {
        for (text, expected, words) in [
            ("007", json!(7), "the number 7"),
            ("-012", json!(-12), "the number -12"),
            ("18446744073709551616", json!(1.8446744073709552e19), "64 bits"),
            ("0x1FFFFFFFFFFFFFFFF", json!(3.6893488147419103e19), "64 bits"),
        ] {
            match read_plain(text) {
                Plain::Surprising(kind, message) => {
                    assert_eq!(value(kind), expected, "{text}");
                    assert!(message.contains(words), "{message}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
        for text in [".nan", "-.inf", "1e999"] {
            assert_eq!(read_plain(text), Plain::NotFinite, "{text}");
        }
    }
}
