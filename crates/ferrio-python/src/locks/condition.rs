//! `Condition`: wait, with a lock in hand, until another task says that something changed.
//!
//! The lock may be any object with `locked`, `acquire` and `release`; ferrio's own is spoken to directly.
//! `Wait` and `Reacquire` are also parts of a barrier's operations.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use pyo3::{PyTraverseError, PyVisit, intern};

use super::bound::{self, LoopBound};
use super::context;
use super::lock::{self, Lock, with_waiters};
use super::waiters::{self, Ticket, WaitList};
use crate::error;
use crate::ffi::coroutine::Sent;
use crate::ffi::{Guarded, interpreter};
use crate::operation::immediate::Immediate;
use crate::operation::kind::{Kind, Progress, Resume, Run};
use crate::operation::{self, Operation};

/// A lock (`lock`, or a new one) and those who wait, without holding it, for a notification.
///
/// Meaning and methods are those of `asyncio.Condition`. `acquire`, `release` and `locked` are the lock's.
#[pyclass(extends = LoopBound, subclass, frozen, module = "ferrio")]
pub(crate) struct Condition {
    state: Guarded<State>,
}

#[derive(Default)]
struct State {
    lock: Option<AnyLock>,
    waiters: WaitList,
}

/// The lock below.
enum AnyLock {
    Native(Py<Lock>),
    Other(Py<PyAny>),
}

impl AnyLock {
    fn of(object: Bound<'_, PyAny>) -> Self {
        match object.cast_into_exact::<Lock>() {
            Ok(native) => Self::Native(native.unbind()),
            Err(other) => Self::Other(other.into_inner().unbind()),
        }
    }

    fn duplicate(&self, py: Python<'_>) -> Self {
        match self {
            Self::Native(native) => Self::Native(native.clone_ref(py)),
            Self::Other(other) => Self::Other(other.clone_ref(py)),
        }
    }

    fn object<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        match self {
            Self::Native(native) => native.bind(py).as_any(),
            Self::Other(other) => other.bind(py),
        }
    }

    fn locked(&self, py: Python<'_>) -> PyResult<bool> {
        match self {
            Self::Native(native) => Ok(native.get().is_locked(py)),
            Self::Other(other) => other.bind(py).call_method0(intern!(py, "locked"))?.is_truthy(),
        }
    }

    fn release(&self, py: Python<'_>) -> PyResult<()> {
        match self {
            Self::Native(native) => lock::release(native.bind(py)),
            Self::Other(other) => other.bind(py).call_method0(intern!(py, "release")).map(drop),
        }
    }
}

