//! Cuts the bytes of a reply into events: server-sent events, or one JSON value from a server that does not
//! stream. Pure.

/// Takes bytes as they come and gives back the data of each event.
#[derive(Debug, Default)]
pub(super) struct Frames {
    kind: Kind,
    /// Bytes of the line that is not finished yet; of the whole reply when it is no stream.
    rest: Vec<u8>,
    /// The data lines of the event that is not finished yet.
    data: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    /// Nothing but blanks has come.
    #[default]
    Unknown,
    Events,
    Whole,
}

impl Frames {
    /// Takes more bytes and returns the events that are complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        self.rest.extend_from_slice(bytes);
        if self.kind == Kind::Unknown {
            self.kind = kind_of(&self.rest);
        }
        match self.kind {
            Kind::Events => self.complete_events(),
            Kind::Unknown | Kind::Whole => Vec::new(),
        }
    }

    /// Whether what comes is a stream of events.
    pub(super) fn is_stream(&self) -> bool {
        self.kind == Kind::Events
    }

    /// Returns what is left at the end: the whole reply, or an event without the blank line after it.
    pub(super) fn finish(mut self) -> Option<String> {
        if self.kind == Kind::Events {
            let line = std::mem::take(&mut self.rest);
            self.line(&line);
            return self.data.take();
        }
        Some(String::from_utf8_lossy(&self.rest).into_owned())
    }

    fn complete_events(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        let mut from = 0;
        while let Some((end, next)) = line_end(&self.rest, from) {
            let line = self.rest[from..end].to_vec();
            from = next;
            if line.is_empty() {
                events.extend(self.data.take());
            } else {
                self.line(&line);
            }
        }
        self.rest.drain(..from);
        events
    }

    /// Takes one line. Only `data` matters: the events of all formats say themselves what they are.
    fn line(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let Some(data) = text.strip_prefix("data:") else { return };
        let data = data.strip_prefix(' ').unwrap_or(data);
        match &mut self.data {
            Some(before) => {
                before.push('\n');
                before.push_str(data);
            }
            None => self.data = Some(data.to_owned()),
        }
    }
}

/// A stream begins with a field or a comment; a JSON value cannot.
fn kind_of(bytes: &[u8]) -> Kind {
    let fields = [&b":"[..], b"data:", b"event:", b"id:", b"retry:"];
    let text = bytes.trim_ascii_start();
    if fields.iter().any(|it| text.starts_with(it)) {
        Kind::Events
    } else if fields.iter().any(|it| it.starts_with(text)) {
        Kind::Unknown
    } else {
        Kind::Whole
    }
}

/// Returns where the line that begins at `from` ends, and where the next one begins. A carriage return at
/// the very end may be half of a pair, so it waits.
fn line_end(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let end = from + bytes[from..].iter().position(|it| matches!(it, b'\n' | b'\r'))?;
    match (bytes[end], bytes.get(end + 1)) {
        (b'\r', None) => None,
        (b'\r', Some(b'\n')) => Some((end, end + 2)),
        _ => Some((end, end + 1)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Frames;

    /// The events of `text`, fed in pieces of `size` bytes.
    fn events(text: &str, size: usize) -> Vec<String> {
        let mut frames = Frames::default();
        let mut found: Vec<String> = text.as_bytes().chunks(size.max(1)).flat_map(|it| frames.push(it)).collect();
        found.extend(frames.finish());
        found
    }

    #[test]
    fn events_are_found_whatever_their_line_ends_and_whole_replies_stay_whole() {
        for (text, expected) in [
            ("data: {\"a\":1}\n\ndata: [DONE]\n\n", vec!["{\"a\":1}", "[DONE]"]),
            ("event: x\r\ndata: 1\r\n\r\n: ping\r\n\r\ndata:2\r\n\r\n", vec!["1", "2"]),
            ("data: 1\ndata: 2\n\n", vec!["1\n2"]),
            ("data: 1\r\rdata: 2\r\r\n", vec!["1", "2"]),
            ("data: cut in the mid", vec!["cut in the mid"]),
            ("event: x\n\n", vec![]),
            (": only a comment\n\n", vec![]),
            (" {\"choices\": []}\n", vec![" {\"choices\": []}\n"]),
            ("<html>", vec!["<html>"]),
            ("", vec![""]),
        ] {
            for size in [1, 2, 7, 100] {
                assert_eq!(events(text, size), expected, "{text:?} in pieces of {size}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it_and_no_cut_changes_it(text in "(data: ?|event: |[a-zé{}\\[\\]: ]|\r|\n){0,40}", size in 1_usize..9) {
            prop_assert_eq!(events(&text, size), events(&text, 1_000));
        }
    }
}
