//! The guide: texts of `resources/` that models and people read, by name.

/// One page.
pub struct Page {
    /// What stands after `dipeo://guide/`.
    pub name: &'static str,
    pub text: &'static str,
}

impl Page {
    /// The first heading, else the name.
    pub fn title(&self) -> &'static str {
        self.text.lines().find_map(|it| it.strip_prefix("# ")).unwrap_or(self.name)
    }

    /// By the kind of the file.
    pub fn mime_type(&self) -> &'static str {
        if self.name.ends_with(".json") { "application/json" } else { "text/markdown" }
    }
}

/// Returns the page of this name.
pub fn find(name: &str) -> Option<&'static Page> {
    PAGES.iter().find(|it| it.name == name)
}

include!(concat!(env!("OUT_DIR"), "/guide_pages.rs"));
