//! A loop that is run while one runs: what `ferrio.allow_nested()` permits.
//!
//! The inner run turns either the same loop until its future is done, or another loop, which has the thread
//! meanwhile. It sets aside what the outer run was doing: the current task, the handle that debug mode shows, the
//! running loop. All of that is restored, however the inner run ends. A context can't be entered twice, so items
//! whose context is entered further up the stack wait for the inner run's end.

use std::sync::atomic::{AtomicBool, Ordering};

use ferrio_engine::OutOfMemory;
use ferrio_engine::recorder::Kind;
use pyo3::exceptions::{PyMemoryError, PyRuntimeError};
use pyo3::prelude::*;

use super::flush::flush;
use super::running::set_running;
use super::turn::Turning;
use super::{Loop, LoopRef, running};
use crate::base::ffi::scope::then_leave;
use crate::base::imports;
use crate::core::future::watch;
use crate::core::task::current;

static ALLOWED: AtomicBool = AtomicBool::new(false);

/// Allow loops to be run while one runs, or forbid it; return whether it was allowed before.
#[pyfunction]
pub(crate) fn _allow_nested(allowed: bool) -> bool {
    ALLOWED.swap(allowed, Ordering::Relaxed)
}

/// Return whether loops may be run while one runs.
#[pyfunction]
pub(crate) fn _nested_allowed() -> bool {
    ALLOWED.load(Ordering::Relaxed)
}

#[pymethods]
impl Loop {
    /// What the innermost nested run waits for; `None` if there is no nested run.
    #[getter]
    fn _innermost(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.settings.with(py, |settings| settings.nested.last().map(|awaited| awaited.clone_ref(py)))
    }
}

/// The error for a program that runs a loop while one runs: asyncio's words, and what to do instead.
#[cold]
pub(super) fn refusal(words: &str) -> PyErr {
    PyRuntimeError::new_err(format!(
        "{words}: `await` it here instead, or allow loops inside loops by ferrio.allow_nested()"
    ))
}

/// What an outer run was doing when the inner one began.
pub(super) struct Outer<'py> {
    home: LoopRef,
    task: Option<Bound<'py, PyAny>>,
}

impl<'py> Outer<'py> {
    /// Sets aside what runs in this thread: usually nothing.
    pub(super) fn set_aside(py: Python<'py>) -> PyResult<Option<Self>> {
        let home = match running(py) {
            Some(native) => LoopRef::Native(native),
            None => match imports::STANDARD_RUNNING_LOOP.get(py)?.call0()? {
                nothing if nothing.is_none() => return Ok(None),
                foreign => LoopRef::new(&foreign),
            },
        };
        let task = current::swap(py, &home, None)?;
        Ok(Some(Self { home, task }))
    }

    /// Restores it.
    pub(super) fn give_back(self, py: Python<'py>) -> PyResult<()> {
        match &self.home {
            LoopRef::Native(native) => {
                let native = native.bind(py);
                if !running(py).is_some_and(|here| here.is(native)) {
                    set_running(py, Some(native))?;
                }
            }
            LoopRef::Foreign(foreign) => imports::SET_RUNNING_LOOP.get(py)?.call1((foreign,)).map(drop)?,
        }
        current::swap(py, &self.home, self.task).map(drop)
    }
}

/// Turns `native`, which runs in this thread, until `awaited` is done. Stopping the loop ends all nested runs up to
/// the next `run_forever`.
pub(super) fn turn_until_done<'py>(native: &Bound<'py, Loop>, awaited: &Bound<'py, PyAny>) -> PyResult<()> {
    let inner = native.get().settings.with(native.py(), |settings| {
        settings.nested.push(awaited.clone().unbind());
        settings.nested.len()
    });
    let body = |turning: &mut Turning| {
        while !watch::is_done(awaited)? && !native.get().stopping() {
            turning.turn(native, false)?;
        }
        // As for a loop run on its own: the callbacks of the future are called before this returns.
        turning.turn(native, true)
    };
    let (outcome, left) = then_leave(
        || inside(native, body),
        || native.get().settings.with(native.py(), |settings| settings.nested.split_off(inner - 1)),
    );
    drop(left);
    outcome
}

/// Turns `native`, which runs in this thread, until it is stopped.
pub(super) fn turn_until_stopped(native: &Bound<'_, Loop>) -> PyResult<()> {
    let turns = || {
        inside(native, |turning| {
            loop {
                turning.turn(native, false)?;
                if native.get().stopping() {
                    return Ok(());
                }
            }
        })
    };
    then_leave(turns, || native.get().set_stopping(false)).0
}

/// Calls `body` while what the outer run was doing is set aside.
pub(super) fn inside<'py>(
    native: &Bound<'py, Loop>,
    body: impl FnOnce(&mut Turning) -> PyResult<()>,
) -> PyResult<()> {
    let py = native.py();
    let settings = &native.get().settings;
    let outer = Outer::set_aside(py)?;
    native.get().owned.engine.with(py, |engine| engine.ready.forget_mark());
    let handle = settings.with(py, |settings| settings.current_handle.take());
    native.get().record(py, Kind::Inner);
    let run = || {
        let mut turning = Turning::nested();
        let outcome = body(&mut turning);
        let flushed = flush(native);
        let waiting = turning.take_deferred();
        let put_back = native.get().owned.engine.with(py, |engine| engine.ready.put_back(waiting));
        let put_back = put_back.map_err(|OutOfMemory(waiting)| {
            drop(waiting);
            PyMemoryError::new_err(())
        });
        outcome.and(flushed).and(put_back)
    };
    let leave = || {
        let old = settings.with(py, |settings| std::mem::replace(&mut settings.current_handle, handle));
        drop(old);
        native.get().record(py, Kind::Outer);
        outer.map_or(Ok(()), |outer| outer.give_back(py))
    };
    let (outcome, given_back) = then_leave(run, leave);
    outcome.and(given_back)
}
