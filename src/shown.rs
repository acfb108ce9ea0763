//! What a text may hold when a model is to read it. A model sees characters that a person does not: tags that
//! spell out hidden orders, marks that turn the direction of reading, controls of a terminal. They are taken out
//! of what is shown and counted, never out of what is stored. It must not know what a text is about.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// How many characters of each kind were taken out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// C0 and C1 controls besides line feed, tab, and the return before a line feed.
    pub control: u64,
    /// Marks, embeddings, overrides and isolates of the bidirectional algorithm.
    pub bidirectional: u64,
    /// Characters without width: spaces, joiners, fillers, variation selectors that select nothing.
    pub invisible: u64,
    /// The tag block and the code points beside it, which spell text that no screen shows.
    pub tag: u64,
}

impl Hidden {
    /// All kinds together.
    pub fn total(&self) -> u64 {
        self.control + self.bidirectional + self.invisible + self.tag
    }

    /// `3 tag, 1 control`: the kinds that occurred.
    pub fn to_text(&self) -> String {
        let kinds = [
            (self.control, "control"),
            (self.bidirectional, "bidirectional"),
            (self.invisible, "invisible"),
            (self.tag, "tag"),
        ];
        let said: Vec<String> = kinds.iter().filter(|it| it.0 > 0).map(|(n, kind)| format!("{n} {kind}")).collect();
        said.join(", ")
    }

    fn count(&mut self, kind: Kind) {
        match kind {
            Kind::Control => self.control += 1,
            Kind::Bidirectional => self.bidirectional += 1,
            Kind::Invisible => self.invisible += 1,
            Kind::Tag => self.tag += 1,
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Control,
    Bidirectional,
    Invisible,
    Tag,
}

/// Names the kind of a character that is not shown; `None` for one that may be, wherever it stands.
fn kind_of(it: char) -> Option<Kind> {
    match it {
        '\n' | '\t' => None,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => Some(Kind::Control),
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Some(Kind::Bidirectional)
        }
        '\u{ad}'
        | '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200d}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' => Some(Kind::Invisible),
        '\u{e0000}'..='\u{e0fff}' => Some(Kind::Tag),
        _ => None,
    }
}

/// Whether an invisible character does its proper work where it stands: one joiner between two emoji or inside
/// a word of a script that needs it, one variation selector behind what it varies, the return of a line's end.
fn belongs(it: char, before: Option<char>, after: Option<char>) -> bool {
    match it {
        '\r' => after == Some('\n'),
        '\u{200c}' | '\u{200d}' => match (before, after) {
            (Some(before), Some(after)) => {
                is_joining_letter(before) && is_joining_letter(after)
                    || it == '\u{200d}' && (is_emoji(before) || before == '\u{fe0f}') && is_emoji(after)
            }
            _ => false,
        },
        '\u{fe0e}' | '\u{fe0f}' => before.is_some_and(|it| is_emoji(it) || is_keycap(it)),
        _ => false,
    }
}

/// Arabic and its neighbours, the scripts of India, Myanmar, Khmer, Mongolian.
fn is_joining_letter(it: char) -> bool {
    let is_script = matches!(it, '\u{620}'..='\u{dff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{18aa}');
    is_script && kind_of(it).is_none()
}

fn is_emoji(it: char) -> bool {
    matches!(it, '\u{a9}' | '\u{ae}' | '\u{203c}'..='\u{2049}' | '\u{2100}'..='\u{2bff}' | '\u{3030}'..='\u{3299}'
        | '\u{1f000}'..='\u{1faff}')
}

fn is_keycap(it: char) -> bool {
    it.is_ascii_digit() || matches!(it, '#' | '*')
}

/// Returns `text` without what no reader sees, and counts in `hidden` what was taken out.
pub fn clean<'t>(text: &'t str, hidden: &mut Hidden) -> Cow<'t, str> {
    if !may_hide(text) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let before = hidden.total();
    while let Some(it) = rest.next() {
        match kind_of(it) {
            Some(kind) if !belongs(it, shown.chars().next_back(), rest.peek().copied()) => hidden.count(kind),
            _ => shown.push(it),
        }
    }
    if hidden.total() == before { Cow::Borrowed(text) } else { Cow::Owned(shown) }
}

