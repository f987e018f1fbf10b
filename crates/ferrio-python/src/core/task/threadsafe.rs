//! `run_coroutine_threadsafe`: hands a coroutine to a loop from another thread.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use super::create;
use crate::base::class::Class;
use crate::base::ffi::Guarded;
use crate::base::functions::{Declared, declared};
use crate::base::gc::{collected, gc};
use crate::base::{error, imports};
use crate::core::future::chain;

pub(crate) const RUN_COROUTINE_THREADSAFE: Declared =
    declared!(run_coroutine_threadsafe).function("ferrio.tasks");

/// Run the coroutine `coro` on `loop`, from a thread other than the loop's; return a `concurrent.futures.Future`.
///
/// Cancelling that cancels the task. Raises `TypeError` if `coro` isn't a coroutine, `RuntimeError` if the loop is
/// closed (`asyncio.run_coroutine_threadsafe`).
#[pyfunction]
pub(crate) fn run_coroutine_threadsafe<'py>(
    coro: &Bound<'py, PyAny>,
    r#loop: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = coro.py();
    if !create::is_coroutine(coro)? {
        return Err(PyTypeError::new_err(format!(
            "A coroutine object is required, got {}",
            coro.get_type().name()?
        )));
    }
    let future = imports::CONCURRENT_FUTURE.get(py)?.call0()?;
    let parts =
        Parts { coro: coro.clone().unbind(), future: future.clone().unbind(), home: r#loop.clone().unbind() };
    let submission = Bound::new(py, Submission { parts: Guarded::new(Some(parts)) })?;
    // Through the method, which copies this thread's context for the task.
    r#loop.call_method1(intern!(py, "call_soon_threadsafe"), (submission,))?;
    Ok(future)
}

/// The callback that makes the task, in the loop's thread.
#[pyclass(frozen, module = "ferrio._ferrio")]
pub(crate) struct Submission {
    parts: Guarded<Option<Parts>>,
}

collected!(Submission { parts }, clear { parts });

impl Class for Submission {}

struct Parts {
    coro: Py<PyAny>,
    future: Py<PyAny>,
    home: Py<PyAny>,
}

gc!(Parts { coro, future, home });

#[pymethods]
impl Submission {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let Some(parts) = self.parts.with(py, Option::take) else { return Ok(()) };
        let future = parts.future.bind(py);
        let chained = create::ensure_future(parts.coro.bind(py), Some(parts.home.bind(py)))
            .and_then(|task| chain::chain(&task, future));
        match chained {
            Err(failure) if !error::ends_program(py, &failure) => {
                if future.call_method0(intern!(py, "set_running_or_notify_cancel"))?.is_truthy()? {
                    future.call_method1(intern!(py, "set_exception"), (failure.value(py),))?;
                }
                Err(failure)
            }
            chained => chained,
        }
    }

    #[getter]
    fn __qualname__(&self) -> &'static str {
        "run_coroutine_threadsafe.<locals>.callback"
    }
}
