//! What a worker thread does: wait detached, run a job attached, post its outcome.
//!
//! A `threading.Thread` calls the `Worker` and is done when that returns, so profilers, thread-locals and names work
//! as in any thread. For a small job, most of the cost is getting the GIL from another thread. So a worker that has
//! it runs whatever else is queued before it lets go. And it doesn't ask for it while the submitting thread is about
//! to release it anyway. Invariant: a result is posted before the worker waits for anything, another job included.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::job::{Entry, Message};
use ferrio_engine::fork;

use super::Shared;
use crate::base::class::Class;
use crate::base::ffi::Guarded;
use crate::base::gc::{collected, gc};
use crate::core::event_loop::Item;

/// How long a worker keeps the interpreter while it runs short jobs one after the other.
const TURN: Duration = Duration::from_millis(1);

/// How long a worker waits for the submitting thread to release the interpreter before it asks. Asking costs both
/// threads system calls.
const PATIENCE: Duration = Duration::from_micros(50);

/// The main function of a worker thread.
#[pyclass(frozen, name = "_Worker", module = "ferrio._ferrio")]
pub(crate) struct Worker {
    shared: Arc<Shared>,
    /// What runs right now; shown to programs that ask what a pool is busy with.
    running: Guarded<Option<Running>>,
}

collected!(Worker { running } not { shared });

/// A call that a worker runs.
pub(super) struct Running {
    pub(super) function: Py<PyAny>,
    pub(super) arguments: Py<PyTuple>,
    /// The operation or future that waits for it.
    pub(super) awaited: Py<PyAny>,
}

gc!(Running { function, arguments, awaited });

impl Class for Worker {}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, running: Guarded::new(None) }
    }

    /// The function that runs right now.
    pub(super) fn running(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.running.with(py, |running| running.as_ref().map(|running| running.function.clone_ref(py)))
    }

    fn note(&self, py: Python<'_>, running: Option<Running>) {
        let old = self.running.with(py, |known| std::mem::replace(known, running));
        drop(old);
    }

    /// Runs a job. An error here comes from a future that isn't ours, or from a bug.
    fn run(&self, py: Python<'_>, entry: Entry) -> Option<Message> {
        let outcome = entry.run(py, |running| self.note(py, Some(running)));
        self.note(py, None);
        outcome.unwrap_or_else(|failure| {
            failure.write_unraisable(py, None);
            None
        })
    }

    /// Posts outcomes, then waits for a job. `false` ends the worker.
    fn rest(&self, message: &mut Option<Message>, refused: &mut Option<Item>) -> bool {
        let pool = &self.shared.pool;
        // The worker becomes idle before the result is seen, because the reaction to the result may be the next job.
        pool.rest();
        *refused = message.take().and_then(Message::post);
        if !pool.wait(!self.shared.submitter.is_here()) {
            return false;
        }
        if self.shared.submitter.is_here() {
            return true;
        }
        let began = Instant::now();
        while self.shared.held.load(Ordering::Acquire) && began.elapsed() < PATIENCE {
            std::hint::spin_loop();
        }
        true
    }
}

#[pymethods]
impl Worker {
    /// The function that runs right now, or `None`.
    #[getter]
    fn function(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.running(py)
    }

    /// The function that runs right now, its positional arguments, and the awaitable or future of the call; or `None`.
    #[getter]
    fn call(&self, py: Python<'_>) -> Option<(Py<PyAny>, Py<PyTuple>, Py<PyAny>)> {
        self.running.with(py, |running| {
            running.as_ref().map(|Running { function, arguments, awaited }| {
                (function.clone_ref(py), arguments.clone_ref(py), awaited.clone_ref(py))
            })
        })
    }

    fn __call__(&self, py: Python<'_>) {
        let forks = fork::count();
        let mut message = None;
        loop {
            let mut refused = None;
            let more = py.detach(|| self.rest(&mut message, &mut refused));
            drop(refused);
            if !more {
                return;
            }
            let Some(mut entry) = self.shared.pool.claim() else { continue };
            let began = Instant::now();
            loop {
                message = self.run(py, entry);
                if fork::count() != forks {
                    // The job forked, and this is the child: the pool and its locks are the parent's.
                    return;
                }
                if began.elapsed() >= TURN {
                    break;
                }
                let Some(next) = self.shared.pool.more() else { break };
                drop(message.take().and_then(Message::post));
                entry = next;
            }
        }
    }
}
