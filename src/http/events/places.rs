//! How many streams of events may be open at once: of everybody, and of each principal where they are known.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;
use crate::limits;

/// The places for streams of one server.
pub(super) struct Places {
    all: Arc<Semaphore>,
    /// For sockets that have not said yet whose they are: they take no place from those who have.
    unnamed: Arc<Semaphore>,
    principals: Mutex<HashMap<Arc<str>, usize>>,
}

/// A place that is given back when it is dropped.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    of: Option<(Arc<Places>, Arc<str>)>,
}

impl Places {
    /// All of them are free.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            all: Arc::new(Semaphore::new(limits::EVENT_STREAMS_MAX)),
            unnamed: Arc::new(Semaphore::new(limits::UNNAMED_SOCKETS_MAX)),
            principals: Mutex::default(),
        })
    }

    /// Takes a place, for `principal` where clients say who they are.
    ///
    /// # Errors
    ///
    /// `TOO_MANY_STREAMS`.
    pub fn take(self: &Arc<Self>, principal: Option<&str>) -> Result<Place, Error> {
        let permit = Arc::clone(&self.all).try_acquire_owned();
        let permit = permit.map_err(|_| too_many(format!("{} streams are open", limits::EVENT_STREAMS_MAX)))?;
        let Some(principal) = principal else { return Ok(Place { _permit: permit, of: None }) };
        let principal: Arc<str> = Arc::from(principal);
        let mut principals = self.principals();
        let n_open = principals.entry(Arc::clone(&principal)).or_default();
        if *n_open >= limits::EVENT_STREAMS_PER_PRINCIPAL {
            return Err(too_many(format!("you have {n_open} streams open")));
        }
        *n_open += 1;
        Ok(Place { _permit: permit, of: Some((Arc::clone(self), principal)) })
    }

    /// Takes a place for a socket until it has said whose it is.
    ///
    /// # Errors
    ///
    /// `TOO_MANY_STREAMS`.
    pub fn take_unnamed(&self) -> Result<Place, Error> {
        let permit = Arc::clone(&self.unnamed).try_acquire_owned();
        let permit = permit.map_err(|_| too_many("too many clients have yet to say who they are".to_owned()))?;
        Ok(Place { _permit: permit, of: None })
    }

    /// How many are taken.
    pub fn n_taken(&self) -> usize {
        limits::EVENT_STREAMS_MAX - self.all.available_permits()
    }

    fn principals(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, usize>> {
        self.principals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((places, principal)) = &self.of else { return };
        let mut principals = places.principals();
        if let Some(n_open) = principals.get_mut(principal) {
            *n_open -= 1;
            if *n_open == 0 {
                principals.remove(principal);
            }
        }
    }
}

fn too_many(message: String) -> Error {
    Error::limit("TOO_MANY_STREAMS", message)
        .hint("close streams that nobody reads any more; one WebSocket can follow many executions")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_has_few_places_the_server_many_and_each_comes_back() {
        let places = Places::new();
        let of_ada: Vec<Place> =
            (0..limits::EVENT_STREAMS_PER_PRINCIPAL).map(|_| places.take(Some("ada")).expect("free")).collect();
        let refused = places.take(Some("ada")).err().expect("one too many");
        assert_eq!((refused.code(), refused.message()), ("TOO_MANY_STREAMS", "you have 5 streams open"));
        let of_bob = places.take(Some("bob")).expect("another's");
        let n_others = limits::EVENT_STREAMS_MAX - of_ada.len() - 1;
        let others: Vec<Place> = (0..n_others).map(|_| places.take(None).expect("free")).collect();
        assert_eq!(places.take(None).err().expect("full").message(), "256 streams are open");
        assert_eq!(places.n_taken(), 256);
        drop(of_ada);
        assert!(places.take(Some("ada")).is_ok());
        drop((of_bob, others));
        assert_eq!((places.n_taken(), places.principals().len()), (0, 0));
    }

    #[test]
    fn who_has_not_said_who_they_are_takes_no_place_from_others() {
        let places = Places::new();
        let unnamed: Vec<Place> =
            (0..limits::UNNAMED_SOCKETS_MAX).map(|_| places.take_unnamed().expect("free")).collect();
        assert!(places.take_unnamed().is_err());
        assert_eq!(places.n_taken(), 0);
        drop(unnamed);
        assert!(places.take_unnamed().is_ok());
    }
}
