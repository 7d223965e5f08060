//! Connections that are used again.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::StoreError;

/// Connections, at most so many; who wants one more waits until one is given back.
pub(super) struct Pool<C> {
    most: usize,
    state: Mutex<State<C>>,
    changed: Condvar,
}

struct State<C> {
    idle: Vec<C>,
    lent: usize,
    being_made: usize,
    /// How often one could not be made, and why the last one could not.
    failures: u64,
    failure: String,
}

/// A connection that is lent. It goes back by [`Lent::keep`]; otherwise it is closed, also by a panic, for nobody knows what
/// state it is in.
pub(super) struct Lent<'a, C> {
    pool: &'a Pool<C>,
    connection: Option<C>,
    new: bool,
}

impl<C> Pool<C> {
    pub(super) fn new(most: usize) -> Self {
        let state = State { idle: Vec::new(), lent: 0, being_made: 0, failures: 0, failure: String::new() };
        Self { most, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Lends a connection: one that is idle, or a new one.
    ///
    /// # Errors
    /// None could be made. Who waited meanwhile fails too where there is none at all: a database that does not answer makes
    /// nobody wait twice.
    pub(super) fn take(
        &self,
        connect: impl FnOnce() -> Result<C, StoreError>,
    ) -> Result<Lent<'_, C>, StoreError> {
        let mut state = self.state();
        let failures = state.failures;
        loop {
            if let Some(connection) = state.idle.pop() {
                state.lent += 1;
                return Ok(Lent { pool: self, connection: Some(connection), new: false });
            }
            if state.failures != failures && state.lent == 0 {
                return Err(StoreError::Unavailable(state.failure.as_str().into()));
            }
            if state.lent + state.being_made < self.most {
                break;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.being_made += 1;
        drop(state);
        let place = Place(self);
        let made = connect();
        let mut state = self.state();
        match made {
            Ok(connection) => {
                state.lent += 1;
                drop(state);
                drop(place);
                Ok(Lent { pool: self, connection: Some(connection), new: true })
            }
            Err(error) => {
                state.failures += 1;
                state.failure = told(&error);
                drop(state);
                Err(error)
            }
        }
    }

    /// Takes out those that nobody uses.
    pub(super) fn idle(&self) -> Vec<C> {
        std::mem::take(&mut self.state().idle)
    }

    fn give_back(&self, connection: Option<C>) {
        let mut state = self.state();
        state.lent -= 1;
        state.idle.extend(connection);
        drop(state);
        self.changed.notify_one();
    }

    /// Nothing that can panic happens while it is locked.
    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a connection is being made.
struct Place<'a, C>(&'a Pool<C>);

impl<C> Drop for Place<'_, C> {
    fn drop(&mut self) {
        self.0.state().being_made -= 1;
        self.0.changed.notify_all();
    }
}

impl<C> Lent<'_, C> {
    /// Whether it was made just now.
    pub(super) fn is_new(&self) -> bool {
        self.new
    }

    /// Gives it back to be used again.
    pub(super) fn keep(mut self) {
        let connection = self.connection.take();
        self.pool.give_back(connection);
        std::mem::forget(self);
    }
}

impl<C> Drop for Lent<'_, C> {
    fn drop(&mut self) {
        // Closed before another one is made in its place.
        drop(self.connection.take());
        self.pool.give_back(None);
    }
}

impl<C> Deref for Lent<'_, C> {
    type Target = C;
    fn deref(&self) -> &C {
        self.connection.as_ref().expect("it is there until it is given back")
    }
}

impl<C> DerefMut for Lent<'_, C> {
    fn deref_mut(&mut self) -> &mut C {
        self.connection.as_mut().expect("it is there until it is given back")
    }
}

/// Why the last one could not be made, for those who did not see it.
fn told(error: &StoreError) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |error| error.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    if causes.is_empty() { error.to_string() } else { causes.join(": ") }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_connection_is_used_again_and_one_that_was_not_given_back_makes_room() {
        let pool = Pool::new(1);
        let made = AtomicUsize::new(0);
        let connect = || Ok(made.fetch_add(1, Ordering::Relaxed));
        let first = pool.take(connect).unwrap();
        assert!(first.is_new());
        first.keep();
        let again = pool.take(connect).unwrap();
        assert_eq!((again.is_new(), *again), (false, 0));
        drop(again);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _lent = pool.take(connect);
            panic!("in the midst of it");
        }));
        assert!(panicked.is_err());
        assert_eq!(*pool.take(connect).unwrap(), 2);
    }

    #[test]
    fn who_waits_gets_what_comes_back_and_fails_with_the_one_who_found_nothing() {
        let pool = Pool::new(1);
        std::thread::scope(|scope| {
            let lent = pool.take(|| Ok(7)).unwrap();
            let waiting = scope.spawn(|| pool.take(|| unreachable!("there is one")).map(|lent| *lent));
            std::thread::sleep(Duration::from_millis(50));
            lent.keep();
            assert_eq!(waiting.join().unwrap().unwrap(), 7);
        });
        std::thread::scope(|scope| {
            let (begun, begins) = std::sync::mpsc::channel();
            let fail = move || {
                begun.send(()).unwrap();
                // The other one has to come to its wait meanwhile.
                std::thread::sleep(Duration::from_secs(1));
                Err(StoreError::Unavailable("nobody listens".into()))
            };
            let failing = scope.spawn(|| pool.take(fail).map(|lent: Lent<'_, i32>| *lent));
            begins.recv().unwrap();
            let waited = pool.take(|| unreachable!("somebody else tried just now")).map(|lent| *lent);
            let Err(StoreError::Unavailable(why)) = waited else { panic!("{waited:?}") };
            assert_eq!(why.to_string(), "nobody listens");
            assert!(failing.join().unwrap().is_err());
        });
    }
}
