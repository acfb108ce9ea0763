//! Which page comes next. Pages are followed only when a node asks for it.

use serde_json::Value;
use url::Url;

use super::manifest::{Pagination, PagingKind};
use super::request::{Built, as_text};
use crate::error::Error;

/// Most pages when the node does not say.
pub const PAGES_DEFAULT: u64 = 10;
/// Most pages a node may ask for.
pub const PAGES_MAX: u64 = 1_000;

/// Where in the pages of one call we are.
#[derive(Clone, Debug)]
pub struct Pages<'p> {
    pagination: &'p Pagination,
    /// Items or pages behind us.
    offset: u64,
    page: u64,
    limit: u64,
    cursor: Option<String>,
}

/// What a page said about the next one.
pub struct Seen<'v> {
    /// The whole body.
    pub body: &'v Value,
    /// Items in its value, `None` when that is no list.
    pub n_items: Option<u64>,
    /// The `Link` header.
    pub link: Option<&'v str>,
}

impl<'p> Pages<'p> {
    /// Begins at what the request already says, and puts the parameters of the first page into it.
    pub fn begin(pagination: &'p Pagination, request: &mut Built) -> Self {
        let given = |name: &str| request.query.iter().find(|(it, _)| it == name).and_then(|(_, it)| it.parse().ok());
        let limit = pagination.limit_param.as_deref().and_then(given).unwrap_or(u64::from(pagination.default_limit));
        let pages = Self {
            pagination,
            offset: given(&pagination.offset_param).unwrap_or(0),
            page: given(&pagination.page_param).unwrap_or(1),
            limit,
            cursor: None,
        };
        pages.put(request);
        pages
    }

    fn put(&self, request: &mut Built) {
        let pagination = self.pagination;
        if let Some(name) = pagination.limit_param.as_deref() {
            request.set_query(name, self.limit.to_string());
        }
        match pagination.kind {
            PagingKind::OffsetLimit => request.set_query(&pagination.offset_param, self.offset.to_string()),
            PagingKind::PageNumber => request.set_query(&pagination.page_param, self.page.to_string()),
            PagingKind::Cursor | PagingKind::NextToken => {
                if let Some(cursor) = &self.cursor {
                    request.set_query(&pagination.cursor_param, cursor.clone());
                }
            }
            PagingKind::LinkHeader => {}
        }
    }

    /// Turns `request` into that of the next page; false when there is none.
    ///
    /// # Errors
    ///
    /// `HTTP_FAILED` when the server leads to another host or in a circle.
    pub fn next(&mut self, request: &mut Built, seen: &Seen<'_>) -> Result<bool, Error> {
        if self.is_last(seen) {
            return Ok(false);
        }
        match self.pagination.kind {
            PagingKind::OffsetLimit => self.offset += seen.n_items.unwrap_or(self.limit),
            PagingKind::PageNumber => self.page += 1,
            PagingKind::Cursor | PagingKind::NextToken => {
                let found = self.pagination.cursor_path.as_ref().and_then(|it| it.find(seen.body));
                let Some(cursor) = found.map(as_text).filter(|it| !it.is_empty() && it != "false") else {
                    return Ok(false);
                };
                if self.cursor.as_ref() == Some(&cursor) {
                    return Err(circle("the cursor of the next page is that of this one"));
                }
                self.cursor = Some(cursor);
            }
            PagingKind::LinkHeader => {
                let Some(address) = seen.link.and_then(next_link) else { return Ok(false) };
                return follow(request, address).map(|()| true);
            }
        }
        self.put(request);
        Ok(true)
    }

    fn is_last(&self, seen: &Seen<'_>) -> bool {
        if let Some(path) = &self.pagination.has_more_path {
            let has_more = path.find(seen.body).is_some_and(|it| match it {
                Value::Null | Value::Bool(false) => false,
                Value::String(text) => !matches!(text.as_str(), "" | "false"),
                Value::Number(number) => number.as_f64() != Some(0.0),
                Value::Bool(true) | Value::Array(_) | Value::Object(_) => true,
            });
            return !has_more;
        }
        match self.pagination.kind {
            PagingKind::OffsetLimit | PagingKind::PageNumber => seen.n_items.is_none_or(|it| it < self.limit.max(1)),
            PagingKind::Cursor | PagingKind::NextToken | PagingKind::LinkHeader => false,
        }
    }
}

/// The address of `rel="next"` in a `Link` header (RFC 8288).
fn next_link(header: &str) -> Option<&str> {
    header.split(",").find_map(|link| {
        let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|it| {
            let value = it.trim().strip_prefix("rel=");
            value.is_some_and(|it| it.trim_matches('"').split(' ').any(|it| it.eq_ignore_ascii_case("next")))
        });
        is_next.then_some(address)
    })
}

/// The key goes along, so the next page must be where the first one was.
fn follow(request: &mut Built, address: &str) -> Result<(), Error> {
    let failed = |what: &str| {
        Error::external("HTTP_FAILED", format!("the address of the next page {what}"))
            .hint("leave `all_pages` out, and correct the manifest's `pagination`")
    };
    let here = Url::parse(&request.url).map_err(|_| failed("cannot be resolved"))?;
    let next = here.join(address).map_err(|_| failed("cannot be read"))?;
    if next.origin() != here.origin() {
        return Err(failed("is on another host"));
    }
    let query: Vec<(String, String)> =
        next.query_pairs().map(|(key, it)| (key.into_owned(), it.into_owned())).collect();
    let mut url = next;
    url.set_query(None);
    url.set_fragment(None);
    // A key in the query is not part of the server's links.
    let kept: Vec<_> =
        request.query.iter().filter(|(name, _)| !query.iter().any(|(it, _)| it == name)).cloned().collect();
    if request.url == url.as_str() && query.iter().all(|it| request.query.contains(it)) {
        return Err(circle("the address of the next page is that of this one"));
    }
    request.url = url.into();
    request.query = query.into_iter().chain(kept).collect();
    Ok(())
}

