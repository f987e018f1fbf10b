//! The `limit` of a reader: any positive number, as in asyncio.

use crate::base::gc::gc;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// asyncio's default, in bytes.
const DEFAULT: usize = 1 << 16;

/// How long a line may be, in bytes. The transport is paused when more than twice as much is buffered.
pub(super) struct Limit {
    pub(super) bytes: usize,
    /// What the program gave, if that isn't exactly this number.
    shown: Option<Py<PyAny>>,
}

gc!(Limit { shown } not { bytes });

impl Default for Limit {
    fn default() -> Self {
        Self { bytes: DEFAULT, shown: None }
    }
}

impl Limit {
    /// The limit for `given`, which may be any number; a negative one counts as zero. Raises `TypeError` for anything
    /// else.
    pub(super) fn new(given: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = given.extract::<usize>() {
            return Ok(Self { bytes, shown: None });
        }
        // Sizes are whole, so they exceed 2.5 when they exceed 2; a number above all sizes means no limit.
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast goes to the nearest size that there is, which is what is meant"
        )]
        let bytes = given.extract::<f64>()?.floor() as usize;
        Ok(Self { bytes, shown: Some(given.clone().unbind()) })
    }

    /// As `new`. Raises `ValueError` unless the limit is positive.
    pub(super) fn positive(given: &Bound<'_, PyAny>) -> PyResult<Self> {
        // The usual case, without a comparison of objects.
        if let Ok(bytes) = given.extract::<usize>()
            && bytes > 0
        {
            return Ok(Self { bytes, shown: None });
        }
        if given.le(0)? {
            return Err(PyValueError::new_err("Limit cannot be <= 0"));
        }
        Self::new(given)
    }

    /// How many bytes are too many for the buffer.
    #[inline]
    pub(super) fn high(&self) -> usize {
        self.bytes.saturating_mul(2)
    }

    pub(super) fn is_default(&self) -> bool {
        self.bytes == DEFAULT && self.shown.is_none()
    }

    /// The value of `_limit`.
    pub(super) fn shown<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.shown {
            Some(shown) => Ok(shown.bind(py).clone()),
            None => Ok(self.bytes.into_pyobject(py)?.into_any()),
        }
    }
}
