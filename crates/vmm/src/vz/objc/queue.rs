//! Things that may be touched on one serial dispatch queue only.

use std::sync::Arc;

use dispatch2::{DispatchQueue, DispatchQueueAttr, DispatchRetained};
use tokio::sync::oneshot;

use crate::vz::error::{Cause, FrameworkError};

/// Carries a value between threads that must not look at it.
struct Carried<T>(T);

// SAFETY: the value is only reached through `OnQueue`, whose closures all run on one serial queue: never on two
// threads at once, and each sees what the one before did.
unsafe impl<T> Send for Carried<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Carried<T> {}

/// A value that lives on a queue of its own. It is released there too.
pub(super) struct OnQueue<T: 'static> {
    queue: DispatchRetained<DispatchQueue>,
    /// Taken by the drop alone.
    value: Option<Arc<Carried<T>>>,
}

impl<T: 'static> OnQueue<T> {
    /// Makes the value on a new queue, and something to be taken along.
    pub(super) fn new<A: Send>(
        name: &str,
        make: impl FnOnce(&DispatchRetained<DispatchQueue>) -> Result<(T, A), FrameworkError> + Send,
    ) -> Result<(Self, A), FrameworkError> {
        let queue = DispatchQueue::new(name, DispatchQueueAttr::SERIAL);
        let mut outcome = None;
        let (place, handed) = (&mut outcome, queue.clone());
        queue.exec_sync(move || *place = Some(make(&handed).map(|(value, along)| (Carried(value), along))));
        let (value, along) = outcome.expect("exec_sync returns after its closure ran")?;
        Ok((Self { queue, value: Some(Arc::new(value)) }, along))
    }

    fn value(&self) -> &Arc<Carried<T>> {
        self.value.as_ref().expect("taken by the drop alone")
    }

    /// Looks at the value on its queue, and waits for that. Never from a closure on the queue.
    pub(super) fn look<R: Send>(&self, look: impl FnOnce(&T) -> R + Send) -> R {
        let mut seen = None;
        let place = &mut seen;
        let value = self.value();
        self.queue.exec_sync(move || *place = Some(look(&value.0)));
        seen.expect("exec_sync returns after its closure ran")
    }

    /// Does something on the queue, some time.
    pub(super) fn later(&self, act: impl FnOnce(&T) + Send + 'static) {
        let value = Arc::clone(self.value());
        self.queue.exec_async(move || {
            let value = value;
            act(&value.0);
        });
    }

    /// Begins a call on the queue and gives its answer, which may come from any thread.
    pub(super) async fn call<R: Send + 'static>(
        &self,
        begin: impl FnOnce(&T, Answer<R>) + Send + 'static,
    ) -> Result<R, FrameworkError> {
        let (answer, told) = answer();
        let value = Arc::clone(self.value());
        self.queue.exec_async(move || {
            // Not captured in pieces: the whole reference is let go here, on the queue.
            let value = value;
            begin(&value.0, answer);
        });
        told.await
    }
}

impl<T: 'static> Drop for OnQueue<T> {
    fn drop(&mut self) {
        let value = self.value.take();
        // After every closure that was queued before it: this is the last reference, or one that a call still holds.
        self.queue.exec_async(move || drop(value));
    }
}

/// Where the answer to a call goes, and the answer when it has come.
pub(super) fn answer<R: Send>() -> (Answer<R>, impl Future<Output = Result<R, FrameworkError>> + Send) {
    let (tell, told) = oneshot::channel();
    let told = async {
        told.await.unwrap_or_else(|_| {
            Err(FrameworkError::new(Cause::Internal, "the framework let go of the call without an answer"))
        })
    };
    (Answer(tell), told)
}

/// Where the answer to a call goes. Nobody may wait for it any more, which is no error.
pub(super) struct Answer<R>(oneshot::Sender<Result<R, FrameworkError>>);

impl<R> Answer<R> {
    pub(super) fn give(self, answer: Result<R, FrameworkError>) {
        let _ = self.0.send(answer);
    }
}
