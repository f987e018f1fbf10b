//! `wait_for`: await something for a limited time.
//!
//! The awaitable runs in the awaiting task itself, inside a `Timeout`, as in an `async with timeout()`. A limit that is
//! zero or past is a separate case: the awaitable is cancelled before it begins.

use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;

use crate::base::arguments::seconds_or_none;
use crate::base::ffi::Cast;
use crate::base::ffi::coroutine::Sent;
use crate::base::functions::{Declared, declared};
use crate::base::gc::gc;
use crate::base::{error, imports};
use crate::core::future::callbacks::Watch;
use crate::core::future::{native, watch};
use crate::core::operation::run::{Own, Progress, Resume, Run};
use crate::core::operation::unawaited::Unawaited;
use crate::core::operation::{self, Operation};
use crate::core::task::cancel::cancel_waiter;
use crate::core::task::create::ensure_future;
use crate::sync::timeout::scope::timeout_error;
use crate::sync::timeout::{self, Timeout};

/// The state of one `wait_for`.
pub(crate) struct WaitFor {
    stage: Stage,
}

gc!(WaitFor { stage });

enum Stage {
    /// Not begun: what to await, and for how many seconds.
    Fresh(Py<PyAny>, Option<f64>),
    /// Not begun, and will raise this exception: the limit isn't a number.
    Refused(Py<PyAny>, Py<PyBaseException>),
    /// Inside the `await` of this iterator, and inside this timeout.
    Awaiting(Py<PyAny>, Py<Timeout>),
    /// Waiting for this cancelled future to end.
    Cancelling(Py<PyAny>),
    Finished,
}

gc!(match Stage {
    Self::Fresh(awaitable, _) => (awaitable),
    Self::Refused(awaitable, refused) => (awaitable, refused),
    Self::Awaiting(inner, timeout) => (inner, timeout),
    Self::Cancelling(future) => (future),
    Self::Finished => (),
});

pub(crate) const WAIT_FOR: Declared = declared!(wait_for).coroutine("ferrio.tasks");

/// Await `fut`, a coroutine or a future, for at most `timeout` seconds and return its result.
///
/// Takes seconds, or `None` for no limit. After that time `fut` is cancelled and `TimeoutError` raised; with zero or less
/// `fut` gets no time at all. If the wait is cancelled, so is `fut`. The `await` raises `TypeError` if the limit isn't a
/// number (asyncio's `wait_for`).
#[pyfunction]
#[pyo3(signature = (fut, timeout))]
pub(crate) fn wait_for(fut: Bound<'_, PyAny>, timeout: &Bound<'_, PyAny>) -> Unawaited {
    let stage = match seconds_or_none(timeout, "timeout") {
        Ok(limit) => Stage::Fresh(fut.unbind(), limit),
        Err(refused) => Stage::Refused(fut.unbind(), refused.into_value(timeout.py())),
    };
    Unawaited::new(WaitFor { stage })
}

impl Run for WaitFor {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        match std::mem::replace(&mut self.stage, Stage::Finished) {
            Stage::Fresh(awaitable, Some(limit)) if limit <= 0.0 => {
                self.begin_cancelling(this, &awaitable.into_bound(py))
            }
            Stage::Fresh(awaitable, limit) => self.begin(&awaitable.into_bound(py), limit),
            Stage::Refused(_, refused) => Err(PyErr::from_value(refused.into_bound(py).into_any())),
            Stage::Awaiting(inner, timeout) => {
                self.proceed(inner.into_bound(py), timeout.into_bound(py), resume)
            }
            Stage::Cancelling(future) => {
                let future = future.into_bound(py);
                watch::unwatch(&future, this.as_any(), &WAKE)?;
                match resume {
                    Resume::Throw(exception) => Err(PyErr::from_value(exception)),
                    Resume::Send => outcome_of_cancelled(&future).map(Progress::Ready),
                }
            }
            Stage::Finished => Ok(Progress::Ready(py.None().into_bound(py))),
        }
    }

    fn name(&self) -> &'static str {
        "wait_for"
    }

    fn inner_names(&self) -> &'static [&'static str] {
        match self.stage {
            Stage::Fresh(_, Some(limit)) if limit <= 0.0 => &["_cancel_and_wait"],
            Stage::Cancelling(_) => &["_cancel_and_wait"],
            _ => &[],
        }
    }

    /// asyncio's own function, from 3.12 on: before, it made a task of what it awaited.
    fn as_coroutine(&self, py: Python<'_>) -> Option<Own> {
        match &self.stage {
            Stage::Fresh(awaitable, limit) if cfg!(Py_3_12) && limit.is_none_or(|limit| limit > 0.0) => {
                let (awaitable, limit) = (awaitable.clone_ref(py), *limit);
                Some(Box::new(move |py| imports::OBSERVED_WAIT_FOR.get(py)?.call1((awaitable, limit))))
            }
            _ => None,
        }
    }

    fn awaits<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        match &self.stage {
            Stage::Awaiting(inner, _) => Some(inner.bind(py).clone()),
            _ => None,
        }
    }
}