#[pymethods]
impl Condition {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(lock=None)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        Self::without_lock()
    }

    #[pyo3(signature = (lock = None))]
    fn __init__(slf: &Bound<'_, Self>, lock: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let lock = match lock {
            Some(lock) => AnyLock::of(lock),
            None => AnyLock::Native(Py::new(py, Lock::unlocked())?),
        };
        for name in ["locked", "acquire", "release"] {
            lock.object(py).getattr(name)?;
        }
        let old = slf.get().state.with(py, |state| state.lock.replace(lock));
        drop(old);
        Ok(())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let word = if slf.get().lock(py)?.locked(py)? { "locked" } else { "unlocked" };
        let waiting = slf.get().state.with(py, |state| state.waiters.len());
        bound::repr_with(slf.as_any(), &with_waiters(word, waiting))
    }

    /// Return whether the lock is taken.
    fn locked<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.lock(py)?.object(py).call_method0(intern!(py, "locked"))
    }

    /// Take the lock; what the lock's `acquire()` returns.
    fn acquire<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.lock(py)? {
            AnyLock::Native(native) => Ok(Bound::new(py, lock::acquire(native.bind(py)))?.into_any()),
            AnyLock::Other(other) => other.bind(py).call_method0(intern!(py, "acquire")),
        }
    }

    /// Release the lock; what the lock's `release()` returns.
    fn release<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.lock(py)?.object(py).call_method0(intern!(py, "release"))
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> PyResult<Operation> {
        let py = slf.py();
        match slf.get().lock(py)? {
            AnyLock::Native(native) if interpreter::is_exactly::<Self>(slf.as_any()) => {
                Ok(Operation::new(Kind::LockAcquire(lock::Acquire::entering(native.bind(py)))))
            }
            _ => Ok(context::enter(slf.as_any())),
        }
    }

    #[pyo3(signature = (_exc_type, _exc, _tb, /))]
    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        _exc_type: &Bound<'py, PyAny>,
        _exc: &Bound<'py, PyAny>,
        _tb: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Immediate>> {
        let py = slf.py();
        match slf.get().lock(py)? {
            AnyLock::Native(native) if interpreter::is_exactly::<Self>(slf.as_any()) => {
                context::exit(native.bind(py).as_any())
            }
            _ => context::exit(slf.as_any()),
        }
    }

    /// Release the lock, wait for a notification, take the lock again; return `True`.
    ///
    /// May return without a notification, so check what you wait for. Raises `RuntimeError` if the lock isn't taken.
    fn wait(slf: &Bound<'_, Self>) -> Operation {
        Operation::boxed(Wait::new(slf))
    }

    /// `wait()` until `predicate()` is true; return what it returned.
    fn wait_for(slf: &Bound<'_, Self>, predicate: Py<PyAny>) -> Operation {
        Operation::boxed(WaitFor { condition: slf.clone().unbind(), predicate, inner: None })
    }

    /// Wake up to `n` of those who wait. They go on once they have the lock.
    ///
    /// Raises `RuntimeError` if the lock isn't taken.
    #[pyo3(signature = (n = 1))]
    fn notify(&self, py: Python<'_>, n: i64) -> PyResult<()> {
        self.require_locked(py, "cannot notify on un-acquired lock")?;
        self.wake_some(py, n)
    }

    /// Wake everybody who waits. Raises `RuntimeError` if the lock isn't taken.
    fn notify_all(slf: &Bound<'_, Self>) -> PyResult<()> {
        if interpreter::is_exactly::<Self>(slf.as_any()) {
            return notify_all(slf);
        }
        let waiting = slf.get().state.with(slf.py(), |state| state.waiters.len());
        slf.call_method1(intern!(slf.py(), "notify"), (waiting,)).map(drop)
    }

    /// Wakes up to `n` of those who wait, without a look at the lock.
    fn _notify(&self, py: Python<'_>, n: i64) -> PyResult<()> {
        self.wake_some(py, n)
    }

    /// The lock.
    #[getter]
    fn _lock<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.lock(py)?.object(py).clone())
    }

    /// Those who wait, in order: a copy of the list.
    #[getter]
    fn _waiters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        waiters::shown(py, self.state.with(py, |state| state.waiters.duplicate(py)))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.state.visit(&visit, |state| {
            match &state.lock {
                Some(AnyLock::Native(native)) => visit.call(native)?,
                Some(AnyLock::Other(other)) => visit.call(other)?,
                None => {}
            }
            state.waiters.traverse(&visit)
        })
    }

    fn __clear__(&self, py: Python<'_>) {
        let cleared = self.state.with(py, std::mem::take);
        drop(cleared);
    }
}

impl Condition {
    fn without_lock() -> PyClassInitializer<Self> {
        PyClassInitializer::from(LoopBound::default())
            .add_subclass(Self { state: Guarded::new(State::default()) })
    }

    /// A condition on `lock`, for another class of ours.
    pub(super) fn on(lock: Py<Lock>) -> PyClassInitializer<Self> {
        let state = State { lock: Some(AnyLock::Native(lock)), waiters: WaitList::default() };
        PyClassInitializer::from(LoopBound::default()).add_subclass(Self { state: Guarded::new(state) })
    }

    /// The lock. Raises `RuntimeError` if `__init__` was never called.
    fn lock(&self, py: Python<'_>) -> PyResult<AnyLock> {
        self.state
            .with(py, |state| state.lock.as_ref().map(|lock| lock.duplicate(py)))
            .ok_or_else(|| crate::future::not_initialized("Condition"))
    }

    fn require_locked(&self, py: Python<'_>, otherwise: &'static str) -> PyResult<()> {
        if self.lock(py)?.locked(py)? { Ok(()) } else { Err(PyRuntimeError::new_err(otherwise)) }
    }

    fn wake_some(&self, py: Python<'_>, n: i64) -> PyResult<()> {
        for _ in 0..n {
            let Some(next) = self.state.with(py, |state| state.waiters.next_parked(py)) else { break };
            operation::wake(&next)?;
        }
        Ok(())
    }
}

