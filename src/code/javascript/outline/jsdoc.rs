//! JSDoc comments, by the place of what they document.

use std::collections::HashMap;

use oxc::ast::ast::Program;
use oxc::span::Span;
use serde_json::{Map, Value, json};

/// The comments of one source; none when nobody asked for them.
pub(super) struct JsDocs<'s> {
    source: &'s str,
    /// Content by the offset of what stands behind the comment; the last of several counts.
    contents: HashMap<u32, Span>,
}

impl<'s> JsDocs<'s> {
    pub(super) fn of(source: &'s str, program: &Program<'_>, is_wanted: bool) -> Self {
        let comments = program.comments.iter().filter(|it| is_wanted && it.is_jsdoc());
        Self { source, contents: comments.map(|it| (it.attached_to, it.content_span())).collect() }
    }

    /// Adds `jsDoc` and `jsDocTags` when a comment stands before `documented`.
    pub(super) fn add(&self, facts: &mut Map<String, Value>, documented: Span) {
        let Some(span) = self.contents.get(&documented.start) else { return };
        let (text, tags) = parse(span.source_text(self.source));
        facts.insert("jsDoc".to_owned(), text.into());
        if !tags.is_empty() {
            let tags: Vec<Value> = tags.into_iter().map(|(tag, text)| json!({"tag": tag, "text": text})).collect();
            facts.insert("jsDocTags".to_owned(), tags.into());
        }
    }
}

/// Returns the description and the tags with their texts.
fn parse(comment: &str) -> (String, Vec<(String, String)>) {
    let mut description = Vec::new();
    let mut tags: Vec<(String, Vec<&str>)> = Vec::new();
    for line in comment.lines() {
        let line = line.trim().trim_start_matches('*').trim();
        let tag = line.strip_prefix('@').filter(|it| it.starts_with(|first: char| first.is_alphabetic()));
        match (tag, tags.last_mut()) {
            (Some(tag), _) => {
                let (name, text) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
                tags.push((name.to_owned(), vec![text.trim()]));
            }
            (None, Some((_, lines))) => lines.push(line),
            (None, None) => description.push(line),
        }
    }
    let tags = tags.into_iter().map(|(name, lines)| (name, lines.join("\n").trim().to_owned()));
    (description.join("\n").trim().to_owned(), tags.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_its_description_and_its_tags() {
        for (comment, text, tags) in [
            ("* One line. ", "One line.", vec![]),
            (
                "*\n * Two\n * lines.\n *\n * @param a the a,\n *   of all\n * @deprecated\n ",
                "Two\nlines.",
                vec![("param", "a the a,\nof all"), ("deprecated", "")],
            ),
            ("*\n * mail a@b.c and @ 5\n", "mail a@b.c and @ 5", vec![]),
            ("* @type {string}", "", vec![("type", "{string}")]),
        ] {
            let tags = tags.into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
            assert_eq!(parse(comment), (text.to_owned(), tags), "{comment}");
        }
    }
}
