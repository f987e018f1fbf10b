//! Panics of Rust futures, as Python exceptions.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyException;
use pyo3::prelude::*;

pyo3::create_exception!(ferrio_async, RustPanic, PyException, "A Rust future panicked.");

/// What a panic left.
pub(crate) type Payload = Box<dyn Any + Send>;

/// Runs `body`; a panic becomes `RustPanic`.
pub(crate) fn caught<R>(body: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| Err(exception(&*payload)))
}

/// The exception for a panic, with its message.
pub(crate) fn exception(payload: &(dyn Any + Send)) -> PyErr {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or(payload.downcast_ref::<String>().map(String::as_str));
    RustPanic::new_err(text.unwrap_or("a Rust future panicked").to_owned())
}
