//! Two questions to an XML text, for the transforms of manifests: the elements of a name, and the text of
//! one. No document model: replies of search services are flat enough.

/// The contents of every element of this name, outermost first; nested ones of the same name are part of theirs.
pub(super) fn all(text: &str, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((inside, after)) = next(rest, name) {
        found.push(inside.to_owned());
        rest = after;
    }
    found
}

/// The text of the first element of this name: no tags, entities resolved, blanks collapsed. Empty when
/// there is none.
pub(super) fn text(text: &str, name: &str) -> String {
    let Some((inside, _)) = next(text, name) else { return String::new() };
    let mut plain = String::with_capacity(inside.len());
    let mut rest = inside;
    while let Some(at) = rest.find('<') {
        plain.push_str(&resolved(&rest[..at]));
        if let Some(data) = rest[at..].strip_prefix("<![CDATA[") {
            let end = data.find("]]>").unwrap_or(data.len());
            plain.push_str(&data[..end]);
            rest = data.get(end + 3..).unwrap_or_default();
        } else {
            rest = rest[at..].find('>').map_or("", |end| &rest[at + end + 1..]);
        }
    }
    plain.push_str(&resolved(rest));
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The content of the next element of this name and what follows it.
fn next<'t>(text: &'t str, name: &str) -> Option<(&'t str, &'t str)> {
    let (_, content, is_empty) = opening(text, name)?;
    if is_empty {
        return Some(("", content));
    }
    let close = format!("</{name}>");
    let mut depth = 1_usize;
    let mut at = 0;
    loop {
        let end = at + content[at..].find(&close)?;
        // Elements of the same name that open before it close before it.
        let mut inner = &content[at..end];
        while let Some((_, after, is_empty)) = opening(inner, name) {
            depth += usize::from(!is_empty);
            inner = after;
        }
        depth -= 1;
        at = end + close.len();
        if depth == 0 {
            return Some((&content[..end], &content[at..]));
        }
    }
}

/// Where the next opening tag of this name is, what follows it, and whether it closes itself.
fn opening<'t>(text: &'t str, name: &str) -> Option<(usize, &'t str, bool)> {
    let open = format!("<{name}");
    let mut at = 0;
    loop {
        let start = at + text[at..].find(&open)?;
        let after = &text[start + open.len()..];
        if after.starts_with([' ', '>', '/', '\n', '\t', '\r']) {
            let end = after.find('>')?;
            return Some((start, &after[end + 1..], after[..end].ends_with('/')));
        }
        at = start + open.len();
    }
}

fn resolved(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let entity = rest.find(';').filter(|it| *it <= 10).map(|end| &rest[1..end]);
        match entity.and_then(|it| character(it).map(|found| (found, it.len() + 2))) {
            Some((found, len)) => {
                out.push(found);
                rest = &rest[len..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn character(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = entity.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_their_texts_are_found() {
        let feed = "<feed><entry a='1'><title>A &amp; <i>B</i>\n &#67;</title></entry><entry/><entries/>\
                    <entry><entry>in</entry><title><![CDATA[x<y]]></title></entry></feed>";
        let entries = all(feed, "entry");
        assert_eq!(entries.len(), 3, "{entries:?}");
        assert_eq!(text(&entries[0], "title"), "A & B C");
        assert_eq!(entries[1], "");
        assert_eq!(text(&entries[2], "title"), "x<y");
        assert_eq!(text(feed, "nope"), "");
    }

    #[test]
    fn broken_texts_end() {
        for broken in ["<a", "<a>", "<a><a></a>", "<a>&#xffffffff;&;&", "<a>ü</a", "</a><a/>"] {
            let _ = (all(broken, "a"), text(broken, "a"));
        }
        assert_eq!(text("<a>ü &nope; &#252;</a>", "a"), "ü &nope; ü");
    }
}
