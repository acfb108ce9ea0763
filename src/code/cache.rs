//! Remembers what a text was compiled to. Diagrams run the same few texts over and over.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Most entries of one cache: far more texts than live diagrams have, few enough to stay small.
const ENTRIES_MAX: usize = 1_000;

/// Compiled texts by key, shared by all threads.
#[derive(Debug)]
pub(super) struct Cache<K, V>(Mutex<HashMap<K, Arc<V>>>);

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K: Eq + Hash, V> Cache<K, V> {
    /// Returns the entry of `key`, making it with `compile` when it is new. Failures are not kept.
    /// Two callers may compile the same text at the same moment; both get a right answer.
    ///
    /// # Errors
    ///
    /// Whatever `compile` fails with.
    pub(super) fn get_or_try<E>(&self, key: K, compile: impl FnOnce(&K) -> Result<V, E>) -> Result<Arc<V>, E> {
        if let Some(known) = self.lock().get(&key) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(compile(&key)?);
        let mut entries = self.lock();
        // Starting over is rare and cheaper than keeping an order of use for every hit.
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        entries.insert(key, Arc::clone(&made));
        Ok(made)
    }

    /// Returns a copy of the entry of `key`, making it when it is new.
    pub(super) fn get_or_make(&self, key: K, make: impl FnOnce() -> V) -> V
    where
        V: Clone,
    {
        let Ok(made) = self.get_or_try(key, |_| Ok::<V, std::convert::Infallible>(make()));
        V::clone(&made)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, Arc<V>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_compiled_once_and_a_failure_again() {
        let cache = Cache::<&str, usize>::default();
        let mut n_compiled = 0;
        for _ in 0..3 {
            let length = cache.get_or_try("abc", |text| {
                n_compiled += 1;
                Ok::<_, ()>(text.len())
            });
            assert_eq!(length.as_deref(), Ok(&3));
        }
        assert_eq!(n_compiled, 1);
        assert_eq!(cache.get_or_try("bad", |_| Err("no")), Err("no"));
        assert_eq!(cache.get_or_try("bad", |_| Ok::<_, &str>(1)).as_deref(), Ok(&1));
    }
}
