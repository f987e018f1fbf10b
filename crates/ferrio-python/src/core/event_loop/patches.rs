//! What a program put in place of methods through which everything passes in asyncio: `Handle._run` and
//! `BaseEventLoop.create_task`. Tracers and monitors of slow callbacks replace them, or only their code.
//!
//! It only finds out. The loop obeys: `item.rs` runs everything as handles, and `create.rs` calls the program's
//! `create_task`.

use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::base::ffi::function;
use crate::base::gc::gc;
use crate::base::imports;
use crate::base::replaced::{Seen, is_as_written};

/// What a loop knows of them.
#[derive(Default)]
pub(super) struct Patches {
    own_run: Seen,
    standard_run: Seen,
    create_task: Seen,
}

gc!(Patches { own_run, standard_run, create_task });

/// What runs the handles.
pub(super) enum Run {
    /// The method of our own class, which a program replaced.
    Own,
    /// This function, which a program put into asyncio's class.
    Standard(Py<PyAny>),
}

/// The classes that have these methods.
pub(super) struct Classes<'a, 'py> {
    own_handle: &'a Bound<'py, PyType>,
    standard_handle: &'a Bound<'py, PyType>,
    standard_loop: &'a Bound<'py, PyType>,
}

impl<'a, 'py> Classes<'a, 'py> {
    /// Those of asyncio, and our own class of handles.
    #[inline]
    pub(super) fn with(own_handle: &'a Bound<'py, PyType>) -> PyResult<Self> {
        let py = own_handle.py();
        let standard_handle = imports::STANDARD_HANDLE.get(py)?.cast()?;
        Ok(Self { own_handle, standard_handle, standard_loop: imports::STANDARD_LOOP.get(py)?.cast()? })
    }
}

impl Patches {
    /// Looks at the methods as they are now.
    #[cold]
    pub(super) fn look(classes: &Classes<'_, '_>) -> PyResult<Self> {
        let Classes { own_handle, standard_handle: handle, standard_loop: event_loop } = classes;
        Ok(Self {
            own_run: Seen::look(own_handle, "_run", |method| Ok(function::is_native(method)))?,
            standard_run: Seen::look(handle, "_run", |method| is_as_written(handle, method, "_callback"))?,
            create_task: Seen::look(event_loop, "create_task", |method| {
                is_as_written(event_loop, method, "_check_closed")
            })?,
        })
    }

    /// Whether nothing changed since the last look.
    #[inline]
    pub(super) fn are_current(&self, classes: &Classes<'_, '_>) -> bool {
        self.own_run.is_current(classes.own_handle)
            && self.standard_run.is_current(classes.standard_handle)
            && self.create_task.is_current(classes.standard_loop)
    }

    /// Whether something other than the loop runs the handles.
    pub(super) fn run_handles(&self) -> bool {
        self.own_run.is_replaced() || self.standard_run.is_replaced()
    }

    /// What runs the handles, if it isn't the loop.
    pub(super) fn run(&self, py: Python<'_>) -> Option<Run> {
        if self.own_run.is_replaced() {
            return Some(Run::Own);
        }
        self.standard_run.replacement(py).map(Run::Standard)
    }

    /// Whether a program's function makes the tasks.
    pub(super) fn make_tasks(&self) -> bool {
        self.create_task.is_replaced()
    }

    /// What makes the tasks, if a program put it into asyncio's class of loops.
    pub(super) fn create_task(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.create_task.replacement(py)
    }
}
