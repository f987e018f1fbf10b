//! Kinds of arguments for which PyO3 has no type: one that may be missing, a number of things, a number of seconds, a
//! flag.

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyFloatMethods, PyInt};

use crate::base::ffi::Cast;

/// An argument whose default isn't `None`: PyO3's `Option` can't tell `None` from a missing argument.
pub(crate) struct Argument(Option<Py<PyAny>>);

impl Argument {
    /// The default in a signature.
    pub(crate) const MISSING: Self = Self(None);

    /// The argument, `None` included, if there is one.
    pub(crate) fn into_option(self) -> Option<Py<PyAny>> {
        self.0
    }

    /// The argument, or else what `default` returns.
    pub(crate) fn or_else(self, default: impl FnOnce() -> Py<PyAny>) -> Py<PyAny> {
        self.0.unwrap_or_else(default)
    }
}

impl<'py> FromPyObject<'_, 'py> for Argument {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self(Some(object.to_owned().unbind())))
    }
}

/// A number of things: units of a semaphore, bytes of a buffer. The fraction is cut off, and a number that doesn't
/// fit into an `i64` becomes the nearest one that does.
///
/// asyncio only compares these numbers, so it takes any, and programs pass what a configuration file holds: `1e6`,
/// infinity or a `Decimal`. Anything that isn't a number raises `TypeError`.
#[derive(Clone, Copy)]
pub(crate) struct SaturatingInt(pub(crate) i64);

impl<'py> FromPyObject<'_, 'py> for SaturatingInt {
    type Error = PyErr;

    fn extract(argument: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let py = argument.py();
        match argument.extract::<i64>() {
            Ok(number) => Ok(Self(number)),
            Err(error)
                if error.is_instance_of::<PyOverflowError>(py) && argument.is_instance_of::<PyInt>() =>
            {
                Ok(Self(if argument.lt(0)? { i64::MIN } else { i64::MAX }))
            }
            Err(_) => match argument.extract::<f64>() {
                Ok(number) if !number.is_nan() => Ok(Self(nearest(number.floor()))),
                _ => Err(not_a_number(argument)),
            },
        }
    }
}

impl SaturatingInt {
    /// The number, as a number of bytes in memory.
    pub(crate) fn size(self) -> isize {
        isize::try_from(self.0).unwrap_or(if self.0 < 0 { isize::MIN } else { isize::MAX })
    }
}

/// Reads a `SaturatingInt` as a lower bound: a fraction is rounded up. For `from_py_with`.
pub(crate) fn at_least(argument: &Bound<'_, PyAny>) -> PyResult<i64> {
    match argument.extract::<f64>() {
        Ok(number) if number.fract() != 0.0 && number.is_finite() => Ok(nearest(number.ceil())),
        _ => argument.extract::<SaturatingInt>().map(|number| number.0),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the cast saturates, which is what is wanted")]
fn nearest(number: f64) -> i64 {
    number as i64
}

#[cold]
fn not_a_number(argument: Borrowed<'_, '_, PyAny>) -> PyErr {
    match argument.repr() {
        Ok(repr) => PyTypeError::new_err(format!("a number is required, got {repr}")),
        Err(failure) => failure,
    }
}

/// Reads a flag: any object is true or false. For `from_py_with`.
pub(crate) fn truth(argument: &Bound<'_, PyAny>) -> PyResult<bool> {
    argument.is_truthy()
}

/// Reads the argument `name`, a number of seconds.
///
/// Raises `TypeError` for anything that isn't a number, and `OverflowError` for a number that no float can hold. As
/// in asyncio a NaN is allowed: as a delay it means no delay, as a time it is in the past.
#[inline]
pub(crate) fn seconds(argument: &Bound<'_, PyAny>, name: &str) -> PyResult<f64> {
    match argument.as_exactly::<PyFloat>() {
        Some(seconds) => Ok(seconds.value()),
        // A small integer, without the float object that a conversion would make.
        None => match small(argument) {
            Some(seconds) => Ok(f64::from(seconds)),
            None => argument.extract::<f64>().map_err(|failure| not_seconds(argument, name, failure)),
        },
    }
}

/// As `seconds`; `None` stays `None`.
#[inline]
pub(crate) fn seconds_or_none(argument: &Bound<'_, PyAny>, name: &str) -> PyResult<Option<f64>> {
    if argument.is_none() { Ok(None) } else { seconds(argument, name).map(Some) }
}

#[inline]
fn small(argument: &Bound<'_, PyAny>) -> Option<i32> {
    if argument.is_exact_instance_of::<PyInt>() { argument.extract().ok() } else { None }
}

#[cold]
fn not_seconds(argument: &Bound<'_, PyAny>, name: &str, failure: PyErr) -> PyErr {
    if !failure.is_instance_of::<PyTypeError>(argument.py()) {
        return failure;
    }
    match argument.repr() {
        Ok(repr) => PyTypeError::new_err(format!("{name} must be a number of seconds, not {repr}")),
        Err(failure) => failure,
    }
}
