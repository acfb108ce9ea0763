//! How much work on the database to do at once, so that whoever writes meanwhile hardly notices.

use std::time::Duration;

use tokio::time::Instant;

/// How long one transaction of maintenance should take at most: others wait for it.
const STEP: Duration = Duration::from_millis(20);
/// Longest pause between two steps.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// The size of the next step. It grows while steps are quick and shrinks when one was slow.
pub(super) struct Pace {
    size: usize,
    bounds: (usize, usize),
    is_shared: bool,
    began: Instant,
}

impl Pace {
    /// Steps between `size_min` and `size_max`; `is_shared` says whether another process may want the lock, which
    /// it cannot queue for.
    pub fn new(size_min: usize, size_max: usize, is_shared: bool) -> Self {
        Self { size: size_min, bounds: (size_min, size_max), is_shared, began: Instant::now() }
    }

    /// The size of the step that begins now.
    pub fn begin(&mut self) -> usize {
        self.began = Instant::now();
        self.size
    }

    /// Takes note of the end of the step and lets others go first.
    pub async fn end(&mut self) {
        let took = self.began.elapsed();
        self.size = next_size(self.size, self.bounds, took);
        match pause_after(took, self.is_shared) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => tokio::task::yield_now().await,
        }
    }
}

/// Others in this process queue and come next anyway; another process only tries now and then, so it gets twice
/// the time that the step took.
fn pause_after(took: Duration, is_shared: bool) -> Option<Duration> {
    is_shared.then(|| (took * 2).min(PAUSE_MAX))
}

fn next_size(size: usize, (min, max): (usize, usize), took: Duration) -> usize {
    if took > STEP { (size / 2).max(min) } else { (size * 2).min(max) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_grow_while_they_are_quick_and_stay_within_bounds() {
        let (quick, slow) = (STEP / 2, STEP * 2);
        for (size, took, want) in [(10, quick, 20), (400, quick, 500), (400, slow, 200), (15, slow, 10), (10, slow, 10)]
        {
            assert_eq!(next_size(size, (10, 500), took), want, "{size} {took:?}");
        }
    }

    #[test]
    fn another_process_gets_twice_the_time_of_a_step() {
        for (took_ms, is_shared, want_ms) in [(10, true, Some(20)), (10, false, None), (5_000, true, Some(100))] {
            let pause = pause_after(Duration::from_millis(took_ms), is_shared);
            assert_eq!(pause, want_ms.map(Duration::from_millis), "{took_ms} {is_shared}");
        }
    }
}
