//! When a change is told: at most once a second for each subject, at once where somebody waits for exactly
//! this. Pure: the time comes in.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// Least time between two announcements of one subject (mcp.md 2.2).
const INTERVAL: Duration = Duration::from_secs(1);

/// How much a change matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// One of many: may wait and be told together with the next.
    Progress,
    /// An end or a pause: nothing may follow it for long.
    Settled,
}

/// What was announced when, and what is still to be.
pub(super) struct Pace<T> {
    subjects: HashMap<T, Told>,
}

struct Told {
    last: Instant,
    is_due: bool,
}

impl<T> Default for Pace<T> {
    fn default() -> Self {
        Self { subjects: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> Pace<T> {
    /// Takes a change and says whether to tell it now; if not, [`Pace::take_due`] does later.
    pub fn changed(&mut self, subject: &T, urgency: Urgency, now: Instant) -> bool {
        let Some(told) = self.subjects.get_mut(subject) else {
            self.subjects.insert(subject.clone(), Told { last: now, is_due: false });
            return true;
        };
        if urgency == Urgency::Settled || now >= told.last + INTERVAL {
            *told = Told { last: now, is_due: false };
            return true;
        }
        told.is_due = true;
        false
    }

    /// When [`Pace::take_due`] next has something; `None` while nothing waits.
    pub fn next_due(&self) -> Option<Instant> {
        self.subjects.values().filter(|it| it.is_due).map(|it| it.last + INTERVAL).min()
    }

    /// Returns what has waited long enough, and forgets what has been quiet.
    pub fn take_due(&mut self, now: Instant) -> Vec<T> {
        let mut due = Vec::new();
        self.subjects.retain(|subject, told| {
            if now < told.last + INTERVAL {
                return true;
            }
            if told.is_due {
                due.push(subject.clone());
                *told = Told { last: now, is_due: false };
                return true;
            }
            false
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_busy_subject_is_told_once_a_second_and_its_end_at_once() {
        let begin = Instant::now();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let mut pace = Pace::default();
        let mut told = Vec::new();
        for ms in (0..2_500).step_by(100) {
            if pace.changed(&"a", Urgency::Progress, at(ms)) {
                told.push(ms);
            }
        }
        assert_eq!(told, [0, 1_000, 2_000]);
        assert_eq!(pace.next_due(), Some(at(3_000)));
        assert!(pace.changed(&"a", Urgency::Settled, at(2_500)), "an end waits for nothing");
        assert_eq!(pace.next_due(), None, "what was due has been told with it");
        assert!(pace.changed(&"b", Urgency::Progress, at(2_510)), "each subject has its own second");
    }

    #[tokio::test]
    async fn the_last_change_is_told_too_and_quiet_subjects_are_forgotten() {
        let begin = Instant::now();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let mut pace = Pace::default();
        assert!(pace.changed(&"a", Urgency::Progress, at(0)));
        assert!(!pace.changed(&"a", Urgency::Progress, at(10)));
        assert_eq!(pace.take_due(at(999)), Vec::<&str>::new());
        assert_eq!(pace.take_due(at(1_000)), ["a"]);
        assert_eq!(pace.take_due(at(2_000)), Vec::<&str>::new());
        assert!(pace.subjects.is_empty());
    }
}
