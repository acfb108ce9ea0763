//! What calls of providers share within a process: paces, tokens, and the keys of the environment.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::Error;
use crate::integrations::manifest::{Manifest, Operation, RateLimit};
use crate::integrations::pace::Pace;
use crate::secret::Secret;

/// Shared by all executions.
pub struct Providers {
    variables: BTreeMap<String, Secret>,
    paces: Mutex<HashMap<String, Pace>>,
    tokens: Mutex<HashMap<String, Token>>,
    /// In a replay every key and token is this one, and nobody waits for a turn.
    stand_in: Option<Secret>,
}

/// A token that was got for a key.
#[derive(Clone)]
struct Token {
    token: Secret,
    /// `None`: the server did not say.
    ends: Option<Timestamp>,
}

impl Default for Providers {
    fn default() -> Self {
        Self::new(BTreeMap::new())
    }
}

impl Providers {
    /// `variables` are the environment variables that hold keys.
    pub fn new(variables: BTreeMap<String, Secret>) -> Self {
        Self { variables, paces: Mutex::default(), tokens: Mutex::default(), stand_in: None }
    }

    /// Those of a replay, whose requests go nowhere: `stand_in` is what recordings show of every key.
    pub fn of_replay(stand_in: Secret) -> Self {
        Self { stand_in: Some(stand_in), ..Self::default() }
    }

    /// The key in an environment variable.
    pub fn variable(&self, name: &str) -> Option<Secret> {
        self.stand_in.clone().or_else(|| self.variables.get(name).cloned())
    }

    /// Takes the turn of one request and returns how long to wait for it.
    ///
    /// # Errors
    ///
    /// `RATE_LIMITED` when it would not come within `patience`.
    pub fn turn(
        &self,
        manifest: &Manifest,
        operation: &Operation,
        now: Timestamp,
        patience: Duration,
    ) -> Result<Duration, Error> {
        if self.stand_in.is_some() {
            return Ok(Duration::ZERO);
        }
        let (key, limit) = match (&operation.rate_limit, &manifest.rate_limit) {
            (Some(own), _) => (format!("{}/{}", manifest.name, operation.name), own),
            (None, Some(shared)) => (manifest.name.clone(), shared),
            (None, None) => return Ok(Duration::ZERO),
        };
        self.reserve(key, limit, now, patience).map_err(|wait| {
            let message = format!("`{}` allows the next request in {} s only", manifest.name, wait.as_secs() + 1);
            Error::limit("RATE_LIMITED", message)
                .hint("give the node a longer `timeout`, send fewer requests, or correct `rate_limit` of the manifest")
        })
    }

    fn reserve(
        &self,
        key: String,
        limit: &RateLimit,
        now: Timestamp,
        patience: Duration,
    ) -> Result<Duration, Duration> {
        let now = Duration::from_millis(u64::try_from(now.0).unwrap_or(0));
        let mut paces = lock(&self.paces);
        let pace = paces.entry(key).or_insert_with(|| Pace::new(limit.clone()));
        // The manifest was edited.
        if !pace.is_of(limit) {
            *pace = Pace::new(limit.clone());
        }
        pace.reserve(now, patience)
    }

    /// A token that is still good.
    pub(super) fn token(&self, key: &str, now: Timestamp) -> Option<Secret> {
        if let Some(stand_in) = &self.stand_in {
            return Some(stand_in.clone());
        }
        let tokens = lock(&self.tokens);
        let found = tokens.get(key)?;
        found.ends.is_none_or(|it| now < it).then(|| found.token.clone())
    }

    /// Keeps a token for its time, less a little.
    pub(super) fn keep_token(&self, key: String, token: Secret, now: Timestamp, lasts: Option<Duration>) {
        const EARLY: Duration = Duration::from_secs(30);
        let ends = lasts.map(|it| now.plus_ms(i64::try_from(it.saturating_sub(EARLY).as_millis()).unwrap_or(i64::MAX)));
        lock(&self.tokens).insert(key, Token { token, ends });
    }

    /// Forgets a token that the server does not take.
    pub(super) fn forget_token(&self, key: &str) {
        lock(&self.tokens).remove(key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrations::read;

    #[test]
    fn requests_share_a_pace_and_wait_for_their_turn() {
        let text = "name: x\nbase_url: http://x\nauth: {strategy: none}\nrate_limit: {capacity: 1, refill_per_sec: 0.5}\n\
                    operations:\n  a: {method: GET, path: /}\n  b: {method: GET, path: /, rate_limit_override: {capacity: 1}}\n";
        let manifest = read(text).manifest.expect("valid");
        let (a, b) = (&manifest.operations[0], &manifest.operations[1]);
        let providers = Providers::default();
        let now = Timestamp(1_767_323_045_678);
        let turn = |operation, patience_s| providers.turn(&manifest, operation, now, Duration::from_secs(patience_s));
        for (operation, wait_s) in [(a, 0), (b, 0), (a, 2), (a, 4)] {
            assert_eq!(turn(operation, 5).expect("in time").as_secs_f64().round() as u64, wait_s, "{}", operation.name);
        }
        assert_eq!(turn(a, 5).expect_err("too late").code(), "RATE_LIMITED");
    }

    #[test]
    fn a_token_is_kept_for_its_time() {
        let providers = Providers::default();
        let token = Secret::new("token").expect("text");
        let now = Timestamp(1_000);
        providers.keep_token("k".to_owned(), token.clone(), now, Some(Duration::from_secs(60)));
        assert_eq!(providers.token("k", now.plus_ms(29_000)), Some(token));
        assert_eq!(providers.token("k", now.plus_ms(31_000)), None);
    }
}
