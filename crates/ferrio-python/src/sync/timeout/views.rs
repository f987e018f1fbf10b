//! The private attributes of asyncio's `Timeout` that tools read, made on request.

use pyo3::prelude::*;

use super::Timeout;
use crate::base::imports;
use crate::core::event_loop::Loop;
use crate::core::timer::Timer;

#[pymethods]
impl Timeout {
    /// Its state: a member of asyncio's enumeration.
    #[getter]
    fn _state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        imports::TIMEOUT_STATE.get(py)?.call1((self.phase(py).word(),))
    }

    /// The task inside.
    #[getter]
    fn _task(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.scope.with(py, |scope| scope.task.as_ref().map(|task| task.clone_ref(py)))
    }

    #[getter]
    fn _when<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.when(py)
    }

    /// The handle of its timer, while it runs.
    #[getter]
    fn _timeout_handler<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let timer = self.scope.with(py, |scope| scope.timer.as_ref().map(|timer| timer.duplicate(py)));
        match timer {
            None => Ok(None),
            Some(Timer::Handle(handle)) => Ok(Some(handle.into_bound(py))),
            Some(Timer::Native(native, key)) => {
                Ok(Loop::timer_view(native.bind(py), key)?.map(Bound::into_any))
            }
        }
    }
}
