//! `Immediate`: what an asynchronous method returns when nothing is left to wait for.
//!
//! `async with` calls `__aenter__` and awaits at once what that returns. Where the work never suspends, an operation
//! would be made only to be thrown away: here `None` has one object for all, and a call waits for its `await` in an
//! object that is used again as soon as nobody else holds it. (Not without a GIL: threads would take turns with it.)

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::{PyTraverseError, PyVisit};

use crate::ffi::coroutine::{self, Sent};
use crate::ffi::slots::Awaitable;
use crate::ffi::{Guarded, interpreter, uncounted};

/// The work behind an `await` that never waits: takes the object whose method made it, returns the value.
pub(crate) type Call = for<'py> fn(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>;

/// What an `Immediate` has for its `await`.
enum Work {
    /// `None`, any number of times. Nothing to lock: all threads share the object.
    Nothing,
    /// The value of this call with its owner, once.
    Once(Guarded<Option<(Py<PyAny>, Call)>>),
}

/// An awaitable that ends at once.
#[pyclass(frozen, module = "ferrio._ferrio")]
pub(crate) struct Immediate {
    work: Work,
}

impl Immediate {
    fn once(call: Option<(Py<PyAny>, Call)>) -> Self {
        Self { work: Work::Once(Guarded::new(call)) }
    }
}

static NONE: PyOnceLock<Py<Immediate>> = PyOnceLock::new();
static SPARE: PyOnceLock<Py<Immediate>> = PyOnceLock::new();

/// An awaitable whose value is `None`.
#[inline]
pub(crate) fn none(py: Python<'_>) -> PyResult<Bound<'_, Immediate>> {
    let none = NONE.get_or_try_init(py, || {
        let none = Bound::new(py, Immediate { work: Work::Nothing })?;
        uncounted::object(none.as_any());
        PyResult::Ok(none.unbind())
    })?;
    Ok(none.bind(py).clone())
}

/// An awaitable that calls `call(owner)` when it is awaited.
#[inline]
pub(crate) fn call<'py>(owner: &Bound<'py, PyAny>, call: Call) -> PyResult<Bound<'py, Immediate>> {
    let py = owner.py();
    let once = (owner.clone().unbind(), call);
    if cfg!(not(Py_GIL_DISABLED)) {
        let spare = SPARE.get_or_try_init(py, || Py::new(py, Immediate::once(None)))?;
        if let Work::Once(cell) = &spare.get().work
            && interpreter::has_one_reference(spare.bind(py).as_any())
        {
            let old = cell.with(py, |call| call.replace(once));
            drop(old);
            return Ok(spare.bind(py).clone());
        }
    }
    Bound::new(py, Immediate::once(Some(once)))
}

#[pymethods]
impl Immediate {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match Self::advance(slf) {
            Sent::Yielded(value) | Sent::Returned(value) if value.is_none() => Ok(None),
            Sent::Yielded(value) | Sent::Returned(value) => Err(coroutine::stop_iteration(value)),
            Sent::Raised(failure) => Err(failure),
        }
    }

    // With these it is a coroutine for `asyncio.iscoroutine`, and can be made into a task.

    /// As a coroutine's `send`: does the work; the value is ignored.
    #[pyo3(signature = (_value, /))]
    fn send<'py>(slf: &Bound<'py, Self>, _value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match Self::advance(slf) {
            Sent::Yielded(yielded) => Ok(yielded),
            Sent::Returned(value) => Err(coroutine::stop_iteration(value)),
            Sent::Raised(failure) => Err(failure),
        }
    }

    /// As a coroutine's `throw`: raises the exception, the work is left undone.
    #[pyo3(signature = (typ, val = None, tb = None, /))]
    fn throw<'py>(
        &self,
        typ: Bound<'py, PyAny>,
        val: Option<Bound<'py, PyAny>>,
        tb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.close(typ.py());
        Err(coroutine::thrown(typ, val, tb)?)
    }

    /// As a coroutine's `close`: the work is left undone.
    fn close(&self, py: Python<'_>) {
        if let Work::Once(cell) = &self.work {
            let undone = cell.with(py, Option::take);
            drop(undone);
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Memory that is not written yet is zeroed, and zero is `Nothing`.
        match &self.work {
            Work::Nothing => Ok(()),
            Work::Once(cell) => cell.visit(&visit, |call| match call {
                Some((owner, _)) => visit.call(owner),
                None => Ok(()),
            }),
        }
    }

    fn __clear__(&self, py: Python<'_>) {
        self.close(py);
    }
}

impl Awaitable for Immediate {
    #[inline]
    fn begin(_slf: &Bound<'_, Self>) -> PyResult<()> {
        Ok(())
    }

    #[inline]
    fn advance<'py>(slf: &Bound<'py, Self>) -> Sent<'py> {
        let py = slf.py();
        let cell = match &slf.get().work {
            Work::Nothing => return Sent::Returned(py.None().into_bound(py)),
            Work::Once(cell) => cell,
        };
        match cell.with(py, Option::take) {
            Some((owner, call)) => match call(owner.bind(py)) {
                Ok(value) => Sent::Returned(value),
                Err(failure) => Sent::Raised(failure),
            },
            None => Sent::Raised(PyRuntimeError::new_err("cannot reuse already awaited coroutine")),
        }
    }
}