impl WaitFor {
    /// Enters the timeout and begins the `await`.
    fn begin<'py>(&mut self, awaitable: &Bound<'py, PyAny>, limit: Option<f64>) -> PyResult<Progress<'py>> {
        let timeout = timeout::entered(awaitable.py(), limit)?;
        match operation::start_awaiting(awaitable) {
            Ok(inner) => self.proceed(inner, timeout, Resume::Send),
            Err(failure) => Err(fail(&timeout, failure)),
        }
    }

    /// Continues the `await` inside.
    fn proceed<'py>(
        &mut self,
        inner: Bound<'py, PyAny>,
        timeout: Bound<'py, Timeout>,
        resume: Resume<'py>,
    ) -> PyResult<Progress<'py>> {
        match operation::forward(&inner, resume) {
            Sent::Yielded(yielded) => {
                self.stage = Stage::Awaiting(inner.unbind(), timeout.unbind());
                Ok(Progress::Forward(yielded))
            }
            Sent::Returned(value) => {
                timeout::end(&timeout, None)?;
                Ok(Progress::Ready(value))
            }
            Sent::Raised(failure) => Err(fail(&timeout, failure)),
        }
    }

    /// No time at all: cancels the future and waits until it has ended.
    fn begin_cancelling<'py>(
        &mut self,
        this: &Bound<'py, Operation>,
        awaitable: &Bound<'py, PyAny>,
    ) -> PyResult<Progress<'py>> {
        let future = ensure_future(awaitable, None)?;
        if watch::is_done(&future)? {
            return result(&future).map(Progress::Ready);
        }
        watch::watch(&future, this.as_any(), &WAKE)?;
        if let Err(failure) = cancel_waiter(&future, None) {
            watch::unwatch(&future, this.as_any(), &WAKE)?;
            return Err(failure);
        }
        self.stage = Stage::Cancelling(future.unbind());
        Ok(Progress::Park)
    }
}

/// Leaves the timeout after the `await` raised `failure`; returns the error to raise instead.
fn fail(timeout: &Bound<'_, Timeout>, failure: PyErr) -> PyErr {
    let failure = error::into_object(timeout.py(), failure).into_any();
    timeout::end(timeout, Some(&failure)).err().unwrap_or_else(|| PyErr::from_value(failure))
}

impl Drop for WaitFor {
    /// If it is dropped while it waits it leaves its timeout, as a coroutine does that is closed.
    fn drop(&mut self) {
        if let Stage::Awaiting(_, timeout) = &self.stage {
            Python::attach(|py| timeout::abandon(timeout.bind(py)));
        }
    }
}

/// In asyncio it is a `functools.partial`, which this Python shows with parentheses of its own.
const WAKE_NAME: &str = if cfg!(Py_3_13) { "_release_waiter()" } else { "_release_waiter" };

static WAKE: Watch = Watch::new(WAKE_NAME, wake).awaited_by(|waiting| {
    let operation = waiting.as_exactly::<Operation>();
    let task = operation.and_then(|operation| operation.get().waiting_task(operation.py()));
    task.map(|task| task.into_bound(waiting.py()).into_any()).into()
});

/// The done callback of the cancelled future.
fn wake<'py>(waiting: &Bound<'py, PyAny>, _done: &Bound<'py, PyAny>) -> PyResult<()> {
    match waiting.as_exactly::<Operation>() {
        Some(operation) => operation::wake(operation).map(drop),
        None => Ok(()),
    }
}

/// The result of a future that was cancelled for lack of time, if it has one anyway.
fn outcome_of_cancelled<'py>(future: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = future.py();
    result(future).map_err(|failure| {
        if !error::is_cancelled(py, &failure) {
            return failure;
        }
        timeout_error(error::into_object(py, failure).as_any()).unwrap_or_else(|failed| failed)
    })
}

fn result<'py>(future: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match watch::plain(future) {
        Some(ours) => Ok(native::result(ours)?.into_bound(future.py())),
        None => future.call_method0(intern!(future.py(), "result")),
    }
}
