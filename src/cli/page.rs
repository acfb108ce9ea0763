//! What a command shows, as parts: written as plain text for a terminal, or as Markdown. Nothing that a diagram or a
//! model wrote can steer the terminal or break a table.

use std::borrow::Cow;

use super::args::Form;
use crate::shown;

/// A page under construction.
#[derive(Debug)]
pub struct Page {
    title: String,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Heading(String),
    Facts(Vec<(String, String)>),
    Line(String),
    Item(String),
    Table(Table),
    Block(String),
}

/// Rows under named columns.
#[derive(Debug)]
pub struct Table {
    columns: Vec<String>,
    /// Positions of the columns of numbers.
    right: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|it| (*it).to_owned()).collect(), right: Vec::new(), rows: Vec::new() }
    }

    /// Aligns a column to the right.
    #[must_use]
    pub fn right(mut self, column: usize) -> Self {
        self.right.push(column);
        self
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|it| on_one_line(&it)).collect());
    }

    fn text(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|it| it.get(column)).chain(self.columns.get(column));
            cells.map(|it| it.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |cells: &Vec<String>| {
            let padded = cells.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                if self.right.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:width$}") }
            });
            format!("  {}", padded.collect::<Vec<_>>().join("  ")).trim_end().to_owned() + "\n"
        };
        std::iter::once(&self.columns).chain(&self.rows).map(line).collect()
    }

    fn markdown(&self) -> String {
        let line = |cells: &Vec<String>| {
            let cells: Vec<String> = cells.iter().map(|it| it.replace('\\', "\\\\").replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rule = (0..self.columns.len()).map(|it| if self.right.contains(&it) { "---:" } else { "---" });
        let rule = format!("| {} |\n", rule.collect::<Vec<_>>().join(" | "));
        line(&self.columns) + &rule + &self.rows.iter().map(line).collect::<String>()
    }
}

impl Page {
    /// A page with a title and nothing else.
    pub fn new(title: &str) -> Self {
        Self { title: on_one_line(title), parts: Vec::new() }
    }

    /// Begins a section.
    pub fn heading(&mut self, text: &str) {
        self.parts.push(Part::Heading(on_one_line(text)));
    }

    /// Adds names with values; those without a value are left out.
    pub fn facts(&mut self, facts: impl IntoIterator<Item = (&'static str, String)>) {
        let facts = facts.into_iter().filter(|(_, value)| !value.is_empty());
        self.parts.push(Part::Facts(facts.map(|(name, value)| (name.to_owned(), on_one_line(&value))).collect()));
    }

    /// Adds a line of its own.
    pub fn line(&mut self, text: &str) {
        self.parts.push(Part::Line(on_one_line(text)));
    }

    /// Adds an item of a list.
    pub fn item(&mut self, text: &str) {
        self.parts.push(Part::Item(on_one_line(text)));
    }

    /// Adds a table; one without rows is left out.
    pub fn table(&mut self, table: Table) {
        if !table.rows.is_empty() {
            self.parts.push(Part::Table(table));
        }
    }

    /// Adds a text of several lines as it is.
    pub fn block(&mut self, text: &str) {
        self.parts.push(Part::Block(clean(text).into_owned()));
    }

    /// Writes the page.
    pub fn render(&self, form: Form) -> String {
        if form == Form::Markdown { self.markdown() } else { self.text() }
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n", self.title);
        for part in &self.parts {
            match part {
                Part::Heading(it) => text.push_str(&format!("{it}:\n")),
                Part::Facts(facts) => {
                    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
                    text.extend(facts.iter().map(|(name, value)| format!("  {name:width$}  {value}\n")));
                }
                Part::Line(it) => text.push_str(&format!("{it}\n")),
                Part::Item(it) => text.push_str(&format!("  - {it}\n")),
                Part::Table(it) => text.push_str(&it.text()),
                Part::Block(it) => text.extend(it.lines().map(|it| format!("    {it}\n"))),
            }
        }
        text
    }

    fn markdown(&self) -> String {
        let mut text = format!("# {}\n", self.title);
        let mut was_item = false;
        for part in &self.parts {
            let is_item = matches!(part, Part::Item(_));
            if !(is_item && was_item) {
                text.push('\n');
            }
            was_item = is_item;
            match part {
                Part::Heading(it) => text.push_str(&format!("## {it}\n")),
                Part::Facts(facts) => text.extend(facts.iter().map(|(name, value)| format!("- **{name}**: {value}\n"))),
                Part::Line(it) => text.push_str(&format!("{it}\n")),
                Part::Item(it) => text.push_str(&format!("- {it}\n")),
                Part::Table(it) => text.push_str(&it.markdown()),
                Part::Block(it) => text.push_str(&fenced(it)),
            }
        }
        text
    }
}

/// A text between fences that it does not hold itself.
pub(super) fn fenced(text: &str) -> String {
    let longest = text.split(|it| it != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    format!("{fence}\n{text}{newline}{fence}\n")
}

fn clean(text: &str) -> Cow<'_, str> {
    shown::clean(text, &mut Default::default())
}

fn on_one_line(text: &str) -> String {
    clean(text).split(['\n', '\r']).filter(|it| !it.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let mut page = Page::new("exec_1 completed");
        page.facts([("total", "1 s".to_owned()), ("nothing", String::new()), ("critical path", "a > b".to_owned())]);
        page.heading("nodes");
        let mut table = Table::new(&["node", "ms"]).right(1);
        table.row(["a|b\nc".to_owned(), "7".to_owned()]);
        table.row(["long label".to_owned(), "1234".to_owned()]);
        page.table(table);
        page.table(Table::new(&["empty"]));
        page.item("one");
        page.item("two\u{1b}[31m");
        page.block("```\nx");
        page
    }

    #[test]
    fn a_page_is_written_as_text_and_as_markdown() {
        let lines = [
            "exec_1 completed",
            "  total          1 s",
            "  critical path  a > b",
            "nodes:",
            "  node          ms",
            "  a|b c          7",
            "  long label  1234",
            "  - one",
            "  - two[31m",
            "    ```",
            "    x",
        ];
        assert_eq!(page().render(Form::Text).lines().collect::<Vec<_>>(), lines);
        let lines = [
            "# exec_1 completed",
            "",
            "- **total**: 1 s",
            "- **critical path**: a > b",
            "",
            "## nodes",
            "",
            "| node | ms |",
            "| --- | ---: |",
            "| a\\|b c | 7 |",
            "| long label | 1234 |",
            "",
            "- one",
            "- two[31m",
            "",
            "````",
            "```",
            "x",
            "````",
        ];
        assert_eq!(page().render(Form::Markdown).lines().collect::<Vec<_>>(), lines);
    }
}
