//! Lists: one form for all of them.

use schemars::JsonSchema;
use serde::Serialize;

/// A part of a list.
#[derive(Serialize, JsonSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// How many there are in all that fit.
    pub total: u64,
    /// How many were asked for.
    pub limit: usize,
    /// How many were left out in front.
    pub offset: usize,
    /// Where the list goes on, when it does: the `cursor` of the next request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Items of one page unless more or fewer are asked for.
pub const LIMIT: usize = 100;

/// Where a list was asked to begin, and how long it may be.
#[derive(Clone, Copy)]
pub struct Window {
    pub limit: Option<usize>,
    pub offset: Option<usize>,
}

impl Window {
    /// The page with these items.
    pub fn page<T>(self, items: Vec<T>, total: u64) -> Page<T> {
        let (limit, offset) = (self.limit.unwrap_or(LIMIT), self.offset.unwrap_or(0));
        Page { items, total, limit, offset, next_cursor: None }
    }
}
