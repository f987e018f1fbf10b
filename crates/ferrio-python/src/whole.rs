//! Numbers of things (units of a semaphore, bytes of a buffer) that users give.
//!
//! asyncio takes any number for them, and programs give what a configuration file holds, `1e6` or infinity among it.
//!
//! Invariant: what no `i64` can hold is the nearest that one can.

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyFloatMethods, PyInt};

use crate::ffi::Cast;

/// A whole number: an integer, or a float without a fraction. As an argument, anything else raises `TypeError`.
#[derive(Clone, Copy)]
pub(crate) struct Whole(pub(crate) i64);

impl<'py> FromPyObject<'_, 'py> for Whole {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let py = given.py();
        if let Some(float) = given.as_instance::<PyFloat>() {
            let float = float.value();
            #[allow(
                clippy::cast_possible_truncation,
                reason = "what is too large is the nearest, by the invariant"
            )]
            return if float.is_nan() || float.fract() != 0.0 {
                Err(refused(given))
            } else {
                Ok(Self(float as i64))
            };
        }
        match given.extract::<i64>() {
            Ok(number) => Ok(Self(number)),
            Err(error) if error.is_instance_of::<PyOverflowError>(py) && given.is_instance_of::<PyInt>() => {
                Ok(Self(if given.lt(0)? { i64::MIN } else { i64::MAX }))
            }
            Err(_) => Err(refused(given)),
        }
    }
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
        Ok(look) => PyTypeError::new_err(format!("a whole number is needed, got {look}")),
        Err(failure) => failure,
    }
}
