//! `_LoopBoundMixin`: the base of every lock and queue, which binds it to the first loop it has to wait on.
//!
//! Invariant: once bound, always bound; an object that never made anybody wait belongs to no loop.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::base::class::{Class, Standard};
use crate::base::ffi::Guarded;
use crate::base::functions::Functions;
use crate::base::gc::collected;
use crate::base::imports;
use crate::core::event_loop;

/// The base of objects that belong to one event loop, from the first time that a task waits for them (asyncio's class of
/// that name).
#[pyclass(subclass, frozen, weakref, dict, name = "_LoopBoundMixin", module = "ferrio.mixins")]
pub(crate) struct LoopBound {
    home: Guarded<Option<Py<PyAny>>>,
}

collected!(LoopBound { home }, written by home, clear { home });

impl Class for LoopBound {
    const BELOW: Option<Standard> = Some(("asyncio.mixins", "_LoopBoundMixin"));
}

impl Functions for LoopBound {}

impl Default for LoopBound {
    fn default() -> Self {
        Self { home: Guarded::new(None) }
    }
}

#[pymethods]
impl LoopBound {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "()")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::default()
    }

    /// The loop that the object is bound to, or `None`.
    #[getter]
    fn _loop(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.home.with(py, |home| home.as_ref().map(|home| home.clone_ref(py)))
    }

    #[setter(_loop)]
    fn set_loop(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        let old = self.home.with(py, |home| std::mem::replace(home, value));
        drop(old);
    }

    /// Return the running loop, and bind the object to it.
    ///
    /// Raises `RuntimeError` if no loop runs or the object is bound to another one.
    fn _get_loop<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        require_loop(slf)
    }

    /// The state for a copy or a pickle.
    fn __getstate__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        imports::STATE_OF.get(slf.py())?.call1((slf,))
    }

    /// Take over `state`, from a copy or a pickle.
    #[pyo3(signature = (state, /))]
    fn __setstate__(slf: &Bound<'_, Self>, state: &Bound<'_, PyAny>) -> PyResult<()> {
        imports::RESTORE.get(slf.py())?.call1((slf, state)).map(drop)
    }

    /// As `object.__reduce_ex__`. Protocols 0 and 1 only suit classes written in Python, so they count as 2.
    #[pyo3(signature = (protocol, /))]
    fn __reduce_ex__<'py>(slf: &Bound<'py, Self>, protocol: i64) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        py.get_type::<PyAny>().call_method1(intern!(py, "__reduce_ex__"), (slf, protocol.max(2)))
    }
}

/// Binds `object` to the running loop, which it returns.
///
/// Raises `RuntimeError` if no loop runs or the object is bound to another one.
pub(crate) fn require_loop<'py>(object: &Bound<'py, LoopBound>) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let running = event_loop::get_running_loop(py)?;
    let same = object.get().home.with(py, |home| match home {
        Some(home) => home.is(&running),
        None => {
            *home = Some(running.clone().unbind());
            true
        }
    });
    if same {
        return Ok(running);
    }
    Err(PyRuntimeError::new_err(format!(
        "{} is bound to a different event loop: make one for each loop, inside the coroutine that run() runs",
        object.repr()?
    )))
}

/// The text of `object.__repr__` with `extra` in brackets: `<ferrio.Lock object at 0x7f... [unlocked]>`.
pub(crate) fn repr_with(object: &Bound<'_, PyAny>, extra: &str) -> PyResult<String> {
    let py = object.py();
    let plain = py.get_type::<PyAny>().call_method1(intern!(py, "__repr__"), (object,))?;
    let plain = plain.extract::<String>()?;
    let inside = plain.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(&plain);
    Ok(format!("<{inside} [{extra}]>"))
}
