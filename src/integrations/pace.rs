//! How many requests may be sent in which time. Pure: moments come in as durations since some start.

use std::collections::VecDeque;
use std::time::Duration;

use super::manifest::{Algorithm, RateLimit};

/// The state of one limit, shared by everybody who calls the provider.
#[derive(Clone, Debug)]
pub struct Pace {
    limit: RateLimit,
    /// token_bucket: what is left, and since when. It may be owed.
    tokens: f64,
    counted_at: f64,
    /// leaky_bucket: when the next request may leave.
    free_at: f64,
    /// fixed_window: requests placed in this window and later ones.
    window: f64,
    n_in_window: u32,
    /// sliding_window: when the last requests were sent, or will be.
    sent: VecDeque<f64>,
}

impl Pace {
    /// Nothing sent yet.
    pub fn new(limit: RateLimit) -> Self {
        let tokens = f64::from(limit.capacity);
        Self { limit, tokens, counted_at: 0.0, free_at: 0.0, window: 0.0, n_in_window: 0, sent: VecDeque::new() }
    }

    /// Whether this is the state of `limit`.
    pub fn is_of(&self, limit: &RateLimit) -> bool {
        self.limit == *limit
    }

    /// Takes a place and returns how long to wait for it.
    ///
    /// # Errors
    ///
    /// The wait that would be necessary, when it is longer than `patience`; then no place is taken.
    pub fn reserve(&mut self, now: Duration, patience: Duration) -> Result<Duration, Duration> {
        let before = self.clone();
        let now = now.as_secs_f64();
        let at = match self.limit.algorithm {
            Algorithm::None => now,
            Algorithm::TokenBucket => self.in_bucket(now),
            Algorithm::LeakyBucket => {
                let at = self.free_at.max(now);
                self.free_at = at + 1.0 / self.limit.refill_per_sec;
                at
            }
            Algorithm::FixedWindow => self.in_window(now),
            Algorithm::SlidingWindow => self.in_sliding_window(now),
        };
        let wait = Duration::try_from_secs_f64((at - now).max(0.0)).unwrap_or(Duration::MAX);
        if wait > patience {
            *self = before;
            return Err(wait);
        }
        Ok(wait)
    }

    fn in_bucket(&mut self, now: f64) -> f64 {
        let rate = self.limit.refill_per_sec;
        let refilled = self.tokens + (now - self.counted_at).max(0.0) * rate;
        self.tokens = refilled.min(f64::from(self.limit.capacity)) - 1.0;
        self.counted_at = now;
        if self.tokens >= 0.0 { now } else { now - self.tokens / rate }
    }

    fn in_window(&mut self, now: f64) -> f64 {
        let size = self.limit.window_size_sec;
        let current = (now / size).floor();
        if current > self.window {
            (self.window, self.n_in_window) = (current, 0);
        }
        if self.n_in_window >= self.limit.capacity {
            (self.window, self.n_in_window) = (self.window + 1.0, 0);
        }
        self.n_in_window += 1;
        (self.window * size).max(now)
    }

    fn in_sliding_window(&mut self, now: f64) -> f64 {
        let size = self.limit.window_size_sec;
        let capacity = usize::try_from(self.limit.capacity).unwrap_or(usize::MAX);
        while self.sent.len() > capacity || self.sent.front().is_some_and(|it| *it + size <= now) {
            self.sent.pop_front();
        }
        let at = match self.sent.len().checked_sub(capacity).and_then(|it| self.sent.get(it)) {
            Some(oldest) => (oldest + size).max(now),
            None => now,
        };
        self.sent.push_back(at);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(algorithm: Algorithm) -> RateLimit {
        RateLimit { algorithm, capacity: 2, refill_per_sec: 1.0, window_size_sec: 10.0 }
    }

    /// The waits, in whole tenths of a second, of requests at these seconds.
    fn waits(algorithm: Algorithm, at: &[f64]) -> Vec<u64> {
        let mut pace = Pace::new(limit(algorithm));
        let wait = |at: &f64| pace.reserve(Duration::from_secs_f64(*at), Duration::from_secs(1_000)).expect("patient");
        at.iter().map(wait).map(|it| (it.as_secs_f64() * 10.0).round() as u64).collect()
    }

    #[test]
    fn each_algorithm_spaces_requests_its_own_way() {
        for (algorithm, at, expected) in [
            (Algorithm::None, vec![0.0, 0.0, 0.0], vec![0, 0, 0]),
            (Algorithm::TokenBucket, vec![0.0, 0.0, 0.0, 0.0, 10.0, 10.0, 10.0], vec![0, 0, 10, 20, 0, 0, 10]),
            (Algorithm::LeakyBucket, vec![0.0, 0.0, 0.0, 9.0], vec![0, 10, 20, 0]),
            (Algorithm::FixedWindow, vec![1.0, 9.0, 9.0, 9.0, 9.0], vec![0, 0, 10, 10, 110]),
            (Algorithm::SlidingWindow, vec![1.0, 9.0, 9.0, 9.0, 11.5], vec![0, 0, 20, 100, 95]),
        ] {
            assert_eq!(waits(algorithm, &at), expected, "{algorithm:?}");
        }
    }

    #[test]
    fn who_will_not_wait_takes_no_place() {
        for algorithm in
            [Algorithm::TokenBucket, Algorithm::LeakyBucket, Algorithm::FixedWindow, Algorithm::SlidingWindow]
        {
            let mut pace = Pace::new(limit(algorithm));
            let now = Duration::ZERO;
            while pace.reserve(now, Duration::ZERO).is_ok() {}
            let first = pace.reserve(now, Duration::ZERO).expect_err("it is full");
            assert_eq!(pace.reserve(now, Duration::ZERO), Err(first), "{algorithm:?}");
            assert_eq!(pace.reserve(now, Duration::from_secs(60)), Ok(first), "{algorithm:?}");
        }
    }
}
