//! The loop's wait, as a call that a profiler sees.
//!
//! A profiler sees the calls that Python code makes. The loop's wait isn't one of them, so its time would be
//! attributed to the caller of `run_forever`. Under a profiler a Python function does the wait, and the profile shows
//! it as `Waiting.poll`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::base::class::Class;
use crate::base::ffi::Guarded;
use crate::base::imports;

/// Whether this thread is profiled. Checked once per tick of the kernel's clock, because a loop may wait very often.
#[derive(Default)]
pub(super) struct Profiler {
    asked_at: AtomicU64,
    is_there: AtomicBool,
}

/// `sys.monitoring.PROFILER_ID`, which cProfile uses from Python 3.12 on.
const PROFILER: u8 = 2;

impl Profiler {
    /// Whether there is one; `now` shows whether much time has passed since the last check.
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
    /// Do the loop's wait.
    fn poll(&self, py: Python<'_>) -> PyResult<()> {
        let Some(wait) = self.wait.with(py, Option::take) else {
            return Err(PyRuntimeError::new_err("a wait can be called only once"));
        };
        wait(py);
        Ok(())
    }
}

/// Calls `wait`, which sleeps, in a way that a profiler sees. Raises what a signal's handler raises meanwhile.
#[cold]
pub(super) fn shown(py: Python<'_>, wait: Sleep) -> PyResult<()> {
    let waiting = Bound::new(py, Waiting { wait: Guarded::new(Some(wait)) })?;
    imports::WAIT_IN_PYTHON.get(py)?.call1((waiting.getattr("poll")?,)).map(drop)
}
