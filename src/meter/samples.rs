//! Reads the text that the registry of numbers gives out. It is the only form it has, in no fixed order.

use std::collections::BTreeMap;

use super::family::Sample;

/// Returns every sample of `text`; comments are passed over.
pub(super) fn read(text: &str) -> Vec<Sample> {
    text.lines().filter(|it| !it.starts_with('#')).filter_map(sample).collect()
}

/// `name{label="value",…} 12`, the labels or the braces left out.
fn sample(line: &str) -> Option<Sample> {
    let (head, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, rest)) = head.split_once('{') else {
        return Some(Sample { name: head.to_owned(), labels: BTreeMap::new(), value });
    };
    Some(Sample { name: name.to_owned(), labels: labels(rest)?, value })
}

fn labels(mut rest: &str) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    while let Some((name, after)) = rest.split_once("=\"") {
        let (value, behind) = quoted(after)?;
        labels.insert(name.trim_start_matches(',').to_owned(), value);
        rest = behind;
    }
    (rest == "}").then_some(labels)
}

/// A text up to its closing quote, and what follows that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match letters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_line_is_read() {
        let of = |name: &str, labels: &[(&str, &str)], value| Sample {
            name: name.to_owned(),
            labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            value,
        };
        for (line, expected) in [
            ("a 1", Some(of("a", &[], 1.0))),
            ("a{} 1", Some(of("a", &[], 1.0))),
            (r#"a{b="c"} 0.5"#, Some(of("a", &[("b", "c")], 0.5))),
            (r#"a{b="c",d="e f"} 2"#, Some(of("a", &[("b", "c"), ("d", "e f")], 2.0))),
            (r#"a{b="x\"},\\\ny"} 3"#, Some(of("a", &[("b", "x\"},\\\ny")], 3.0))),
            (r#"a{le="+Inf"} 4"#, Some(of("a", &[("le", "+Inf")], 4.0))),
            ("", None),
            ("a", None),
            (r#"a{b="c} 1"#, None),
            ("a{b} 1", None),
        ] {
            assert_eq!(sample(line), expected, "{line}");
        }
    }
}
