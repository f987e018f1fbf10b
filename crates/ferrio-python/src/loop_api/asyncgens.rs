//! Asynchronous generators (PEP 525): the loop closes those that a program left open.

use pyo3::exceptions::PyResourceWarning;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::base::imports;
use crate::core::event_loop::Loop;

#[pymethods]
impl Loop {
    /// Called by the interpreter when a generator is iterated for the first time.
    fn _asyncgen_firstiter_hook(slf: &Bound<'_, Self>, agen: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let closed = slf.get().with_asyncgens(py, |asyncgens| asyncgens.closed);
        if closed {
            let message = format!(
                "asynchronous generator {} was scheduled after loop.shutdown_asyncgens() call",
                agen.repr()?
            );
            let keywords = PyDict::new(py);
            keywords.set_item(intern!(py, "source"), slf)?;
            let category = py.get_type::<PyResourceWarning>();
            imports::WARN.get(py)?.call((message, category), Some(&keywords))?;
        }
        slf.get()._asyncgens(py)?.call_method1(intern!(py, "add"), (agen,))?;
        Ok(())
    }

    /// Called by the interpreter when a generator that wasn't exhausted is collected, in any thread.
    fn _asyncgen_finalizer_hook(slf: &Bound<'_, Self>, agen: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        slf.get()._asyncgens(py)?.call_method1(intern!(py, "discard"), (agen,))?;
        if !slf.get().closed() {
            let create_task = slf.getattr(intern!(py, "create_task"))?;
            let closing = agen.call_method0(intern!(py, "aclose"))?;
            slf.call_method1(intern!(py, "call_soon_threadsafe"), (create_task, closing))?;
        }
        Ok(())
    }

    /// The `weakref.WeakSet` of the generators in use.
    #[getter]
    fn _asyncgens<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let known =
            self.with_asyncgens(py, |asyncgens| asyncgens.in_use.as_ref().map(|set| set.clone_ref(py)));
        if let Some(known) = known {
            return Ok(known.into_bound(py));
        }
        let set = imports::WEAK_SET.get(py)?.call0()?;
        let entry = set.clone().unbind();
        self.with_asyncgens(py, |asyncgens| asyncgens.in_use = Some(entry));
        Ok(set)
    }

    #[setter(_asyncgens)]
    fn put_asyncgens(&self, set: Bound<'_, PyAny>) {
        let py = set.py();
        let set = set.unbind();
        let old = self.with_asyncgens(py, |asyncgens| asyncgens.in_use.replace(set));
        drop(old);
    }

    /// Close every asynchronous generator that is still open; exceptions in them go to the exception handler.
    fn shutdown_asyncgens<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        imports::CLOSE_ASYNCGENS.get(slf.py())?.call1((slf,))
    }

    /// Remove the open generators from the loop and return them, to be closed; the first part of
    /// `shutdown_asyncgens`.
    fn _take_asyncgens<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let set = self.with_asyncgens(py, |asyncgens| {
            asyncgens.closed = true;
            asyncgens.in_use.take()
        });
        let open = PyList::empty(py);
        if let Some(set) = set {
            open.call_method1(intern!(py, "extend"), (set,))?;
        }
        Ok(open)
    }
}
