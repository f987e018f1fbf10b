//! What wakes an awaiting coroutine on loops other than ferrio's.
//!
//! Invariants: a wait is ended once; a wake-up during a poll isn't lost, as the coroutine then doesn't wait. A bell keeps no
//! Python object alive: a future may keep its own waker, and the collector couldn't see that cycle.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};

use crate::ffi;
use crate::home::running_loop;
use crate::messenger::{self, Message};

/// The future for which a task waits, and which that task keeps alive.
pub(crate) struct Wait(Py<PyWeakrefReference>);

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
            let (Ok(Some(here)), Some(waiting)) = (running_loop(py), &wait) else { return };
            match waiting.future(py) {
                Some(future) if !loop_of(&future).is_ok_and(|event_loop| event_loop.is(&here)) => {}
                future => {
                    wait = None;
                    // It can't fail but for lack of memory.
                    let _ = future.as_ref().map_or(Ok(()), end);
                }
            }
        });
        if let Some(wait) = wait {
            messenger::send(Message::End(wait));
        }
    }
}

impl Wait {
    pub(crate) fn new(future: &Bound<'_, PyAny>) -> PyResult<Self> {
        PyWeakrefReference::new(future).map(|future| Self(future.unbind()))
    }

    /// The future, unless nobody waits for it any more.
    pub(crate) fn future<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.0.bind(py).upgrade()
    }
}

/// The loop of a future.
pub(crate) fn loop_of<'py>(future: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    future.call_method0(intern!(future.py(), "get_loop"))
}

/// Lets the task go on that waits for `future`, in its loop's thread.
pub(crate) fn end(future: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = future.py();
    if !future.call_method0(intern!(py, "done"))?.is_truthy()? {
        future.call_method1(intern!(py, "set_result"), (py.None(),))?;
    }
    Ok(())
}