/// Whether a text holds what no reader sees.
pub fn hides(text: &str) -> bool {
    matches!(clean(text, &mut Hidden::default()), Cow::Owned(_))
}

/// Whether a text holds anything that [`clean`] might take out. Nearly all texts end here.
fn may_hide(text: &str) -> bool {
    let is_plain = |it: u8| (0x20..0x7f).contains(&it) || it == b'\n' || it == b'\t';
    !text.bytes().all(is_plain) && text.chars().any(|it| kind_of(it).is_some())
}

/// Whether a compact JSON text may hold such characters, as they are or escaped. Says yes too often, never no
/// too often; a `true` only means that looking closely is worth it.
pub fn may_hide_in_json(json: &str) -> bool {
    let mut bytes = json.bytes();
    let mut is_ascii = true;
    while let Some(it) = bytes.next() {
        match it {
            // What JSON escapes besides quotes, backslashes, line feeds and tabs is a control.
            b'\\' if !matches!(bytes.next(), Some(b'"' | b'\\' | b'n' | b't' | b'/')) => return true,
            0x7f => return true,
            0x80.. => is_ascii = false,
            _ => {}
        }
    }
    !is_ascii && json.chars().any(|it| kind_of(it).is_some())
}

/// Cleans every text and key inside `value`.
pub fn clean_value(value: &mut Value, hidden: &mut Hidden) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => {
            if let Cow::Owned(shown) = clean(text, hidden) {
                *text = shown;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|it| clean_value(it, hidden)),
        Value::Object(map) => clean_map(map, hidden),
    }
}

fn clean_map(map: &mut Map<String, Value>, hidden: &mut Hidden) {
    map.values_mut().for_each(|it| clean_value(it, hidden));
    if !map.keys().any(|it| may_hide(it)) {
        return;
    }
    for (key, value) in std::mem::take(map) {
        let mut shown = clean(&key, hidden).into_owned();
        // Two keys may differ in nothing that is seen; neither may hide the other.
        while map.contains_key(&shown) {
            shown.push('\'');
        }
        map.insert(shown, value);
    }
}

/// Returns the beginning of `text` with at most `n_chars` characters and how many are left out. What belongs to
/// one visible character (accents, skin tones, joined emoji) is not torn apart.
pub fn beginning(text: &str, n_chars: usize) -> (&str, usize) {
    let Some((mut end, _)) = text.char_indices().nth(n_chars) else { return (text, 0) };
    let continues = |end: usize| {
        let (before, after) = (text[..end].chars().next_back(), text[end..].chars().next());
        before == Some('\u{200d}') || after.is_some_and(is_attached)
    };
    let mut earlier = end;
    // A text of nothing but accents has no good place: then the first one is as good as any.
    for _ in 0..ATTACHED_MAX {
        if !continues(earlier) {
            end = earlier;
            break;
        }
        let Some((at, _)) = text[..earlier].char_indices().next_back() else { break };
        earlier = at;
    }
    if end == 0 {
        end = text.char_indices().nth(n_chars).map_or(text.len(), |(at, _)| at);
    }
    (&text[..end], text[end..].chars().count())
}

/// Most characters that [`beginning`] goes back to find the start of a visible one.
const ATTACHED_MAX: usize = 16;

fn is_attached(it: char) -> bool {
    matches!(it, '\u{300}'..='\u{36f}' | '\u{200d}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}')
}

