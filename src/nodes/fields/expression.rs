//! Expressions in the spelling of other languages, as Python.

/// Operators of JavaScript and their names in Python, the longest first.
const OPERATORS: [(&str, &str); 5] = [("===", "=="), ("!==", "!="), ("&&", "and"), ("||", "or"), ("!", "not ")];

/// Returns `expression` with the operators of JavaScript and the braces of templates as Python has them;
/// `None` when there are none. Texts within quotes stay.
pub(super) fn in_python(expression: &str) -> Option<String> {
    let mut spelt = String::with_capacity(expression.len());
    let mut rest = expression;
    let mut quote = None;
    while let Some(character) = rest.chars().next() {
        let is_outside = quote.is_none();
        let operator = OPERATORS.iter().find(|(it, _)| is_outside && rest.starts_with(it) && !rest.starts_with("!= "));
        if let Some((written, meant)) = operator.filter(|(it, _)| *it != "!" || !rest.starts_with("!=")) {
            spelt.push_str(meant);
            rest = &rest[written.len()..];
            continue;
        }
        if is_outside && (rest.starts_with("{{") || rest.starts_with("}}")) {
            rest = rest[2..].trim_start_matches(' ');
            spelt.truncate(spelt.trim_end().len());
            if !spelt.is_empty() && !rest.is_empty() {
                spelt.push(' ');
            }
            continue;
        }
        match quote {
            None if matches!(character, '"' | '\'') => quote = Some(character),
            Some(open) if open == character => quote = None,
            None | Some(_) => {}
        }
        spelt.push(character);
        rest = &rest[character.len_utf8()..];
    }
    (spelt != expression).then(|| spelt.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::in_python;

    #[test]
    fn operators_and_braces_are_spelt_as_python_has_them() {
        for (written, expected) in [
            ("n >= 3 && ok", Some("n >= 3 and ok")),
            ("a || !b", Some("a or not b")),
            ("n === 3", Some("n == 3")),
            ("n !== 3", Some("n != 3")),
            ("n != 3", None),
            ("n!=3", None),
            ("{{n}} >= 3", Some("n >= 3")),
            ("{{ a }} == {{ b.c }}", Some("a == b.c")),
            ("a == '&&'", None),
            ("a == '{{x}}' && b", Some("a == '{{x}}' and b")),
            ("n >= 3", None),
        ] {
            assert_eq!(in_python(written).as_deref(), expected, "{written}");
        }
    }
}
