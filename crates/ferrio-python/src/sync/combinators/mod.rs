//! Functions that combine tasks and futures: `gather`, `wait`, `as_completed`, `shield`.
//!
//! Each child has one native watcher (`future::watch`), with no Python callback and no object per child.
//! Call graphs cost nothing either: they read what awaits a child off its watcher (`future::callbacks::Watch`).

use pyo3::prelude::*;
use pyo3::types::PyDict;

pub(crate) mod as_completed;
mod deadline;
pub(crate) mod gather;
pub(crate) mod shield;
pub(crate) mod wait;

/// The different elements of an iterable, as keys, in the order in which they were given. So each run of a program does
/// the same; asyncio makes a set of them, whose order depends on addresses.
fn distinct<'py>(elements: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let class = elements.py().get_type::<PyDict>();
    Ok(class.call_method1(intern!(elements.py(), "fromkeys"), (elements,))?.cast_into()?)
}
