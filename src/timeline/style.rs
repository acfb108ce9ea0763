//! The style sheet and the patterns of a timeline. Every state has a fill of its own besides its colour.

use std::fmt::Write;

/// Class, and its colour on light and on dark pages; the rules are the same.
const COLOURS: &[(&str, [&str; 2])] = &[
    ("paper", ["#ffffff", "#0d1117"]),
    ("ink", ["#1f2328", "#e6edf3"]),
    ("pale", ["#59636e", "#9198a1"]),
    ("grid", ["#d1d9e0", "#3d444d"]),
    ("completed", ["#1a7f37", "#3fb950"]),
    ("failed", ["#cf222e", "#ff7b72"]),
    ("running", ["#0969da", "#58a6ff"]),
    ("aborted", ["#59636e", "#9198a1"]),
    ("waiting", ["#9a6700", "#e3b341"]),
];

const LIGHT: usize = 0;
const DARK: usize = 1;

/// State, size of its tile, path of its tile; the ground is paper.
const PATTERNS: &[(&str, u8, &str)] = &[
    ("failed", 6, "M0 0L6 6M6 0L0 6"),
    ("running", 6, "M-1 1L1 -1M0 6L6 0M5 7L7 5"),
    ("aborted", 4, "M2 0V4"),
    ("waiting", 5, "M2 2h1v1h-1z"),
];

/// The elements `style` and `defs`.
pub fn head() -> String {
    let mut out = "<style>\
        .dipeo-timeline text{font:12px system-ui,sans-serif}\
        .dipeo-timeline .head{font-size:14px;font-weight:600}\
        .dipeo-timeline .iteration{font-size:10px;text-anchor:middle;paint-order:stroke;stroke-width:3px}\
        .dipeo-timeline .mark{text-anchor:middle}\
        .dipeo-timeline .idle{stroke-dasharray:3 2}\
        .dipeo-timeline .pending{fill:none}\
        .dipeo-timeline path{fill:none;stroke-width:1.5px}"
        .to_owned();
    rules(&mut out, LIGHT);
    out.push_str("@media(prefers-color-scheme:dark){");
    rules(&mut out, DARK);
    out.push_str("}</style><defs>");
    for (state, size, path) in PATTERNS {
        let _ = write!(
            out,
            "<pattern id=\"dipeo-timeline-{state}\" patternUnits=\"userSpaceOnUse\" width=\"{size}\" height=\"{size}\">\
             <rect class=\"paper\" width=\"{size}\" height=\"{size}\"/><path class=\"{state}-line\" d=\"{path}\"/></pattern>"
        );
    }
    out.push_str("</defs>");
    out
}

/// `page` is a position in the colours of a class.
fn rules(out: &mut String, page: usize) {
    for (class, colours) in COLOURS {
        let colour = colours[page];
        // Writing to a string cannot fail.
        let _ = match *class {
            "paper" => write!(
                out,
                ".dipeo-timeline .paper{{fill:{colour}}}.dipeo-timeline .iteration{{stroke:{colour}}}\
                 .dipeo-timeline .idle{{fill:{colour}}}"
            ),
            "ink" => write!(out, ".dipeo-timeline text{{fill:{colour}}}"),
            "pale" => write!(
                out,
                ".dipeo-timeline .pale{{fill:{colour}}}.dipeo-timeline .idle,.dipeo-timeline .pending{{stroke:{colour}}}"
            ),
            "grid" => write!(out, ".dipeo-timeline .grid{{stroke:{colour}}}"),
            "completed" => write!(out, ".dipeo-timeline .completed{{fill:{colour};stroke:{colour}}}"),
            state => write!(
                out,
                ".dipeo-timeline .{state}{{fill:url(#dipeo-timeline-{state});stroke:{colour}}}\
                 .dipeo-timeline .{state}-line{{stroke:{colour}}}"
            ),
        };
    }
}
