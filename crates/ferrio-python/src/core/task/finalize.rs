//! "Task was destroyed but it is pending!": the report of a task that is dropped unfinished.
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::Task;
use super::registry::Registry;
use crate::base::ffi::finalize::{Dying, Finalize, general};
use crate::base::ffi::task_fields::{self, look};
use crate::base::ffi::task_list;
use crate::core::future::finalize::report_unretrieved;
use crate::core::future::state::Outcome;

impl Finalize for Task {
    #[inline]
    fn wants_finalize(dying: &Dying<'_, Self>) -> bool {
        dying.as_super().get().state.with(dying.py(), |state| {
            state.log_traceback || (matches!(state.outcome, Outcome::Pending) && state.home.is_some())
        }) || (cfg!(Py_GIL_DISABLED) && task_list::is_linked(dying))
    }

    fn finalize(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let future = slf.as_super();
        // Cleared, so that the loop doesn't report the task again if it is closed after this.
        let started =
            look(slf, |task, fields| fields.are_set(py) && std::mem::take(&mut task.log_destroy_pending));
        if cfg!(Py_GIL_DISABLED) {
            // The last moment: a dead object can't leave another thread's list.
            task_list::unlink(slf)?;
        }
        if started && !future.get().is_done(py) {
            report_pending(slf, "Task was destroyed but it is pending!")?;
        }
        report_unretrieved(future)
    }

    const LETS_GO: bool = true;

    #[inline]
    fn let_go(dying: &Dying<'_, Self>) {
        let py = dying.py();
        task_list::release(dying);
        task_fields::release(dying);
        let (home, outcome) = dying
            .as_super()
            .get()
            .state
            .with(py, |state| (state.home.take(), std::mem::take(&mut state.outcome)));
        if let Some(home) = home {
            home.release(py);
        }
        match outcome {
            Outcome::Result(result) => result.drop_ref(py),
            other => drop(other),
        }
    }

    general!();
}

/// Reports the tasks that a loop leaves unfinished when it is closed. A task reported here isn't reported again when
/// it is dropped, which may be much later.
pub(crate) fn report_at_close(py: Python<'_>, pending: &Registry) -> PyResult<()> {
    for task in pending.iter() {
        let wanted = task.get().task.with(py, |task| std::mem::take(&mut task.log_destroy_pending));
        if wanted {
            report_pending(task.bind(py), "Task was still pending when its loop was closed")?;
        }
    }
    Ok(())
}

fn report_pending(task: &Bound<'_, Task>, message: &str) -> PyResult<()> {
    let py = task.py();
    let (source, home) = task.as_super().get().state.with(py, |state| {
        let source = state.extra.as_ref().and_then(|extra| extra.source_traceback.as_ref());
        let home = state.home.as_ref().map(|known| known.duplicate(py));
        (source.map(|source| source.clone_ref(py)), home)
    });
    let Some(home) = home else { return Ok(()) };
    let context = PyDict::new(py);
    context.set_item(intern!(py, "task"), task)?;
    context.set_item(intern!(py, "message"), message)?;
    if let Some(source) = source {
        context.set_item(intern!(py, "source_traceback"), source)?;
    }
    home.call_exception_handler(py, &context)
}
