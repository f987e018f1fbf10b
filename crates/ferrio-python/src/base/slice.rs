//! Slices of Python objects: what `object[start:stop]` gives.
//!
//! Invariant: a slice leaks nothing. `PySlice::new` of PyO3 0.30 isn't used, because it never releases the integers that it
//! makes: two of them for each slice with large bounds.

use pyo3::prelude::*;
use pyo3::types::PySlice;

/// `object[start:stop]`; without `stop`, all from `start` on.
pub(crate) fn part<'py>(
    object: &Bound<'py, PyAny>,
    start: usize,
    stop: Option<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let bounds = object.py().get_type::<PySlice>().call1((start, stop))?;
    object.get_item(bounds)
}
