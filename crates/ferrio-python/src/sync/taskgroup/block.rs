//! Entering and leaving a group's block: the operations of `__aenter__` and `__aexit__`, and what the block raises.
//!
//! Invariant: however a block ends, the group keeps neither its parent nor an exception.

use pyo3::exceptions::{PyGeneratorExit, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyList};

use super::{TaskGroup, abort, cancel};
use crate::base::ffi::raise::raise;
use crate::base::gc::gc;
use crate::base::{error, imports};
use crate::core::event_loop;
use crate::core::operation::Operation;
use crate::core::operation::run::{Progress, Resume, Run};
use crate::core::task::cancel::{cancel_waiter, cancelling_of, uncancel_any};
use crate::core::task::current::current_on;

/// The operation behind `__aenter__`.
pub(super) struct Enter {
    group: Py<TaskGroup>,
}

gc!(Enter { group });

impl Enter {
    pub(super) fn new(group: &Bound<'_, TaskGroup>) -> Self {
        Self { group: group.clone().unbind() }
    }
}

impl Run for Enter {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, _resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let group = self.group.bind(py);
        if group.get()._entered(py) {
            return Err(PyRuntimeError::new_err(format!(
                "TaskGroup {} has already been entered",
                group.repr()?
            )));
        }
        let home = event_loop::running_loop(py)?;
        let parent = current_on(py, &home)?.map(Bound::unbind);
        let Some(parent) = parent else {
            return Err(PyRuntimeError::new_err(format!(
                "TaskGroup {} cannot determine the parent task",
                group.repr()?
            )));
        };
        let (cancel_now, old) = group.get().state.with(py, |state| {
            state.entered = true;
            (state.cancel_on_enter, (state.home.replace(home), state.parent.replace(parent)))
        });
        drop(old);
        if cancel_now {
            cancel(group)?;
        }
        Ok(Progress::Ready(group.as_any().clone()))
    }

    fn name(&self) -> &'static str {
        "TaskGroup.__aenter__"
    }
}

/// The operation behind `__aexit__`.
pub(super) struct Leave {
    group: Py<TaskGroup>,
    begun: bool,
    /// What ended the block.
    exception: Option<Py<PyAny>>,
    /// The cancellation that the block must raise in the end.
    propagate: Option<Py<PyAny>>,
    /// The last cancellation that came while the children were awaited.
    cancelled: Option<Py<PyAny>>,
}

gc!(Leave { group, exception, propagate, cancelled } not { begun });

impl Run for Leave {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let group = self.group.bind(py).clone();
        let outcome = match self.wait(&group, resume) {
            Ok(true) => {
                let entry = this.clone().unbind();
                let old = group.get().state.with(py, |state| state.leaving.replace(entry));
                drop(old);
                return Ok(Progress::Park);
            }
            Ok(false) => self.conclude(&group),
            Err(failure) => Err(failure),
        };
        // Exceptions hold frames, and frames hold the group: drop them.
        let held = group.get().state.with(py, |state| {
            (state.parent.take(), std::mem::take(&mut state.errors), state.base_error.take())
        });
        drop(held);
        outcome.map(|()| Progress::Ready(PyBool::new(py, true).to_owned().into_any()))
    }

    fn name(&self) -> &'static str {
        "TaskGroup.__aexit__"
    }

    fn inner_names(&self) -> &'static [&'static str] {
        &["TaskGroup._aexit"]
    }
}

impl Leave {
    /// `exception`: what ended the block.
    pub(super) fn new(group: &Bound<'_, TaskGroup>, exception: Option<Bound<'_, PyAny>>) -> Self {
        Self {
            group: group.clone().unbind(),
            begun: false,
            exception: exception.map(Bound::unbind),
            propagate: None,
            cancelled: None,
        }
    }

