//! "exception was never retrieved": the report of a future that is dropped with an exception.
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::Future;
use super::state::Outcome;
use crate::base::ffi::finalize::{Dying, Finalize, general};

impl Finalize for Future {
    #[inline]
    fn wants_finalize(dying: &Dying<'_, Self>) -> bool {
        dying.get().state.with(dying.py(), |state| state.log_traceback)
    }

    fn finalize(slf: &Bound<'_, Self>) -> PyResult<()> {
        report_unretrieved(slf)
    }

    general!();
}

/// Tells the loop's exception handler about an exception that nobody has retrieved.
pub(crate) fn report_unretrieved(future: &Bound<'_, Future>) -> PyResult<()> {
    let py = future.py();
    let found = future.get().state.with(py, |state| {
        let exception = match (&state.outcome, state.log_traceback) {
            (Outcome::Exception(exception, _), true) => exception.clone_ref(py),
            _ => return None,
        };
        state.log_traceback = false;
        let source = state.extra.as_ref().and_then(|extra| extra.source_traceback.as_ref());
        let home = state.home.as_ref()?.duplicate(py);
        Some((exception, source.map(|source| source.clone_ref(py)), home))
    });
    let Some((exception, source, home)) = found else { return Ok(()) };
    let context = PyDict::new(py);
    let class = future.get_type().name()?;
    context.set_item(intern!(py, "message"), format!("{class} exception was never retrieved"))?;
    context.set_item(intern!(py, "exception"), exception)?;
    context.set_item(intern!(py, "future"), future)?;
    if let Some(source) = source {
        context.set_item(intern!(py, "source_traceback"), source)?;
    }
    home.call_exception_handler(py, &context)
}
