//! What wakes an awaiting coroutine on loops other than ferrio's.
//!
//! Invariant: a wait is ended once; a wake-up during a poll isn't lost, as the coroutine then doesn't wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::ffi;
use crate::home::running_loop;
use crate::messenger::{self, Message};

/// The future for which the task waits, and its loop.
pub(crate) struct Wait {
    pub(crate) event_loop: Py<PyAny>,
    pub(crate) future: Py<PyAny>,
}

enum State {
    Quiet,
    /// Woken since the last poll began.
    Rung,
    Waiting(Wait),
}

/// The waker of one coroutine.
pub(crate) struct Bell {
    state: Mutex<State>,
}

impl Bell {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State::Quiet) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A poll begins, or nobody waits any more.
    pub(crate) fn quieten(&self) {
        let old = std::mem::replace(&mut *self.state(), State::Quiet);
        drop(old);
    }

    /// The poll is over, and the task waits. Hands the wait back if the bell rang meanwhile.
    pub(crate) fn wait(&self, wait: Wait) -> Result<(), Wait> {
        let mut state = self.state();
        match *state {
            State::Rung => Err(wait),
            State::Quiet | State::Waiting(_) => {
                *state = State::Waiting(wait);
                Ok(())
            }
        }
    }

    /// Whether it rang since the last poll began.
    pub(crate) fn rang(&self) -> bool {
        matches!(*self.state(), State::Rung)
    }

    /// Shows the wait to the garbage collector, unless a waker elsewhere keeps it alive.
    pub(crate) fn traverse(self: &Arc<Self>, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.state.try_lock().as_deref() {
            Ok(State::Waiting(wait)) if Arc::strong_count(self) == 1 => {
                visit.call(&wait.event_loop)?;
                visit.call(&wait.future)
            }
            _ => Ok(()),
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let old = std::mem::replace(&mut *self.state(), State::Rung);
        let State::Waiting(wait) = old else { return };
        let mut wait = Some(wait);
        // In the loop's own thread there is no need to go through another.
        ffi::if_attached(|py| {
            let here = running_loop(py).ok().flatten();
            if let Some(wait) = wait.take_if(|wait| here.is_some_and(|here| here.is(&wait.event_loop))) {
                // It can't fail but for lack of memory.
                let _ = wait.end(py);
            }
        });
        if let Some(wait) = wait {
            messenger::send(Message::End(wait));
        }
    }
}

impl Wait {
    /// Lets the task go on, in its loop's thread.
    pub(crate) fn end(&self, py: Python<'_>) -> PyResult<()> {
        let future = self.future.bind(py);
        if !future.call_method0(intern!(py, "done"))?.is_truthy()? {
            future.call_method1(intern!(py, "set_result"), (py.None(),))?;
        }
        Ok(())
    }
}
