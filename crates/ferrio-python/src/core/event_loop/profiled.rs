//! The wait of a loop as a call that a profiler sees.
//!
//! A profiler sees the calls that Python code makes. The loop's wait is not one of them, so its time would count for the
//! caller of `run_forever`. Under a profiler a Python function makes the wait: the profile then shows it as `Waiting.poll`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;

use crate::base::class::Class;
use crate::base::ffi::Guarded;
use crate::base::imports;

/// Whether this thread is profiled. Asked once per tick of the kernel's clock, because a loop may wait very often.
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

/// What sleeps.
type Sleep = Box<dyn FnOnce(Python<'_>) + Send>;

/// One wait of a loop. `None` after its first call.
#[pyclass(frozen, module = "ferrio._ferrio")]
pub(crate) struct Waiting {
    wait: Guarded<Option<Sleep>>,
}

impl Class for Waiting {}

#[pymethods]
impl Waiting {
    /// Wait for what the loop waits for.
    fn poll(&self, py: Python<'_>) -> PyResult<()> {
        let Some(wait) = self.wait.with(py, Option::take) else {
            return Err(PyRuntimeError::new_err("a wait is over after its first call"));
        };
        wait(py);
        Ok(())
    }
}

/// Calls `wait`, which sleeps, by a call that a profiler sees. Raises what a signal's handler raises meanwhile.
#[cold]
pub(super) fn shown(py: Python<'_>, wait: Sleep) -> PyResult<()> {
    let waiting = Bound::new(py, Waiting { wait: Guarded::new(Some(wait)) })?;
    imports::WAIT_IN_PYTHON.get(py)?.call1((waiting.getattr("poll")?,)).map(drop)
}