fn circle(message: &str) -> Error {
    Error::external("HTTP_FAILED", message).hint("the server leads in a circle; set `config.max_pages`")
}

/// Puts the values of all pages together: lists become one list, other values a list of them.
pub fn joined(pages: Vec<Value>) -> Value {
    if pages.iter().all(Value::is_array) {
        return pages
            .into_iter()
            .flat_map(|it| match it {
                Value::Array(items) => items,
                other => vec![other],
            })
            .collect();
    }
    Value::Array(pages)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::integrations::pointer::Pointer;

    fn pagination(kind: PagingKind) -> Pagination {
        let pointer = |it: &str| Some(Pointer::parse(it).expect("a pointer"));
        Pagination {
            kind,
            limit_param: Some("limit".to_owned()),
            offset_param: "offset".to_owned(),
            page_param: "page".to_owned(),
            cursor_param: "cursor".to_owned(),
            cursor_path: pointer("$.next"),
            has_more_path: None,
            default_limit: 2,
        }
    }

    /// Follows pages until the end and returns the query of each request.
    fn walk(pagination: &Pagination, replies: &[(Value, Option<&str>)]) -> (Vec<String>, Option<Error>) {
        let mut request = Built {
            method: "GET".to_owned(),
            url: "https://x.test/items".to_owned(),
            query: vec![("q".to_owned(), "z".to_owned())],
            headers: Vec::new(),
            body: None,
        };
        let mut pages = Pages::begin(pagination, &mut request);
        let mut seen = Vec::new();
        for (body, link) in replies {
            let query: Vec<String> = request.query.iter().map(|(name, it)| format!("{name}={it}")).collect();
            seen.push(format!("{}?{}", request.url.trim_start_matches("https://x.test"), query.join("&")));
            let n_items = body["items"].as_array().map(|it| it.len() as u64);
            match pages.next(&mut request, &Seen { body, n_items, link: *link }) {
                Ok(true) => {}
                Ok(false) => return (seen, None),
                Err(error) => return (seen, Some(error)),
            }
        }
        (seen, None)
    }

    #[test]
    fn each_kind_asks_for_the_next_page_its_own_way() {
        let full = || json!({"items": [1, 2], "next": "c1"});
        let last = || json!({"items": [3]});
        for (kind, replies, expected) in [
            (
                PagingKind::OffsetLimit,
                vec![(full(), None), (last(), None)],
                vec!["/items?q=z&limit=2&offset=0", "/items?q=z&limit=2&offset=2"],
            ),
            (
                PagingKind::PageNumber,
                vec![(full(), None), (json!({"items": []}), None)],
                vec!["/items?q=z&limit=2&page=1", "/items?q=z&limit=2&page=2"],
            ),
            (
                PagingKind::Cursor,
                vec![(full(), None), (last(), None)],
                vec!["/items?q=z&limit=2", "/items?q=z&limit=2&cursor=c1"],
            ),
            (
                PagingKind::LinkHeader,
                vec![
                    (full(), Some("<https://x.test/items?page=2>; rel=\"next\", <https://x.test/z>; rel=\"last\"")),
                    (last(), None),
                ],
                vec!["/items?q=z&limit=2", "/items?page=2&q=z&limit=2"],
            ),
        ] {
            let (seen, error) = walk(&pagination(kind), &replies);
            assert_eq!(seen, expected, "{kind:?}");
            assert!(error.is_none(), "{kind:?}: {error:?}");
        }
    }

    #[test]
    fn servers_that_lead_astray_are_not_followed() {
        for (kind, reply, link, part) in [
            (PagingKind::Cursor, json!({"next": "same"}), None, "that of this one"),
            (PagingKind::LinkHeader, json!({}), Some("<https://evil.test/items?p=2>; rel=next"), "on another host"),
            (PagingKind::LinkHeader, json!({}), Some("<http://x.test/items?p=2>; rel=next"), "on another host"),
            (PagingKind::LinkHeader, json!({}), Some("</items?q=z>; rel=next"), "that of this one"),
        ] {
            let replies = vec![(reply.clone(), link), (reply.clone(), link), (reply, link)];
            let (_, error) = walk(&pagination(kind), &replies);
            let error = error.expect(part);
            assert!(error.message().contains(part), "{kind:?}: {error}");
        }
    }

    #[test]
    fn has_more_decides_where_it_is_given() {
        let mut paging = pagination(PagingKind::PageNumber);
        paging.has_more_path = Some(Pointer::parse("$.more").expect("a pointer"));
        let replies = [(json!({"items": [1], "more": true}), None), (json!({"items": [1, 2], "more": false}), None)];
        assert_eq!(walk(&paging, &replies).0.len(), 2);
    }

    #[test]
    fn lists_join_to_one_list() {
        assert_eq!(joined(vec![json!([1]), json!([2, 3])]), json!([1, 2, 3]));
        assert_eq!(joined(vec![json!({"a": 1}), json!([2])]), json!([{"a": 1}, [2]]));
    }
}
