//! An argument of a function that tells `None` from nothing.
//!
//! PyO3's `Option` takes both for the same; asyncio's functions with another default than `None` do not.

use pyo3::prelude::*;

/// What was given for an argument, `None` included, or nothing.
pub(crate) struct Given(Option<Py<PyAny>>);

impl Given {
    /// The default in a signature.
    pub(crate) const NOTHING: Self = Self(None);

    /// What was given, if anything was.
    pub(crate) fn given(self) -> Option<Py<PyAny>> {
        self.0
    }

    /// What was given, else what `default` makes.
    pub(crate) fn or_else(self, default: impl FnOnce() -> Py<PyAny>) -> Py<PyAny> {
        self.0.unwrap_or_else(default)
    }
}

impl<'py> FromPyObject<'_, 'py> for Given {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self(Some(object.to_owned().unbind())))
    }
}