/// `condition.notify_all()` of a class whose `notify` is ours.
pub(super) fn notify_all(condition: &Bound<'_, Condition>) -> PyResult<()> {
    let py = condition.py();
    condition.get().require_locked(py, "cannot notify on un-acquired lock")?;
    condition.get().wake_some(py, i64::MAX)
}

/// What a part of an operation did.
pub(super) enum Step<'py> {
    /// It is finished.
    Done,
    /// The operation is to park.
    Park,
    /// The operation is to hand this up.
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
pub(super) struct Wait {
    condition: Py<Condition>,
    stage: Stage,
    /// What the wait is to raise once the lock is taken.
    failure: Option<PyErr>,
}

enum Stage {
    Fresh,
    Waiting(Ticket),
    Acquiring(Reacquire),
}

impl Wait {
    pub(super) fn new(condition: &Bound<'_, Condition>) -> Self {
        Self { condition: condition.clone().unbind(), stage: Stage::Fresh, failure: None }
    }

    pub(super) fn advance<'py>(
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
                self.stand_in_line(this, &condition, &lock)?;
                return Ok(Step::Park);
            }
            Stage::Waiting(ticket) => {
                let gone = condition.get().state.with(py, |state| state.waiters.remove(ticket));
                drop(gone);
                if let Resume::Throw(exception) = resume {
                    self.failure = Some(PyErr::from_value(exception));
                }
                self.stage = Stage::Acquiring(Reacquire::new(py, &condition.get().lock(py)?)?);
                Resume::Send
            }
            Stage::Acquiring(_) => resume,
        };
        match self.acquire(this, &condition, resume) {
            Ok(Step::Done) => match self.failure.take() {
                None => Ok(Step::Done),
                Some(failure) => self.fail(py, failure),
            },
            Ok(step) => Ok(step),
            Err(failure) => self.fail(py, failure),
        }
    }

    /// Lets the lock go and joins those who wait.
    ///
    /// With a lock of ours first the line, then the lock: who has the lock next, in another thread, finds us to notify.
    /// A lock of another kind runs a program's code in `release`, to which we don't wait yet, as in asyncio.
    fn stand_in_line(
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
            self.stage = Stage::Waiting(join());
            return Ok(());
        };
        let ticket = join();
        self.stage = Stage::Waiting(ticket);
        lock.release(py).or_else(|failure| {
            let gone = condition.get().state.with(py, |state| state.waiters.remove(ticket));
            drop(gone);
            // Another thread has released it, and may have notified us.
            self.fail(py, failure).map(drop)
        })
    }

    /// Takes the lock, whatever cancellations come meanwhile: the last of them is raised afterwards.
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
                    self.failure = Some(failure);
                    self.stage = Stage::Acquiring(Reacquire::new(py, &condition.get().lock(py)?)?);
                    resume = Resume::Send;
                }
                other => return other,
            }
        }
    }

    /// Raises `failure`. We may have been notified: another one is, in our place.
    fn fail<'py>(&self, py: Python<'py>, failure: PyErr) -> PyResult<Step<'py>> {
        self.condition.bind(py).get().wake_some(py, 1)?;
        Err(failure)
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.condition)?;
        match &self.stage {
            Stage::Acquiring(Reacquire::Native(acquire)) => acquire.traverse(visit),
            Stage::Acquiring(Reacquire::Other(inner)) => visit.call(inner),
            Stage::Fresh | Stage::Waiting(_) => Ok(()),
        }
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

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        Wait::traverse(self, visit)
    }

    fn name(&self) -> &'static str {
        "Condition.wait"
    }

    fn awaits<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        Wait::awaits(self, py)
    }
}

/// `wait()` until a predicate holds.
struct WaitFor {
    condition: Py<Condition>,
    predicate: Py<PyAny>,
    inner: Option<Waiting>,
}

enum Waiting {
    Native(Wait),
    /// The iterator of what a subclass's own `wait()` returned.
    Other(Py<PyAny>),
}

impl WaitFor {
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

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.condition)?;
        visit.call(&self.predicate)?;
        match &self.inner {
            Some(Waiting::Native(wait)) => wait.traverse(visit),
            Some(Waiting::Other(inner)) => visit.call(inner),
            None => Ok(()),
        }
    }

    fn name(&self) -> &'static str {
        "Condition.wait_for"
    }

    fn awaits<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        match &self.inner {
            Some(Waiting::Native(wait)) => wait.awaits(py),
            Some(Waiting::Other(inner)) => Some(inner.bind(py).clone()),
            None => None,
        }
    }
}
