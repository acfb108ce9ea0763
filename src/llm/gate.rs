//! Who may call with a key right now: only so many at once, and nobody while a provider has asked to slow
//! down. Shared by the whole process, so that ten nodes do not run into the same limit ten times.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::endpoint::Endpoint;
use crate::limits;

/// One gate for each key at each address.
#[derive(Default)]
pub(super) struct Gates(Mutex<HashMap<String, Arc<Gate>>>);

struct Gate {
    calls: Arc<Semaphore>,
    closed_until: Mutex<Option<Instant>>,
}

/// The right to make one call; others get it when this is dropped.
pub(super) struct Pass {
    gate: Arc<Gate>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Gates {
    /// Waits until `endpoint` may be called.
    pub(super) async fn enter(&self, endpoint: &Endpoint) -> Pass {
        let gate = self.gate(endpoint);
        // The semaphore is never closed, so there always is a permit in the end.
        let permit = Arc::clone(&gate.calls).acquire_owned().await.ok();
        while let Some(until) = gate.closed_until().filter(|it| Instant::now() < *it) {
            tokio::time::sleep_until(until).await;
        }
        Pass { gate, _permit: permit }
    }

    fn gate(&self, endpoint: &Endpoint) -> Arc<Gate> {
        let key = endpoint.key.as_ref().map(|it| hex::encode(Sha256::digest(it.expose().as_bytes())));
        let name = format!("{} {} {}", endpoint.service.name(), endpoint.base_url, key.unwrap_or_default());
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            Arc::new(Gate {
                calls: Arc::new(Semaphore::new(limits::MODEL_CALLS_PER_KEY_MAX)),
                closed_until: Mutex::new(None),
            })
        };
        Arc::clone(gates.entry(name).or_insert_with(new))
    }
}

impl Gate {
    fn closed_until(&self) -> Option<Instant> {
        *self.closed_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// Closes the gate for `ms`, at most the longest pause between attempts.
    pub(super) fn rest(&self, ms: u64) {
        let until = Instant::now() + Duration::from_millis(ms.min(limits::RETRY_DELAY_MS_MAX));
        let mut closed_until = self.gate.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        *closed_until = Some(closed_until.map_or(until, |it| it.max(until)));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::super::chat;
    use super::*;
    use crate::diagram::Service;
    use crate::secret::Secret;

    fn endpoint(key: &str) -> Endpoint {
        Endpoint {
            service: Service::OpenAi,
            base_url: "http://localhost".to_owned(),
            key: Secret::new(key),
            model: "m".to_owned(),
            wire: &chat::CHAT,
            is_official: false,
        }
    }

    #[tokio::test]
    async fn a_key_that_was_asked_to_slow_down_rests_and_others_go_on() {
        let gates = Gates::default();
        gates.enter(&endpoint("mine")).await.rest(30_000);
        assert!(gates.enter(&endpoint("mine")).now_or_never().is_none(), "the key rests");
        assert!(gates.enter(&endpoint("other")).now_or_never().is_some(), "another key does not");
    }

    #[tokio::test]
    async fn only_so_many_calls_of_a_key_are_made_at_once() {
        let gates = Gates::default();
        let mut passes = Vec::new();
        for _ in 0..limits::MODEL_CALLS_PER_KEY_MAX {
            passes.push(gates.enter(&endpoint("mine")).await);
        }
        assert!(gates.enter(&endpoint("mine")).now_or_never().is_none());
        passes.pop();
        assert!(gates.enter(&endpoint("mine")).now_or_never().is_some());
    }
}
