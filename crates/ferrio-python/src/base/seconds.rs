//! Times that users give, in seconds.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyFloatMethods, PyInt};

use crate::base::ffi::Cast;

/// The number of seconds that the argument `name` is.
///
/// Raises `TypeError` for what is no number, `OverflowError` for what no float can hold. A NaN is one, as for asyncio: as a
/// delay it is none, as a time it is past.
#[inline]
pub(crate) fn seconds(given: &Bound<'_, PyAny>, name: &str) -> PyResult<f64> {
    match given.as_exactly::<PyFloat>() {
        Some(seconds) => Ok(seconds.value()),
        // A small whole number, without the float object that a conversion would make.
        None => match small(given) {
            Some(seconds) => Ok(f64::from(seconds)),
            None => given.extract::<f64>().map_err(|failure| explain(given, name, failure)),
        },
    }
}

#[inline]
fn small(given: &Bound<'_, PyAny>) -> Option<i32> {
    if given.is_exact_instance_of::<PyInt>() { given.extract().ok() } else { None }
}

/// As `seconds`, with `None` for `None`.
#[inline]
pub(crate) fn seconds_or_none(given: &Bound<'_, PyAny>, name: &str) -> PyResult<Option<f64>> {
    if given.is_none() { Ok(None) } else { seconds(given, name).map(Some) }
}

#[cold]
fn explain(given: &Bound<'_, PyAny>, name: &str, failure: PyErr) -> PyErr {
    if !failure.is_instance_of::<PyTypeError>(given.py()) {
        return failure;
    }
    match given.repr() {
        Ok(look) => PyTypeError::new_err(format!("{name} must be a number of seconds, not {look}")),
        Err(failure) => failure,
    }
}