/// Returns a foreign text as one short line: a label, a description, a value in a message. Cleaned, blanks
/// joined, at most `n_chars` characters, with `…` where something was cut.
pub fn line(text: &str, n_chars: usize) -> String {
    let shown = clean(text, &mut Hidden::default());
    let joined = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    match beginning(&joined, n_chars) {
        (_, 0) => joined,
        _ => format!("{}…", beginning(&joined, n_chars.saturating_sub(1)).0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn cleaned(text: &str) -> (String, Hidden) {
        let mut hidden = Hidden::default();
        (clean(text, &mut hidden).into_owned(), hidden)
    }

    #[test]
    fn what_no_reader_sees_is_taken_out_and_counted_by_kind() {
        for (text, shown, said) in [
            ("plain\ttext\nand more", "plain\ttext\nand more", ""),
            ("ends like\r\nWindows", "ends like\r\nWindows", ""),
            ("over\rwritten", "overwritten", "1 control"),
            ("\u{1b}[2Jgone\u{7}\0", "[2Jgone", "3 control"),
            ("\u{7f}\u{9b}31m", "31m", "2 control"),
            ("user\u{202e}txt.exe\u{2066}\u{2069}", "usertxt.exe", "3 bidirectional"),
            ("hi\u{e0049}\u{e0067}\u{e006e}\u{e007f}", "hi", "4 tag"),
            ("a\u{e0100}b", "ab", "1 tag"),
            ("pass\u{200b}word\u{2060}\u{feff}\u{ad}", "password", "4 invisible"),
            ("a\u{fe01}b\u{fe0f}c\u{200d}d", "abcd", "3 invisible"),
            ("all\u{0}\u{202e}\u{200b}\u{e0041}", "all", "1 control, 1 bidirectional, 1 invisible, 1 tag"),
        ] {
            let (clean, hidden) = cleaned(text);
            assert_eq!((clean.as_str(), hidden.to_text().as_str()), (shown, said), "{text:?}");
        }
    }

    #[test]
    fn scripts_and_emoji_keep_the_joiners_they_need() {
        for text in [
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "👩\u{200d}💻",
            "❤\u{fe0f}\u{200d}🔥",
            "1\u{fe0f}\u{20e3}",
            "👍🏽",
            "naïve – “quoted” 日本語",
        ] {
            assert_eq!(cleaned(text), (text.to_owned(), Hidden::default()), "{text:?}");
        }
        assert_eq!(cleaned("👩\u{200d}\u{200d}💻").1.invisible, 1, "more joiners than one carry a message");
        assert_eq!(cleaned("❤\u{fe0f}\u{fe0f}\u{fe0e}").1.invisible, 2);
    }

    #[test]
    fn keys_are_cleaned_too_and_none_hides_another() {
        let mut value = json!({"a\u{200b}": [{"b": "c\u{202e}"}], "a": 1, "n": 2});
        let mut hidden = Hidden::default();
        clean_value(&mut value, &mut hidden);
        assert_eq!(value, json!({"a": [{"b": "c"}], "a'": 1, "n": 2}));
        assert_eq!((hidden.invisible, hidden.bidirectional), (1, 1));
    }

    #[test]
    fn a_cut_never_tears_a_visible_character_apart() {
        for (text, n_chars, shown, n_left) in [
            ("abc", 3, "abc", 0),
            ("abc", 2, "ab", 1),
            ("né", 1, "n", 1),
            ("ne\u{301}e", 2, "n", 3),
            ("a👍🏽b", 2, "a", 3),
            ("a👩\u{200d}💻b", 3, "a", 4),
            ("\u{301}\u{301}\u{301}", 2, "\u{301}\u{301}", 1),
            ("😀😀", 1, "😀", 1),
        ] {
            assert_eq!(beginning(text, n_chars), (shown, n_left), "{text:?} {n_chars}");
        }
    }

    #[test]
    fn a_line_is_short_and_has_no_breaks() {
        for (text, n_chars, shown) in [
            ("Ignore all\n\n previous\u{e0041} words", 40, "Ignore all previous words"),
            ("one two three", 8, "one two…"),
            ("x", 1, "x"),
            ("xy", 1, "…"),
        ] {
            assert_eq!(line(text, n_chars), shown);
        }
    }

    proptest! {
        #[test]
        fn cleaning_once_is_enough_and_the_quick_look_never_misses(text in "\\PC*|[\\x00-\\u{10ffff}]{0,40}") {
            let (shown, hidden) = cleaned(&text);
            prop_assert_eq!(cleaned(&shown), (shown.clone(), Hidden::default()));
            let json = Value::from(text.as_str()).to_string();
            prop_assert!(hidden.total() == 0 || may_hide_in_json(&json), "{json}");
            prop_assert_eq!(shown.chars().count() as u64 + hidden.total(), text.chars().count() as u64);
        }

        #[test]
        fn a_beginning_and_what_it_leaves_out_are_the_text(text in "[\\x00-\\u{10ffff}]{0,40}", n_chars in 0usize..50) {
            let (shown, n_left) = beginning(&text, n_chars);
            prop_assert!(text.starts_with(shown) && shown.chars().count() <= n_chars);
            prop_assert_eq!(shown.chars().count() + n_left, text.chars().count());
        }
    }
}
