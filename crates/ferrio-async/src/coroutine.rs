//! `Coroutine`: a Rust future as a coroutine for loops other than ferrio's, and for a loop that doesn't run yet.
//!
//! The task that drives it polls the future in its own step. While the future is pending, the task waits for an
//! `asyncio` future, which the waker ends (`bell.rs`).

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use pyo3::exceptions::{PyRuntimeError, PyRuntimeWarning, PyStopIteration, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyTraceback, PyType};

use crate::bell::{Bell, Wait};
use crate::panic::caught;
use crate::{ffi, home, messenger};

type Polled = Pin<Box<dyn Future<Output = PyResult<Py<PyAny>>> + Send>>;

enum State {
    Fresh(Polled),
    Suspended(Polled),
    /// Its future is being polled.
    Running,
    Finished,
}

/// A Rust future; await it once.
#[pyclass(frozen, weakref, name = "coroutine", module = "ferrio_async")]
pub(crate) struct Coroutine {
    state: Mutex<State>,
    bell: Arc<Bell>,
    name: &'static str,
}

impl Coroutine {
    pub(crate) fn new(future: Polled, name: &'static str) -> Self {
        Self { state: Mutex::new(State::Fresh(future)), bell: Bell::new(), name }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the future out, to work on it.
    fn enter(&self) -> PyResult<Polled> {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Running) {
            State::Fresh(future) | State::Suspended(future) => Ok(future),
            State::Running => Err(PyValueError::new_err("coroutine already executing")),
            State::Finished => {
                *state = State::Finished;
                Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine"))
            }
        }
    }

    fn leave(&self, state: State) {
        let old = std::mem::replace(&mut *self.state(), state);
        drop(old);
    }

    /// Polls the future. Returns what the task waits for, or raises `StopIteration(value)`.
    fn resume<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut future = self.enter()?;
        self.bell.quieten();
        let waker = Waker::from(self.bell.clone());
        let polled = caught(|| match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => Ok(None),
            Poll::Ready(outcome) => outcome.map(Some),
        });
        drop(waker);
        let outcome = match polled {
            Ok(None) => self.suspend(py),
            Ok(Some(value)) => Err(PyStopIteration::new_err((value,))),
            Err(failure) => Err(failure),
        };
        match outcome {
            Ok(awaited) => {
                self.leave(State::Suspended(future));
                Ok(awaited)
            }
            Err(ended) => {
                self.bell.quieten();
                dropping::one_by_one(Some(State::Suspended(future)));
                self.leave(State::Finished);
                Err(ended)
            }
        }
    }

    /// What to yield to the task: a future that the bell ends, or `None` if the bell has rung.
    fn suspend<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let event_loop =
            home::running_loop(py)?.ok_or_else(|| PyRuntimeError::new_err("no running event loop"))?;
        let none = py.None().into_bound(py);
        if self.bell.rang() {
            return Ok(none);
        }
        messenger::start(py)?;
        let future = home::blocking_future(&event_loop)?;
        let wait = Wait::new(&future)?;
        Ok(if self.bell.wait(wait).is_ok() { future } else { none })
    }

    /// It was dropped without an `await`.
    #[cold]
    fn warn(&self, py: Python<'_>) {
        let text = std::ffi::CString::new(format!("coroutine '{}' was never awaited", self.name));
        if let Ok(text) = text
            && let Err(failure) = PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &text, 1)
        {
            failure.write_unraisable(py, None);
        }
    }

    /// Ends it with what was thrown.
    fn end(&self) -> PyResult<()> {
        let future = self.enter()?;
        self.bell.quieten();
        dropping::one_by_one(Some(State::Suspended(future)));
        self.leave(State::Finished);
        Ok(())
    }
}

#[pymethods]
impl Coroutine {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.resume(py)
    }

    #[pyo3(signature = (value, /))]
    fn send<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if !value.is_none() && matches!(*self.state(), State::Fresh(_)) {
            return Err(PyTypeError::new_err("can't send non-None value to a just-started coroutine"));
        }
        self.resume(value.py())
    }

    #[pyo3(signature = (typ, val = None, tb = None, /))]
    fn throw(
        &self,
        typ: &Bound<'_, PyAny>,
        val: Option<&Bound<'_, PyAny>>,
        tb: Option<Bound<'_, PyTraceback>>,
    ) -> PyResult<()> {
        let exception = match typ.cast::<PyType>() {
            Ok(class) => match val {
                Some(val) if val.is_instance(class)? => val.clone(),
                Some(val) => class.call1((val,))?,
                None => class.call0()?,
            },
            Err(_) => typ.clone(),
        };
        if let Some(traceback) = tb {
            exception.setattr(intern!(exception.py(), "__traceback__"), traceback)?;
        }
        self.end()?;
        Err(PyErr::from_value(exception))
    }

    fn close(&self) -> PyResult<()> {
        if matches!(*self.state(), State::Finished) { Ok(()) } else { self.end() }
    }

    #[getter]
    fn __name__(&self) -> &'static str {
        self.name
    }

    #[getter]
    fn __qualname__(&self) -> &'static str {
        self.name
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        format!("<coroutine object {} at {:#x}>", slf.get().name, slf.as_ptr() as usize)
    }

    #[getter]
    fn cr_running(&self) -> bool {
        matches!(*self.state(), State::Running)
    }

    #[getter]
    fn cr_await(&self) -> Option<Py<PyAny>> {
        None
    }

    #[getter]
    fn cr_frame(&self) -> Option<Py<PyAny>> {
        None
    }
}

impl Drop for Coroutine {
    fn drop(&mut self) {
        let state = std::mem::replace(&mut *self.state(), State::Finished);
        if let State::Finished = state {
            return;
        }
        let mut state = Some(state);
        Python::try_attach(|py| {
            ffi::undisturbed(py, || {
                if let Some(State::Fresh(_)) = state {
                    self.warn(py);
                }
                dropping::one_by_one(state.take());
            });
        });
        // The interpreter has ended.
        dropping::one_by_one(state);
    }
}

/// Drops of futures that hold futures that hold futures... without a stack frame for each.
mod dropping {
    use std::cell::{Cell, RefCell};

    use super::State;
    use crate::panic::caught;

    /// How deep drops may be in each other.
    const DEEPEST: usize = 16;

    thread_local! {
        static DEPTH: Cell<usize> = const { Cell::new(0) };
        /// For the outermost drop.
        static LATER: RefCell<Vec<State>> = const { RefCell::new(Vec::new()) };
    }

    /// Drops it now or, if that is inside of many other drops, after these. A panic ends here.
    pub(super) fn one_by_one(state: Option<State>) {
        let Some(state) = state else { return };
        let depth = DEPTH.get();
        if depth == DEEPEST {
            LATER.with_borrow_mut(|later| later.push(state));
            return;
        }
        DEPTH.set(depth + 1);
        drop_one(state);
        while depth == 0
            && let Some(next) = LATER.with_borrow_mut(Vec::pop)
        {
            drop_one(next);
        }
        DEPTH.set(depth);
    }

    fn drop_one(state: State) {
        let _ = caught(|| {
            drop(state);
            Ok(())
        });
    }
}
