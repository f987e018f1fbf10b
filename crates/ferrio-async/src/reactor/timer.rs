//! A time that the loop watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyWeakrefReference;

use super::{Called, Here, on_loop, with_loop};
use crate::ffi;
use crate::home::Home;

const NANOS_PER_SECOND: f64 = 1e9;

/// A timer; stopped when this is dropped.
pub(crate) enum Timer {
    #[expect(dead_code, reason = "kept for its drop")]
    Ferrio(ffi::Watch),
    #[expect(dead_code, reason = "kept for its drop")]
    Other(Handle),
}

impl Timer {
    /// Calls `data` once, at the time that `deadline` makes of the loop's time, both in nanoseconds. Returns that time too.
    pub(crate) fn start<T: Called>(
        deadline: impl FnOnce(u64) -> u64,
        data: &Arc<T>,
    ) -> PyResult<(Self, u64)> {
        with_loop(|Here { event_loop, watches }| match watches {
            Some(watches) => {
                let deadline = deadline(watches.time(&event_loop)?);
                Ok((Self::Ferrio(watches.watch_time(&event_loop, deadline, data.clone())?), deadline))
            }
            None => {
                let seconds: f64 = event_loop.call_method0(intern!(event_loop.py(), "time"))?.extract()?;
                let deadline = deadline((seconds * NANOS_PER_SECOND) as u64);
                Ok((Self::Other(Handle::new(&event_loop, deadline, data.clone())?), deadline))
            }
        })
    }
}

/// A `TimerHandle` of another loop.
pub(crate) struct Handle {
    home: Home,
    /// A weak reference: a loop that is closed drops its handles, which tells the data.
    handle: Option<Py<PyAny>>,
}

impl Handle {
    fn new<T: Called>(event_loop: &Bound<'_, PyAny>, deadline: u64, data: Arc<T>) -> PyResult<Self> {
        let py = event_loop.py();
        let home = Home::current(py)?;
        let due = Bound::new(py, Due { data, fired: AtomicBool::new(false) })?;
        let when = deadline as f64 / NANOS_PER_SECOND;
        let handle = event_loop.call_method1(intern!(py, "call_at"), (when, due))?;
        let handle = PyWeakrefReference::new(&handle)?.into_any().unbind();
        Ok(Self { home, handle: Some(handle) })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let Some(handle) = self.handle.take() else { return };
        // A closed loop has nothing left to cancel.
        let _ = on_loop(&self.home, move |event_loop| {
            let handle = handle.bind(event_loop.py()).call0()?;
            if !handle.is_none() {
                handle.call_method0(intern!(event_loop.py(), "cancel"))?;
            }
            Ok(())
        });
    }
}

/// The callable that `call_at` gets.
#[pyclass(frozen)]
struct Due {
    data: Arc<dyn Called>,
    fired: AtomicBool,
}

#[pymethods]
impl Due {
    fn __call__(&self) {
        self.fired.store(true, Ordering::Relaxed);
        self.data.called(0);
    }
}

impl Drop for Due {
    fn drop(&mut self) {
        if !*self.fired.get_mut() {
            self.data.ended();
        }
    }
}
