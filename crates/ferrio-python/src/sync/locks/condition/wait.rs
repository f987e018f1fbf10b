//! Waiting at a condition: release its lock, await a notification, take the lock again.
//!
//! A barrier's operations use `Wait` too. Invariant: a wait that has joined the waiters ends with the lock held, whatever
//! it raises, unless the lock itself fails. A notification that it can't use is passed on.
use pyo3::prelude::*;

use super::{AnyLock, Condition};
use crate::base::error;
use crate::base::ffi::coroutine::Sent;
use crate::base::ffi::{interpreter, raise};
use crate::base::gc::gc;
use crate::core::operation::run::{Progress, Resume, Run};
use crate::core::operation::{self, Operation};
use crate::sync::locks::waiters::Ticket;
use crate::sync::locks::{bound, lock};

/// What a part of an operation did.
pub(in crate::sync::locks) enum Step<'py> {
    /// It is finished.
    Done,
    /// The operation must park.
    Park,
    /// The operation must hand this up.
    Forward(Bound<'py, PyAny>),
}

impl<'py> From<Step<'py>> for Option<Progress<'py>> {
    /// What the operation has to answer, or `None` when it may go on.
    fn from(step: Step<'py>) -> Self {
        match step {
            Step::Done => None,
            Step::Park => Some(Progress::Park),
            Step::Forward(yielded) => Some(Progress::Forward(yielded)),
        }
    }
}

/// Taking the lock again after a wait.
enum Reacquire {
    Native(lock::Acquire),
    /// The iterator of what the lock's `acquire()` returned.
    Other(Py<PyAny>),
}

gc!(match Reacquire {
    Self::Native(acquire) => (acquire),
    Self::Other(inner) => (inner),
});

impl Reacquire {
    fn new(py: Python<'_>, lock: &AnyLock) -> PyResult<Self> {
        match lock {
            AnyLock::Native(native) => Ok(Self::Native(lock::Acquire::new(native.bind(py)))),
            AnyLock::Other(other) => {
                let awaitable = other.bind(py).call_method0(intern!(py, "acquire"))?;
                Ok(Self::Other(operation::start_awaiting(&awaitable)?.unbind()))
            }
        }
    }

    fn advance<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Step<'py>> {
        match self {
            Self::Native(acquire) => Ok(if acquire.advance(this, resume)? { Step::Done } else { Step::Park }),
            Self::Other(inner) => match operation::forward(inner.bind(this.py()), resume) {
                Sent::Yielded(yielded) => Ok(Step::Forward(yielded)),
                Sent::Returned(_) => Ok(Step::Done),
                Sent::Raised(failure) => Err(failure),
            },
        }
    }
}

/// The wait for a notification, and for the lock after it.
pub(in crate::sync::locks) struct Wait {
    condition: Py<Condition>,
    stage: Stage,
    /// What ended the wait for a notification, to be raised after the lock is taken.
    failure: Option<Py<PyAny>>,
    /// The last cancellation that came while the lock was being taken; it is raised in place of `failure`.
    cancelled: Option<Py<PyAny>>,
}

gc!(Wait { condition, stage, failure, cancelled });

enum Stage {
    Fresh,
    Waiting(Ticket),
    Acquiring(Reacquire),
}

gc!(match Stage {
    Self::Acquiring(reacquire) => (reacquire),
    Self::Fresh | Self::Waiting(_) => (),
});

impl Wait {
    pub(in crate::sync::locks) fn new(condition: &Bound<'_, Condition>) -> Self {
        Self { condition: condition.clone().unbind(), stage: Stage::Fresh, failure: None, cancelled: None }
    }

