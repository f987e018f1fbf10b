//! Numbers of things (units of a semaphore, bytes of a buffer) that users give.
//!
//! asyncio takes any number for them, since it compares them only, and programs give what a configuration file holds,
//! `1e6`, infinity or a `Decimal` among it. The same goes for flags: anything has a truth.
//!
//! Invariant: what no `i64` can hold is the nearest that one can.

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyInt;

/// A number without its fraction: what whole numbers exceed when they exceed the number. As an argument, what is no number
/// raises `TypeError`.
#[derive(Clone, Copy)]
pub(crate) struct Whole(pub(crate) i64);

impl<'py> FromPyObject<'_, 'py> for Whole {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let py = given.py();
        match given.extract::<i64>() {
            Ok(number) => Ok(Self(number)),
            Err(error) if error.is_instance_of::<PyOverflowError>(py) && given.is_instance_of::<PyInt>() => {
                Ok(Self(if given.lt(0)? { i64::MIN } else { i64::MAX }))
            }
            Err(_) => match given.extract::<f64>() {
                Ok(number) if !number.is_nan() => Ok(Self(nearest(number.floor()))),
                _ => Err(refused(given)),
            },
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "what is too large is the nearest, by the invariant")]
fn nearest(number: f64) -> i64 {
    number as i64
}

/// As `Whole`, for a number of things to reach: the fraction counts as one more. For `from_py_with`.
pub(crate) fn at_least(given: &Bound<'_, PyAny>) -> PyResult<i64> {
    match given.extract::<f64>() {
        Ok(number) if number.fract() != 0.0 && number.is_finite() => Ok(nearest(number.ceil())),
        _ => given.extract::<Whole>().map(|whole| whole.0),
    }
}

/// Whether the object counts as true, whatever it is. For `from_py_with`.
pub(crate) fn truth(given: &Bound<'_, PyAny>) -> PyResult<bool> {
    given.is_truthy()
}

impl Whole {
    /// The number, of bytes in memory.
    pub(crate) fn size(self) -> isize {
        isize::try_from(self.0).unwrap_or(if self.0 < 0 { isize::MIN } else { isize::MAX })
    }
}

#[cold]
fn refused(given: Borrowed<'_, '_, PyAny>) -> PyErr {
    match given.repr() {
        Ok(look) => PyTypeError::new_err(format!("a number is needed, got {look}")),
        Err(failure) => failure,
    }
}
