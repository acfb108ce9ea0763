//! Pages of lists, with cursors that mean nothing to a client.

use rmcp::ErrorData;
use serde_json::json;

/// Entries on one page (mcp.md 2.6).
pub const PAGE_SIZE: usize = 100;

/// Returns the page that `cursor` names and the cursor of the next one.
///
/// # Errors
///
/// `-32602` for a cursor this server did not make.
pub fn page<T: Clone>(items: &[T], cursor: Option<&str>) -> Result<(Vec<T>, Option<String>), ErrorData> {
    let start = match cursor {
        None | Some("") => 0,
        Some(text) => read(text).ok_or_else(|| bad_cursor(text))?,
    };
    // A list may have become shorter since the cursor was made: then this is its end.
    let end = items.len().min(start.saturating_add(PAGE_SIZE));
    let shown = items.get(start..end).unwrap_or_default().to_vec();
    let next = (end < items.len() && start < end).then(|| write(end));
    Ok((shown, next))
}

fn write(start: usize) -> String {
    hex::encode(format!("from {start}"))
}

fn read(cursor: &str) -> Option<usize> {
    let text = String::from_utf8(hex::decode(cursor).ok()?).ok()?;
    text.strip_prefix("from ")?.parse().ok()
}

fn bad_cursor(text: &str) -> ErrorData {
    let shown: String = text.chars().take(80).collect();
    ErrorData::invalid_params(
        format!("`{shown}` is not a cursor of this list"),
        Some(json!({"code": "INVALID_CURSOR", "hint": "leave `cursor` out to start from the beginning"})),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn following_the_cursors_shows_every_item_once() {
        for n_items in [0, 1, 99, 100, 101, 250] {
            let items: Vec<usize> = (0..n_items).collect();
            let (mut seen, mut cursor) = page(&items, None).expect("the first page");
            while let Some(next) = cursor {
                let (more, after) = page(&items, Some(&next)).expect("our own cursor");
                assert!(!more.is_empty() && more.len() <= PAGE_SIZE);
                seen.extend(more);
                cursor = after;
            }
            assert_eq!(seen, items);
        }
    }

    #[test]
    fn a_foreign_cursor_is_refused_and_an_outlived_one_is_the_end() {
        for bad in ["zz", "00", "2", &hex::encode("from -1"), &hex::encode("from x")] {
            assert_eq!(page(&[1], Some(bad)).expect_err(bad).code.0, -32602, "{bad}");
        }
        assert_eq!(page(&[1], Some(&write(7))).expect("well formed"), (vec![], None));
        assert_eq!(page(&[1], Some("")).expect("the beginning"), (vec![1], None));
    }
}
