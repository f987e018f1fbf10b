//! What a program put in place of methods through which everything passes in asyncio: `Handle._run` and
//! `BaseEventLoop.create_task`. Tracers and monitors of slow callbacks replace them, or only their code.
//!
//! It only finds out. The loop obeys: `item.rs` runs everything as handles, and `create.rs` calls the program's
//! `create_task`.

use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::base::ffi::function;
use crate::base::imports;
use crate::base::replaced::{self, Seen};

/// What one run of a loop knows of them.
#[derive(Default)]
pub(super) struct Patches {
    own_handle: Seen,
    handle: Seen,
    event_loop: Seen,
    run: Option<Run>,
}

/// What runs the handles.
pub(super) enum Run {
    /// The method of our own class, which a program replaced.
    Own,
    /// This function, which a program put into asyncio's class.
    Standard(Py<PyAny>),
}

impl Patches {
    /// Looks whether `_run` was replaced since the last look; `own` is our own class of handles.
    #[inline]
    pub(super) fn look_at_run(&mut self, own: &Bound<'_, PyType>) -> PyResult<()> {
        let standard = imports::STANDARD_HANDLE.get(own.py())?.cast::<PyType>()?;
        if self.own_handle.is_current(own) && self.handle.is_current(standard) {
            return Ok(());
        }
        self.find_run(own, standard)
    }

    #[cold]
    fn find_run(&mut self, own: &Bound<'_, PyType>, standard: &Bound<'_, PyType>) -> PyResult<()> {
        let method = self.own_handle.look(own, "_run")?;
        let theirs = self.handle.look(standard, "_run")?;
        self.run = if !function::is_native(&method) {
            Some(Run::Own)
        } else if !replaced::is_as_written(standard, &theirs, "_callback")? {
            Some(Run::Standard(theirs.unbind()))
        } else {
            None
        };
        Ok(())
    }

    /// What runs the handles, if it isn't the loop.
    #[inline]
    pub(super) fn run(&self) -> Option<&Run> {
        self.run.as_ref()
    }

    /// Looks whether `create_task` changed since the last look: `Some` if so, with what a program put in its place.
    #[inline]
    pub(super) fn look_at_create_task(&mut self, py: Python<'_>) -> PyResult<Option<Option<Py<PyAny>>>> {
        let class = imports::STANDARD_LOOP.get(py)?.cast::<PyType>()?;
        if self.event_loop.is_current(class) {
            return Ok(None);
        }
        let method = self.event_loop.look(class, "create_task")?;
        let patched = !replaced::is_as_written(class, &method, "_check_closed")?;
        Ok(Some(patched.then(|| method.unbind())))
    }
}
