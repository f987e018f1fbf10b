//! A future that runs in a runtime's threads, as a future that the awaiting task polls.
//!
//! It is handed to the runtime when it is first polled. Its result comes back through a `Slot`, and is converted where it is
//! awaited. So the runtime's threads never attach. Invariant: a slot is filled once, also if the runtime drops the future.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::generic::Runtime;
use crate::home::{AtHome, Home};
use crate::panic::{Payload, exception};

enum Outcome<T> {
    Returned(PyResult<T>),
    Panicked(Payload),
    /// The runtime dropped it.
    Dropped,
}

struct Slot<T> {
    outcome: Option<Outcome<T>>,
    waker: Option<Waker>,
    /// Comes back with the outcome: its Python objects are dropped on the loop's thread.
    home: Option<Home>,
}

fn lock<T>(slot: &Mutex<Slot<T>>) -> MutexGuard<'_, Slot<T>> {
    // Nothing under the lock can panic, except for the clone of a waker, which changes nothing.
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A future on its way through the runtime `R`.
pub(crate) struct Spawned<R: Runtime, F, T> {
    stage: Stage<R, F, T>,
}

enum Stage<R: Runtime, F, T> {
    Fresh(F),
    /// The task stops when it is dropped.
    Running(Arc<Mutex<Slot<T>>>, #[allow(dead_code, reason = "kept for its drop")] R::Task),
    Finished,
}

// The future moves into the runtime before it is polled, so it isn't pinned here.
impl<R: Runtime, F, T> Unpin for Spawned<R, F, T> {}

impl<R: Runtime, F, T> Spawned<R, F, T> {
    pub(crate) fn new(future: F) -> Self {
        Self { stage: Stage::Fresh(future) }
    }
}

impl<R, F, T> Future for Spawned<R, F, T>
where
    R: Runtime,
    F: Future<Output = PyResult<T>> + Send + 'static,
    T: Send + 'static,
{
    type Output = PyResult<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<PyResult<T>> {
        let slot = match std::mem::replace(&mut self.stage, Stage::Finished) {
            Stage::Fresh(future) => {
                let home = Python::attach(Home::current)?;
                let slot = Arc::new(Mutex::new(Slot {
                    outcome: None,
                    waker: Some(context.waker().clone()),
                    home: None,
                }));
                let filling =
                    Filling { slot: slot.clone(), future: AtHome::new(home, future), filled: false };
                self.stage = Stage::Running(slot, R::spawn(filling));
                return Poll::Pending;
            }
            Stage::Running(slot, task) => {
                self.stage = Stage::Running(slot.clone(), task);
                slot
            }
            Stage::Finished => return Poll::Pending,
        };
        let (outcome, old, home) = {
            let mut slot = lock(&slot);
            let outcome = slot.outcome.take();
            let old = match (&outcome, &slot.waker) {
                (None, Some(known)) if known.will_wake(context.waker()) => None,
                (None, _) => slot.waker.replace(context.waker().clone()),
                (Some(_), _) => slot.waker.take(),
            };
            (outcome, old, slot.home.take())
        };
        drop((old, home));
        match outcome {
            None => Poll::Pending,
            Some(outcome) => {
                self.stage = Stage::Finished;
                Poll::Ready(match outcome {
                    Outcome::Returned(result) => result,
                    Outcome::Panicked(payload) => Err(exception(&*payload)),
                    Outcome::Dropped => Err(PyRuntimeError::new_err("the runtime has dropped the future")),
                })
            }
        }
    }
}

pin_project_lite::pin_project! {
    /// What the runtime runs: fills the slot, whatever happens.
    struct Filling<F, T> {
        slot: Arc<Mutex<Slot<T>>>,
        #[pin]
        future: AtHome<F>,
        filled: bool,
    }

    impl<F, T> PinnedDrop for Filling<F, T> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if !*this.filled {
                fill(this.slot, Outcome::Dropped, this.future.leave());
            }
        }
    }
}

impl<F: Future<Output = PyResult<T>>, T> Future for Filling<F, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let outcome = match catch_unwind(AssertUnwindSafe(|| this.future.as_mut().poll(context))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => Outcome::Returned(result),
            Err(payload) => Outcome::Panicked(payload),
        };
        *this.filled = true;
        fill(this.slot, outcome, this.future.leave());
        Poll::Ready(())
    }
}

fn fill<T>(slot: &Mutex<Slot<T>>, outcome: Outcome<T>, home: Option<Home>) {
    let waker = {
        let mut slot = lock(slot);
        slot.outcome = Some(outcome);
        slot.home = home;
        slot.waker.take()
    };
    if let Some(waker) = waker {
        waker.wake();
    }
}
