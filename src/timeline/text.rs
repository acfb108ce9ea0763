//! Foreign text made fit for a picture: on one line, of bounded width, escaped.

use crate::diagram::draw::on_one_line;

/// Returns `text` as XML character data of at most `columns` columns; what is cut off is marked.
pub fn shown(text: &str, columns: usize) -> String {
    escaped(&clipped(text, columns))
}

/// Whether [`shown`] has to cut it.
pub fn is_cut(text: &str, columns: usize) -> bool {
    // No character is narrower than a column, so longer texts need not be measured.
    on_one_line(text).chars().take(columns + 1).map(width).sum::<usize>() > columns
}

fn clipped(text: &str, columns: usize) -> String {
    let whole = on_one_line(text);
    if !is_cut(text, columns) {
        return whole;
    }
    let mut used = 1;
    let mut kept: String = whole
        .chars()
        .take_while(|it| {
            used += width(*it);
            used <= columns
        })
        .collect();
    kept.push('…');
    kept
}

/// East Asian letters and emoji are about twice as wide as others; an estimate is enough to cut.
fn width(character: char) -> usize {
    match character {
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' => 2,
        '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_cut_by_its_width_cleaned_and_escaped() {
        for (text, columns, expected) in [
            ("review", 6, "review"),
            ("reviewer", 6, "revie…"),
            ("日本語の名前", 6, "日本…"),
            ("日本語", 6, "日本語"),
            ("a & <b>\n\u{7}c", 20, "a &amp; &lt;b&gt;  c"),
            ("\u{202e}abc\u{2066}\u{feff}\u{e0041}", 9, "abc"),
            ("]]>", 9, "]]&gt;"),
            ("\u{ffff}\u{0}x", 9, "  x"),
        ] {
            assert_eq!(shown(text, columns), expected, "{text:?}");
        }
    }
}
