//! The two text forms of a destination in the readable format: groups in parentheses, and keywords
//! with quoted values (diagrams.md 1.2). Must not know which nodes there are.

/// Most groups that are peeled; two mean something, the others are only there to be reported.
const GROUPS_MAX: usize = 8;

/// What dialect 2 says; every keyword at most once.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Parts<'t> {
    pub to: Option<&'t str>,
    pub input: Option<&'t str>,
    pub content_type: Option<&'t str>,
    pub naming: Option<&'t str>,
    pub from: Option<&'t str>,
}

impl<'t> Parts<'t> {
    fn slot(&mut self, keyword: &str) -> Option<&mut Option<&'t str>> {
        match keyword {
            "to" => Some(&mut self.to),
            "in" => Some(&mut self.input),
            "as" => Some(&mut self.content_type),
            "naming" => Some(&mut self.naming),
            "from" => Some(&mut self.from),
            _ => None,
        }
    }
}

/// Whether `text` begins as dialect 2 does: a keyword and a quoted value.
pub(super) fn is_like_keywords(text: &str) -> bool {
    let Some((keyword, rest)) = text.trim_start().split_once(char::is_whitespace) else { return false };
    Parts::default().slot(keyword).is_some() && rest.trim_start().starts_with(['"', '\''])
}

/// Reads `to "Writer" in "_first" as "raw_text" naming "topic"`, in any order; `None` when something
/// else stands in between or a keyword stands twice.
pub(super) fn keywords(text: &str) -> Option<Parts<'_>> {
    let mut parts = Parts::default();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (keyword, after) = rest.split_once(char::is_whitespace)?;
        let slot = parts.slot(keyword).filter(|it| it.is_none())?;
        let after = after.trim_start();
        let quote = after.chars().next().filter(|it| matches!(it, '"' | '\''))?;
        let (value, after) = after[1..].split_once(quote)?;
        if !after.is_empty() && !after.starts_with(char::is_whitespace) {
            return None;
        }
        *slot = Some(value.trim());
        rest = after.trim_start();
    }
    Some(parts)
}

/// Peels groups in parentheses from the right until `is_end` knows what is left, or nothing is left
/// to peel. Returns what is left and the groups from left to right.
pub(super) fn groups(text: &str, is_end: impl Fn(&str) -> bool) -> (&str, Vec<&str>) {
    let mut rest = text.trim();
    let mut groups = Vec::new();
    while groups.len() < GROUPS_MAX
        && !is_end(rest)
        && let Some((before, group)) = last_group(rest)
    {
        groups.push(group.trim());
        rest = before.trim_end();
    }
    groups.reverse();
    groups.retain(|it| !it.is_empty());
    (rest, groups)
}

/// Splits off the last group; the parentheses inside it are balanced.
fn last_group(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_suffix(')')?;
    let mut depth = 1_usize;
    for (at, character) in inside.char_indices().rev() {
        match character {
            ')' => depth += 1,
            '(' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&inside[..at], &inside[at + 1..])).filter(|it| !it.0.trim().is_empty());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_come_in_any_order_with_quoted_values() {
        let writer = Parts { to: Some("Writer"), ..Parts::default() };
        for (text, expected) in [
            ("to \"Writer\"", Some(writer)),
            (
                "as 'raw_text' from \"_condtrue\" to \"Save it\" naming \"x\" in \"first\"",
                Some(Parts {
                    to: Some("Save it"),
                    input: Some("first"),
                    content_type: Some("raw_text"),
                    naming: Some("x"),
                    from: Some("_condtrue"),
                }),
            ),
            ("to \"Writer\" to \"Other\"", None),
            ("to \"Writer\" by \"x\"", None),
            ("to \"Writer", None),
            ("to Writer", None),
            ("to \"a\"in \"b\"", None),
        ] {
            assert_eq!(keywords(text), expected, "{text}");
        }
        for (text, expected) in [("to \"x\"", true), ("to x", false), ("tomato \"x\"", false), ("to", false)] {
            assert_eq!(is_like_keywords(text), expected, "{text}");
        }
    }

    #[test]
    fn groups_are_peeled_from_the_right_until_a_node_is_left() {
        let is_end = |it: &str| ["Writer", "Fix (a)"].contains(&it);
        for (text, target, expected) in [
            ("Writer (raw_text)(topic)", "Writer", vec!["raw_text", "topic"]),
            ("Writer (raw_text) (f(x))", "Writer", vec!["raw_text", "f(x)"]),
            ("Fix (a) (object)", "Fix (a)", vec!["object"]),
            ("Fix (a)", "Fix (a)", vec![]),
            ("Writer ()", "Writer", vec![]),
            ("Nobody (object)", "Nobody", vec!["object"]),
            ("Nobody x)", "Nobody x)", vec![]),
            ("(object)", "(object)", vec![]),
            ("))))", "))))", vec![]),
        ] {
            assert_eq!(groups(text, is_end), (target, expected), "{text}");
        }
    }
}