    pub(in crate::sync::locks) fn advance<'py>(
        &mut self,
        this: &Bound<'py, Operation>,
        resume: Resume<'py>,
    ) -> PyResult<Step<'py>> {
        let py = this.py();
        let condition = self.condition.bind(py).clone();
        let resume = match self.stage {
            Stage::Fresh => {
                let lock = condition.get().lock(py)?;
                condition.get().require_locked(py, "cannot wait on un-acquired lock")?;
                bound::require_loop(condition.as_super())?;
                self.join_waiters(this, &condition, &lock)?;
                return Ok(Step::Park);
            }
            Stage::Waiting(ticket) => {
                let gone = condition.get().state.with(py, |state| state.waiters.remove(ticket));
                drop(gone);
                if let Resume::Throw(exception) = resume {
                    self.failure = Some(exception.unbind());
                }
                self.stage = Stage::Acquiring(Reacquire::new(py, &condition.get().lock(py)?)?);
                Resume::Send
            }
            Stage::Acquiring(_) => resume,
        };
        match self.acquire(this, &condition, resume) {
            Ok(Step::Done) => match self.cancelled.take().or(self.failure.take()) {
                None => Ok(Step::Done),
                Some(failure) => self.fail(py, PyErr::from_value(failure.into_bound(py))),
            },
            Ok(step) => Ok(step),
            Err(failure) => self.fail(py, failure),
        }
    }

    /// Releases the lock and joins the waiters.
    ///
    /// With ferrio's own lock it joins first, so that the next holder, in another thread, finds it to notify. The `release`
    /// of another lock runs a program's code, which mustn't see it waiting yet, as in asyncio.
    fn join_waiters(
        &mut self,
        this: &Bound<'_, Operation>,
        condition: &Bound<'_, Condition>,
        lock: &AnyLock,
    ) -> PyResult<()> {
        let py = this.py();
        let waiter = this.clone().unbind();
        let join = || condition.get().state.with(py, |state| state.waiters.push(py, waiter));
        let AnyLock::Native(_) = lock else {
            lock.release(py)?;
            self.stage = Stage::Waiting(join()?);
            return Ok(());
        };
        let ticket = join()?;
        self.stage = Stage::Waiting(ticket);
        lock.release(py).or_else(|failure| {
            let gone = condition.get().state.with(py, |state| state.waiters.remove(ticket));
            drop(gone);
            // Another thread has released it and may have notified us.
            self.fail(py, failure).map(drop)
        })
    }

    /// Takes the lock in spite of cancellations; the last one is kept.
    fn acquire<'py>(
        &mut self,
        this: &Bound<'py, Operation>,
        condition: &Bound<'py, Condition>,
        mut resume: Resume<'py>,
    ) -> PyResult<Step<'py>> {
        let py = this.py();
        loop {
            let Stage::Acquiring(acquiring) = &mut self.stage else { return Ok(Step::Done) };
            match acquiring.advance(this, resume) {
                Err(failure) if error::is_cancelled(py, &failure) => {
                    self.cancelled = Some(self.while_failing(py, failure)?.into_value(py).into_any());
                    self.stage = Stage::Acquiring(Reacquire::new(py, &condition.get().lock(py)?)?);
                    resume = Resume::Send;
                }
                other => return other,
            }
        }
    }

    /// A cancellation, raised while what ended the wait is being handled: that is its context.
    fn while_failing(&self, py: Python<'_>, cancellation: PyErr) -> PyResult<PyErr> {
        let Some(failure) = &self.failure else { return Ok(cancellation) };
        let cancellation = error::into_object(py, cancellation).into_any();
        Ok(raise::while_handling(failure.bind(py).cast()?, || raise::raise(cancellation)))
    }

    /// Raises `failure`. If we were notified, another waiter gets the notification.
    fn fail<'py>(&self, py: Python<'py>, failure: PyErr) -> PyResult<Step<'py>> {
        self.condition.bind(py).get().wake_some(py, 1)?;
        Err(failure)
    }

    fn awaits<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        match &self.stage {
            Stage::Acquiring(Reacquire::Other(inner)) => Some(inner.bind(py).clone()),
            _ => None,
        }
    }
}

impl Run for Wait {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let step: Option<Progress<'py>> = self.advance(this, resume)?.into();
        Ok(step.unwrap_or_else(|| Progress::Ready(lock::acquired(this.py(), false))))
    }

    fn name(&self) -> &'static str {
        "Condition.wait"
    }

    fn inner_names(&self) -> &'static [&'static str] {
        if matches!(self.stage, Stage::Acquiring(_)) { &["Lock.acquire"] } else { &[] }
    }

    fn awaits<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        Wait::awaits(self, py)
    }
}

/// `wait()` until a predicate holds.
pub(super) struct WaitFor {
    condition: Py<Condition>,
    predicate: Py<PyAny>,
    inner: Option<Waiting>,
}

gc!(WaitFor { condition, predicate, inner });

enum Waiting {
    Native(Wait),
    /// The iterator of what a subclass's own `wait()` returned.
    Other(Py<PyAny>),
}

gc!(match Waiting {
    Self::Native(wait) => (wait),
    Self::Other(inner) => (inner),
});

impl WaitFor {
    pub(super) fn new(condition: &Bound<'_, Condition>, predicate: Py<PyAny>) -> Self {
        Self { condition: condition.clone().unbind(), predicate, inner: None }
    }

    fn start(&self, py: Python<'_>) -> PyResult<Waiting> {
        let condition = self.condition.bind(py);
        if interpreter::is_exactly::<Condition>(condition.as_any()) {
            return Ok(Waiting::Native(Wait::new(condition)));
        }
        let awaitable = condition.call_method0(intern!(py, "wait"))?;
        Ok(Waiting::Other(operation::start_awaiting(&awaitable)?.unbind()))
    }
}

impl Run for WaitFor {
    fn resume<'py>(
        &mut self,
        this: &Bound<'py, Operation>,
        mut resume: Resume<'py>,
    ) -> PyResult<Progress<'py>> {
        let py = this.py();
        loop {
            let step = match &mut self.inner {
                None => Step::Done,
                Some(Waiting::Native(wait)) => wait.advance(this, resume)?,
                Some(Waiting::Other(inner)) => match operation::forward(inner.bind(py), resume) {
                    Sent::Yielded(yielded) => Step::Forward(yielded),
                    Sent::Returned(_) => Step::Done,
                    Sent::Raised(failure) => return Err(failure),
                },
            };
            if let Some(progress) = step.into() {
                return Ok(progress);
            }
            let value = self.predicate.bind(py).call0()?;
            if value.is_truthy()? {
                return Ok(Progress::Ready(value));
            }
            self.inner = Some(self.start(py)?);
            resume = Resume::Send;
        }
    }

    fn name(&self) -> &'static str {
        "Condition.wait_for"
    }

    fn inner_names(&self) -> &'static [&'static str] {
        &["Condition.wait"]
    }

    fn awaits<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        match &self.inner {
            Some(Waiting::Native(wait)) => wait.awaits(py),
            Some(Waiting::Other(inner)) => Some(inner.bind(py).clone()),
            None => None,
        }
    }
}
