//! `async with` on locks: how it ends, and the general form for classes that override `acquire` or `release`.
//!
//! The lock classes have their own operations for entering. Nothing here knows how a lock works.
use pyo3::prelude::*;

use super::lock::{self, Lock};
use super::semaphore::{self, Semaphore};
use crate::base::ffi::Cast;
use crate::base::ffi::coroutine::Sent;
use crate::base::gc::gc;
use crate::core::operation::run::{Progress, Resume, Run};
use crate::core::operation::unawaited::Unawaited;
use crate::core::operation::{self, Operation, immediate};

/// `await object.method()`, for an object whose class overrides that method.
struct Enter {
    object: Py<PyAny>,
    method: &'static str,
    /// Whether the `await` has the value of the method; otherwise its value is `None`.
    keeps_value: bool,
    /// The iterator of what the method returned.
    inner: Option<Py<PyAny>>,
}

gc!(Enter { object, inner } not { method, keeps_value });

impl Run for Enter {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let inner = match &self.inner {
            Some(inner) => inner.bind(py).clone(),
            None => {
                let awaitable = self.object.bind(py).call_method0(self.method)?;
                let inner = operation::start_awaiting(&awaitable)?;
                self.inner = Some(inner.clone().unbind());
                inner
            }
        };
        match operation::forward(&inner, resume) {
            Sent::Yielded(yielded) => Ok(Progress::Forward(yielded)),
            Sent::Returned(value) if self.keeps_value => Ok(Progress::Ready(value)),
            Sent::Returned(_) => Ok(Progress::Ready(py.None().into_bound(py))),
            Sent::Raised(failure) => Err(failure),
        }
    }

    fn name(&self) -> &'static str {
        if self.keeps_value { "Barrier.__aenter__" } else { "_ContextManagerMixin.__aenter__" }
    }

    fn awaits<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.inner.as_ref().map(|inner| inner.bind(py).clone())
    }
}

/// The beginning of `async with object`, by its own `acquire` method.
pub(super) fn enter(object: &Bound<'_, PyAny>) -> Unawaited {
    let object = object.clone().unbind();
    Unawaited::new(Enter { object, method: "acquire", keeps_value: false, inner: None })
}

/// `await object.method()`, with its value.
pub(super) fn await_method(object: &Bound<'_, PyAny>, method: &'static str) -> Unawaited {
    Unawaited::new(Enter { object: object.clone().unbind(), method, keeps_value: true, inner: None })
}

/// The end of `async with object`. It releases the object when it is awaited, and never suspends.
#[inline]
pub(super) fn exit(object: &Bound<'_, PyAny>) -> Unawaited {
    immediate::call(object, None, "_ContextManagerMixin.__aexit__", release)
}

fn release<'py>(
    object: &Bound<'py, PyAny>,
    _none: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    if let Some(lock) = object.as_exactly::<Lock>() {
        lock::release(lock)?;
    } else if let Some(semaphore) = object.as_exactly::<Semaphore>() {
        semaphore::release(semaphore)?;
    } else {
        object.call_method0(intern!(py, "release"))?;
    }
    Ok(py.None().into_bound(py))
}
