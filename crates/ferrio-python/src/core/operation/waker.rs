//! The callable that another loop gets in order to wake an operation.

use pyo3::prelude::*;

use super::Operation;
use crate::base::class::Class;
use crate::base::gc::collected;

/// Wakes an operation when called: the callback for another loop's `call_later`.
#[pyclass(frozen, module = "ferrio._ferrio")]
pub(crate) struct Waker {
    pub(crate) operation: Py<Operation>,
}

collected!(Waker { operation });

impl Class for Waker {}

#[pymethods]
impl Waker {
    #[pyo3(signature = (*_args))]
    fn __call__(&self, py: Python<'_>, _args: &Bound<'_, pyo3::types::PyTuple>) -> PyResult<()> {
        super::wake(self.operation.bind(py)).map(drop)
    }
}
