//! What `await future` iterates: yields the future once while it is pending, then returns its result.

use pyo3::exceptions::{PyDeprecationWarning, PyRuntimeError};
use pyo3::prelude::*;

use super::{Future, native};
use crate::base::class::Class;
use crate::base::ffi::Guarded;
use crate::base::ffi::coroutine::{self, Sent};
use crate::base::ffi::raise::made;
use crate::base::ffi::recycle::recycled;
use crate::base::ffi::slots::Awaitable;
use crate::base::gc::collected;
use crate::core::task::Task;

#[pymethods]
impl Future {
    fn __await__(slf: &Bound<'_, Self>) -> PyResult<FutureIter> {
        slf.get().home(slf.py())?;
        Ok(FutureIter::new(slf.clone().unbind()))
    }

    fn __iter__(slf: &Bound<'_, Self>) -> PyResult<FutureIter> {
        Self::__await__(slf)
    }

    /// Raise the exception: what an iterator under `await` does when one is thrown into it.
    ///
    /// The interpreter calls this on whatever `anext(iterator, default)` waits for, and that is the future itself.
    #[pyo3(signature = (typ, val = None, tb = None))]
    fn throw<'py>(
        slf: &Bound<'py, Self>,
        typ: Bound<'py, PyAny>,
        val: Option<Bound<'py, PyAny>>,
        tb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        FutureIter::throw(&FutureIter::new(slf.clone().unbind()), slf.py(), typ, val, tb)
    }

    /// Do nothing: what an iterator under `await` does when the coroutine that waits for it is closed.
    #[allow(clippy::unused_self, reason = "a method of Python's")]
    const fn close(&self) {}
}

/// The iterator behind `Future.__await__`. `None` after it has ended.
#[pyclass(frozen, module = "ferrio._ferrio")]
pub(crate) struct FutureIter {
    future: Guarded<Option<Py<Future>>>,
}

collected!(FutureIter { future });

impl Class for FutureIter {}

recycled!(FutureIter);

impl FutureIter {
    pub(crate) fn new(future: Py<Future>) -> Self {
        Self { future: Guarded::new(Some(future)) }
    }

    fn advance<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(future) = self.future.with(py, |future| future.as_ref().map(|future| future.clone_ref(py)))
        else {
            return Ok(None);
        };
        let future = future.into_bound(py);
        let first = future.get().state.with(py, |state| {
            let pending = matches!(state.outcome, super::Outcome::Pending);
            let first = pending && !state.blocking;
            if first {
                state.blocking = true;
            }
            if pending { Some(first) } else { None }
        });
        match first {
            Some(true) => Ok(Some(future.into_any())),
            Some(false) => Err(PyRuntimeError::new_err("await wasn't used with future")),
            None => {
                let ended = self.future.with(py, Option::take);
                drop(ended);
                let value = native::result(&future)?.into_bound(py);
                if value.is_none() { Ok(None) } else { Err(coroutine::stop_iteration(value)) }
            }
        }
    }
}

#[pymethods]
impl FutureIter {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.advance(py).map_err(|error| made(py, error))
    }

    /// As a generator's `send`: the value is ignored.
    fn send<'py>(&self, py: Python<'py>, _value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match self.advance(py).map_err(|error| made(py, error))? {
            Some(yielded) => Ok(yielded),
            None => Err(coroutine::stop_iteration(py.None().into_bound(py))),
        }
    }

    /// As a generator's `throw`: ends the iteration with the exception.
    #[pyo3(signature = (typ, val = None, tb = None))]
    fn throw<'py>(
        &self,
        py: Python<'py>,
        typ: Bound<'py, PyAny>,
        val: Option<Bound<'py, PyAny>>,
        tb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if val.is_some() || tb.is_some() {
            let message = c"the (type, exc, tb) signature of throw() is deprecated, use throw(exc) instead";
            PyErr::warn(py, &py.get_type::<PyDeprecationWarning>(), message, 1)?;
        }
        let error = coroutine::thrown(typ, val, tb)?;
        let ended = self.future.with(py, Option::take);
        drop(ended);
        Err(error)
    }

    /// As a generator's `close`.
    fn close(&self, py: Python<'_>) {
        let ended = self.future.with(py, Option::take);
        drop(ended);
    }

    fn __clear__(&self, py: Python<'_>) {
        self.close(py);
    }
}

/// The interpreter's own `await` needs no iterator besides the future: the future is asked again when it is resumed.
///
/// `Future.__await__()` called by name, and `iter(future)`, still return a `FutureIter`.
impl Awaitable for Future {
    #[inline]
    fn begin(slf: &Bound<'_, Self>) -> PyResult<()> {
        let known = slf.get().state.with(slf.py(), |state| state.home.is_some());
        if known { Ok(()) } else { Err(super::not_initialized("Future")) }
    }

    #[inline]
    fn advance<'py>(slf: &Bound<'py, Self>) -> Sent<'py> {
        let py = slf.py();
        let (pending, untaken) = slf.get().state.with(py, |state| {
            let untaken = state.blocking;
            state.blocking = matches!(state.outcome, super::Outcome::Pending);
            (state.blocking, untaken)
        });
        if pending {
            if untaken {
                // It was yielded already, to code that didn't begin to wait for it.
                return Sent::Raised(PyRuntimeError::new_err("await wasn't used with future"));
            }
            return Sent::Yielded(slf.as_any().clone());
        }
        match native::result(slf) {
            Ok(value) => Sent::Returned(value.into_bound(py)),
            Err(failure) => Sent::Raised(failure),
        }
    }
}

impl Awaitable for Task {
    #[inline]
    fn begin(slf: &Bound<'_, Self>) -> PyResult<()> {
        Future::begin(slf.as_super())
    }

    #[inline]
    fn advance<'py>(slf: &Bound<'py, Self>) -> Sent<'py> {
        Future::advance(slf.as_super())
    }
}
