//! Which sessions are new or have grown, and are quiet again. Pure: the time is given.

use std::collections::HashMap;

use crate::clock::Timestamp;

/// How long a session must not have grown before it is converted, in milliseconds.
pub(super) const QUIET_MS: i64 = 5_000;

/// What is known of the sessions of one folder.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched {
    sessions: HashMap<String, Seen>,
    is_started: bool,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    size_bytes: u64,
    /// When this size was first seen.
    since: Timestamp,
    /// The size that was converted; what was there at the beginning counts as that.
    done_bytes: Option<u64>,
}

impl Watched {
    /// Takes the sizes of all sessions as they are `now` and returns those to convert, in order. The first
    /// look only learns what there is.
    pub(super) fn look(&mut self, now: Timestamp, sizes: &[(String, u64)]) -> Vec<String> {
        self.sessions.retain(|id, _| sizes.iter().any(|it| it.0 == *id));
        let mut due = Vec::new();
        for (id, size_bytes) in sizes {
            let done_bytes = (!self.is_started).then_some(*size_bytes);
            let seen =
                self.sessions.entry(id.clone()).or_insert(Seen { size_bytes: *size_bytes, since: now, done_bytes });
            if seen.size_bytes != *size_bytes {
                (seen.size_bytes, seen.since) = (*size_bytes, now);
            }
            if seen.done_bytes != Some(seen.size_bytes) && now.since_ms(seen.since) >= QUIET_MS {
                seen.done_bytes = Some(seen.size_bytes);
                due.push(id.clone());
            }
        }
        self.is_started = true;
        due
    }

    /// Returns how long to wait until the first session may be due, in milliseconds; `None` when none is.
    pub(super) fn wait_ms(&self, now: Timestamp) -> Option<i64> {
        let open = self.sessions.values().filter(|it| it.done_bytes != Some(it.size_bytes));
        open.map(|it| (QUIET_MS - now.since_ms(it.since)).max(0)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_due_when_it_has_grown_and_been_quiet_for_five_seconds() {
        let mut watched = Watched::default();
        for (at_ms, sizes, due, wait_ms) in [
            (0, &[("old", 10)][..], &[][..], None),
            (1_000, &[("old", 10), ("new", 5)], &[], Some(5_000)),
            (3_000, &[("old", 10), ("new", 7)], &[], Some(5_000)),
            (7_999, &[("old", 10), ("new", 7)], &[], Some(1)),
            (8_000, &[("old", 10), ("new", 7)], &["new"], None),
            (20_000, &[("old", 10), ("new", 7)], &[], None),
            (30_000, &[("old", 11), ("new", 7)], &[], Some(5_000)),
            (31_000, &[("old", 11), ("new", 8)], &[], Some(4_000)),
            (36_000, &[("old", 11), ("new", 8)], &["old", "new"], None),
            // One that goes and comes again is new.
            (40_000, &[("old", 11)], &[], None),
            (41_000, &[("old", 11), ("new", 8)], &[], Some(5_000)),
            (46_000, &[("old", 11), ("new", 8)], &["new"], None),
        ] {
            let sizes: Vec<(String, u64)> = sizes.iter().map(|(id, size)| ((*id).to_owned(), *size)).collect();
            assert_eq!(watched.look(Timestamp(at_ms), &sizes), due, "at {at_ms}");
            assert_eq!(watched.wait_ms(Timestamp(at_ms)), wait_ms, "at {at_ms}");
        }
    }
}
