//! `shield`: a future that can be cancelled without cancelling the awaitable behind it.
use pyo3::prelude::*;

use crate::base::functions::{Declared, declared};
use crate::core::future;
use crate::core::future::callbacks::{Awaiter, Watch};
use crate::core::future::watch::{self, Ended};
use crate::core::task::create;

pub(crate) const SHIELD: Declared = declared!(shield).function("ferrio.tasks");

/// Return a future that ends as the awaitable `arg` does; cancelling it leaves `arg` alone.
///
/// A coroutine becomes a task. A future that is done is returned itself. Raises `TypeError` if `arg` can't be awaited
/// (`asyncio.shield`).
#[pyfunction]
pub(crate) fn shield<'py>(arg: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = arg.py();
    let inner = create::ensure_future(arg, None)?;
    if watch::is_done(&inner)? {
        return Ok(inner);
    }
    let outer = future::loop_of(&inner)?.call_method0(intern!(py, "create_future"))?;
    watch::watch(&inner, &outer, &INNER_DONE)?;
    watch::watch(&outer, &inner, &OUTER_DONE)?;
    Ok(outer)
}

#[allow(clippy::redundant_closure, reason = "the variant itself is no function for every lifetime")]
/// What awaits the outer future awaits the inner one.
static INNER_DONE: Watch = Watch::new("shield.<locals>._inner_done_callback", inner_done)
    .awaited_by(|outer| Awaiter::AwaitersOf(outer));
static OUTER_DONE: Watch = Watch::new("shield.<locals>._outer_done_callback", outer_done);

/// Ends the outer future as the shielded one has ended.
fn inner_done(outer: &Bound<'_, PyAny>, inner: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = outer.py();
    if watch::is_cancelled(outer)? {
        return Ok(());
    }
    match watch::ended(inner)? {
        Ended::Cancelled => outer.call_method0(intern!(py, "cancel")),
        Ended::Exception(exception) => outer.call_method1(intern!(py, "set_exception"), (exception,)),
        Ended::Result(value) => outer.call_method1(intern!(py, "set_result"), (value,)),
    }
    .map(drop)
}

/// After the outer future was cancelled, the inner one's exception is reported as never retrieved.
fn outer_done(inner: &Bound<'_, PyAny>, outer: &Bound<'_, PyAny>) -> PyResult<()> {
    if watch::is_done(inner)? { Ok(()) } else { watch::unwatch(inner, outer, &INNER_DONE) }
}
