//! `wait_for`: await something for a limited time.
//!
//! What is awaited runs in the awaiting task itself, under a `Scope` (`timeout/scope.rs`), as `async with timeout()`
//! does it. A limit that is zero or past is a case of its own: the thing is cancelled before it begins.

use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::base::error;
use crate::base::ffi::Cast;
use crate::base::ffi::coroutine::Sent;
use crate::base::functions::{Declared, declared};
use crate::base::seconds::seconds_or_none;
use crate::core::event_loop;
use crate::core::future::callbacks::Watch;
use crate::core::future::{native, watch};
use crate::core::operation::kind::{Kind, Progress, Resume, Run};
use crate::core::operation::{self, Operation};
use crate::core::task::cancel::cancel_waiter;
use crate::core::task::create::ensure_future;
use crate::sync::timeout::scope::{Phase, Scope, When, convert, entering_task, start_timer, timeout_error};

/// The state of one `wait_for`.
pub(crate) struct WaitFor {
    stage: Stage,
}

enum Stage {
    /// Not begun: what to await, and for how many seconds.
    Fresh(Py<PyAny>, Option<f64>),
    /// Not begun, and to end with this exception: the limit is no number.
    Refused(Py<PyAny>, Py<PyBaseException>),
    /// Inside the `await` of this iterator.
    Awaiting(Py<PyAny>, Scope),
    /// Waiting for this cancelled future to end.
    Cancelling(Py<PyAny>),
    Finished,
}

pub(crate) const WAIT_FOR: Declared = declared!(wait_for).coroutine("ferrio.tasks");

/// Await `fut`, a coroutine or a future, for at most `timeout` seconds and return its result.
///
/// Takes seconds, or `None` for no limit. When the time is over `fut` is cancelled and `TimeoutError` raised; with zero
/// or less `fut` gets no time at all. If the wait is cancelled, so is `fut`. The `await` raises
/// `TypeError` for a limit that is no number (asyncio's `wait_for`).
#[pyfunction]
#[pyo3(signature = (fut, timeout))]
pub(crate) fn wait_for(fut: Bound<'_, PyAny>, timeout: &Bound<'_, PyAny>) -> Operation {
    let stage = match seconds_or_none(timeout, "timeout") {
        Ok(limit) => Stage::Fresh(fut.unbind(), limit),
        Err(refused) => Stage::Refused(fut.unbind(), refused.into_value(timeout.py())),
    };
    Operation::new(Kind::WaitFor(Box::new(WaitFor { stage })))
}

impl Run for WaitFor {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        match std::mem::replace(&mut self.stage, Stage::Finished) {
            Stage::Fresh(awaitable, Some(limit)) if limit <= 0.0 => {
                self.begin_cancelling(this, &awaitable.into_bound(py))
            }
            Stage::Fresh(awaitable, limit) => self.begin(this, &awaitable.into_bound(py), limit),
            Stage::Refused(_, refused) => Err(PyErr::from_value(refused.into_bound(py).into_any())),
            Stage::Awaiting(inner, scope) => self.proceed(inner.into_bound(py), scope, resume),
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

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &self.stage {
            Stage::Fresh(awaitable, _) => visit.call(awaitable),
            Stage::Refused(awaitable, refused) => {
                visit.call(awaitable)?;
                visit.call(refused)
            }
            Stage::Awaiting(inner, scope) => {
                visit.call(inner)?;
                scope.traverse(visit)
            }
            Stage::Cancelling(future) => visit.call(future),
            Stage::Finished => Ok(()),
        }
    }

    fn name(&self) -> &'static str {
        "wait_for"
    }

    fn awaits<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        match &self.stage {
            Stage::Awaiting(inner, _) => Some(inner.bind(py).clone()),
            _ => None,
        }
    }
}

impl WaitFor {
    /// Enters the scope and begins the `await`.
    fn begin<'py>(
        &mut self,
        this: &Bound<'py, Operation>,
        awaitable: &Bound<'py, PyAny>,
        limit: Option<f64>,
    ) -> PyResult<Progress<'py>> {
        let py = this.py();
        let home = event_loop::running_loop(py)?;
        let when = match limit {
            None => When::Never,
            Some(limit) => When::after(py, &home, limit)?,
        };
        let (task, cancelling) = entering_task(py, &home)?;
        let mut scope = Scope::new(when);
        scope.phase = Phase::Entered;
        scope.task = Some(task.unbind());
        scope.cancelling = cancelling;
        scope.timer = start_timer(this.as_any(), &home, &scope.when, expire)?;
        match operation::start_awaiting(awaitable) {
            Ok(inner) => self.proceed(inner, scope, Resume::Send),
            Err(failure) => Err(fail(py, scope, failure)),
        }
    }

    /// Goes on with the `await` inside.
    fn proceed<'py>(
        &mut self,
        inner: Bound<'py, PyAny>,
        scope: Scope,
        resume: Resume<'py>,
    ) -> PyResult<Progress<'py>> {
        let py = inner.py();
        match operation::forward(&inner, resume) {
            Sent::Yielded(yielded) => {
                self.stage = Stage::Awaiting(inner.unbind(), scope);
                Ok(Progress::Forward(yielded))
            }
            Sent::Returned(value) => {
                leave(py, scope, None)?;
                Ok(Progress::Ready(value))
            }
            Sent::Raised(failure) => Err(fail(py, scope, failure)),
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

/// Leaves the scope after the `await` raised `failure`; returns what is raised instead.
fn fail(py: Python<'_>, scope: Scope, failure: PyErr) -> PyErr {
    let failure = error::into_object(py, failure).into_any();
    match leave(py, scope, Some(&failure)) {
        Ok(Some(converted)) | Err(converted) => converted,
        Ok(None) => PyErr::from_value(failure),
    }
}

/// Leaves the scope: stops the clock and, if the deadline passed, takes the cancellation back.
fn leave<'py>(py: Python<'py>, scope: Scope, failure: Option<&Bound<'py, PyAny>>) -> PyResult<Option<PyErr>> {
    if let Some(timer) = scope.timer {
        timer.stop(py)?;
    }
    match (scope.phase, &scope.task) {
        (Phase::Expiring, Some(task)) => convert(task.bind(py), scope.cancelling, failure),
        _ => Ok(None),
    }
}

/// The deadline has come: cancels the task that waits.
fn expire<'py>(waiting: &Bound<'py, PyAny>, _done: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = waiting.py();
    let Some(operation) = waiting.as_exactly::<Operation>() else { return Ok(()) };
    let task = operation.get().with_kind(py, |kind| match kind {
        Kind::WaitFor(waiting) => match &waiting.stage {
            Stage::Awaiting(_, scope) => scope.due(py),
            _ => None,
        },
        _ => None,
    });
    let Some(task) = task.flatten() else { return Ok(()) };
    cancel_waiter(task.bind(py), None)?;
    let timer = operation.get().with_kind(py, |kind| match kind {
        Kind::WaitFor(waiting) => match &mut waiting.stage {
            Stage::Awaiting(_, scope) => {
                scope.phase = Phase::Expiring;
                scope.timer.take()
            }
            _ => None,
        },
        _ => None,
    });
    drop(timer);
    Ok(())
}

static WAKE: Watch = Watch::new("_release_waiter", wake).awaited_by(|waiting| {
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

/// The result of a future that was cancelled for lack of time, if it ended with one all the same.
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
