//! The wait of a loop under a profiler, as a call that it sees.
//!
//! A profiler hears of calls that Python code makes. The loop's wait is none, so that the time in which nothing was to be
//! done would count for whoever ran the loop, or for nobody. Under a profiler the wait is made by a Python function: it then
//! stands in the profile as `Waiting.poll`.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ferrio_engine::reactor::{Events, Wait};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit, intern};

use super::Loop;
use crate::base::class::Class;
use crate::base::ffi::Guarded;
use crate::base::imports;

/// Whether somebody profiles this thread. Asked once in a tick of the kernel, because a loop may wait very often.
#[derive(Default)]
pub(super) struct Profiler {
    asked_at: AtomicU64,
    is_there: AtomicBool,
}

/// `sys.monitoring.PROFILER_ID`, by which cProfile is known from Python 3.12 on.
const PROFILER: u8 = 2;

impl Profiler {
    /// Whether there is one; `now` tells whether much time passed since the last look.
    #[inline]
    pub(super) fn is_there(&self, py: Python<'_>, now: u64) -> PyResult<bool> {
        if self.asked_at.swap(now, Ordering::Relaxed) != now {
            self.is_there.store(is_profiled(py)?, Ordering::Relaxed);
        }
        Ok(self.is_there.load(Ordering::Relaxed))
    }
}

#[cold]
fn is_profiled(py: Python<'_>) -> PyResult<bool> {
    if cfg!(Py_3_12) {
        let tool = imports::MONITORING.get(py)?.call_method1(intern!(py, "get_tool"), (PROFILER,))?;
        if !tool.is_none() {
            return Ok(true);
        }
    }
    Ok(!imports::GET_PROFILE.get(py)?.call0()?.is_none())
}

/// One wait of a loop.
#[pyclass(frozen, module = "ferrio._ferrio")]
pub(crate) struct Waiting {
    native: Py<Loop>,
    timeout: Wait,
    events: Guarded<Option<Events>>,
    outcome: Guarded<Option<io::Result<()>>>,
}

impl Class for Waiting {}

#[pymethods]
impl Waiting {
    /// Wait for what the loop waits for.
    fn poll(&self, py: Python<'_>) -> PyResult<()> {
        let Some(mut events) = self.events.with(py, Option::take) else {
            return Err(PyRuntimeError::new_err("a wait is over after its first call"));
        };
        let outcome = self.native.get().sleep(py, &mut events, self.timeout);
        self.events.with(py, |place| *place = Some(events));
        self.outcome.with(py, |place| *place = Some(outcome));
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.native)
    }
}

/// Waits as `Loop::sleep` does, by a call that a profiler sees. Raises what a signal's handler raises meanwhile.
#[cold]
pub(super) fn sleep(
    native: &Bound<'_, Loop>,
    events: &mut Events,
    timeout: Wait,
) -> PyResult<io::Result<()>> {
    let py = native.py();
    let taken = std::mem::replace(events, Events::with_capacity(1));
    let waiting = Waiting {
        native: native.clone().unbind(),
        timeout,
        events: Guarded::new(Some(taken)),
        outcome: Guarded::new(None),
    };
    let waiting = Bound::new(py, waiting)?;
    let called = imports::WAIT_IN_PYTHON.get(py)?.call1((waiting.getattr("poll")?,));
    if let Some(given_back) = waiting.get().events.with(py, Option::take) {
        *events = given_back;
    }
    called?;
    Ok(waiting.get().outcome.with(py, Option::take).unwrap_or(Ok(())))
}