    /// Notes why it was resumed. Returns whether a child is left to wait for.
    fn wait<'py>(&mut self, group: &Bound<'py, TaskGroup>, resume: Resume<'py>) -> PyResult<bool> {
        let py = group.py();
        if !self.begun {
            self.begun = true;
            self.begin(group)?;
        } else {
            let left = group.get().state.with(py, |state| state.leaving.take());
            drop(left);
            if let Resume::Throw(exception) = resume {
                if !exception.is_instance(imports::CANCELLED_ERROR.get(py)?)? {
                    return Err(PyErr::from_value(exception));
                }
                self.cancelled = Some(exception.clone().unbind());
                if !group.get()._aborting(py) {
                    self.propagate = Some(exception.unbind());
                    abort(group)?;
                }
            }
        }
        Ok(group.get().state.with(py, |state| !state.children.by_address.is_empty()))
    }

    fn begin(&mut self, group: &Bound<'_, TaskGroup>) -> PyResult<()> {
        let py = group.py();
        let exception = self.exception.as_ref().map(|exception| exception.bind(py).clone());
        let fatal = exception
            .as_ref()
            .is_some_and(|exception| error::ends_program(py, &PyErr::from_value(exception.clone())));
        let base_error = exception.as_ref().filter(|_| fatal).map(|exception| exception.clone().unbind());
        let (refused, aborting) = group.get().state.with(py, |state| {
            state.exiting = true;
            let refused = if state.base_error.is_none() {
                state.base_error = base_error;
                None
            } else {
                base_error
            };
            (refused, state.aborting)
        });
        drop(refused);
        let Some(exception) = exception else { return Ok(()) };
        if exception.is_instance(imports::CANCELLED_ERROR.get(py)?)? {
            self.propagate = Some(exception.unbind());
        }
        if aborting { Ok(()) } else { abort(group) }
    }

    /// Raises what the block must raise, after all children are done.
    fn conclude(&mut self, group: &Bound<'_, TaskGroup>) -> PyResult<()> {
        let py = group.py();
        let (base_error, requested, parent) = group.get().state.with(py, |state| {
            (
                state.base_error.take(),
                state.parent_cancel_requested,
                state.parent.as_ref().map(|parent| parent.bind(py).clone()),
            )
        });
        if let Some(base_error) = base_error {
            return Err(raise(base_error.into_bound(py)));
        }
        if let (true, Some(parent)) = (requested, &parent) {
            if uncancel_any(parent)? == 0 {
                self.propagate = None;
            } else if self.propagate.is_none() {
                // Another cancellation, which must not be lost with ours (gh-155433).
                self.propagate = self.cancelled.take();
            }
        }
        let mut errors = group.get().state.with(py, |state| std::mem::take(&mut state.errors));
        if let (Some(propagate), true) = (self.propagate.take(), errors.is_empty()) {
            return Err(raise(propagate.into_bound(py)));
        }
        let exception = self.exception.take().map(|exception| exception.into_bound(py));
        let mut only_generator_exit = None;
        if let Some(exception) = exception
            && !exception.is_instance(imports::CANCELLED_ERROR.get(py)?)?
        {
            if errors.is_empty() && exception.is_instance_of::<PyGeneratorExit>() {
                only_generator_exit = Some(exception.clone());
            }
            errors.push(exception.unbind());
        }
        if errors.is_empty() {
            return Ok(());
        }
        if let Some(parent) = &parent
            && cancelling_of(parent)? != 0
        {
            // Cancelled from outside: the request stays, and the parent sees it after this exception.
            uncancel_any(parent)?;
            cancel_waiter(parent, None)?;
        }
        if let Some(exit) = only_generator_exit {
            return Err(raise(exit));
        }
        let message = "unhandled errors in a TaskGroup";
        let errors = PyList::new(py, errors)?;
        let grouped = imports::BASE_EXCEPTION_GROUP.get(py)?.call1((message, errors))?;
        let failure = raise(grouped);
        failure.value(py).setattr(intern!(py, "__cause__"), py.None())?;
        Err(failure)
    }
}
