//! `Condition`: wait until another task says that something has changed.
//!
//! Its lock may be any object with `locked`, `acquire` and `release`; ferrio's own is used directly. Waiting is in
//! `wait.rs`.

mod wait;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use self::wait::WaitFor;
pub(super) use self::wait::{Step, Wait};
use super::bound::{self, LoopBound};
use super::context;
use super::lock::{self, Lock, with_waiters};
use super::waiters::{HasWaiters, WaitList, show_waiters};
use crate::base::arguments::at_least;
use crate::base::class::{Class, Standard};
use crate::base::ffi::fastcall::{Quick, quick};
use crate::base::ffi::{Guarded, interpreter};
use crate::base::functions::Functions;
use crate::base::gc::{collected, gc};
use crate::core::operation;
use crate::core::operation::unawaited::Unawaited;

/// A lock (`lock`, or a new one) and the tasks that wait for a notification without holding it.
///
/// Meaning and methods are those of `asyncio.Condition`. `acquire`, `release` and `locked` are the lock's.
#[pyclass(extends = LoopBound, subclass, frozen, module = "ferrio")]
pub(crate) struct Condition {
    state: Guarded<ConditionState>,
}

collected!(Condition { state }, written by state, clear { state });

impl Class for Condition {
    const BELOW: Option<Standard> = Some(("asyncio.locks", "Condition"));
    const SHORT_NAME: bool = true;
}

impl Functions for Condition {
    const COROUTINES: &'static [&'static str] = &["__aenter__", "__aexit__", "acquire", "wait", "wait_for"];
    const QUICK: &'static [Quick] = quick!(Condition {
        "__aenter__" (0 to 0) |condition, _| Condition::__aenter__(condition);
        "__aexit__" (3 to 3) |condition, _| exit(condition);
    });
}

#[derive(Default)]
struct ConditionState {
    lock: Option<AnyLock>,
    waiters: WaitList,
}

gc!(ConditionState { lock, waiters });

/// The lock of a condition.
enum AnyLock {
    Native(Py<Lock>),
    Other(Py<PyAny>),
}

gc!(match AnyLock {
    Self::Native(native) => (native),
    Self::Other(other) => (other),
});

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
            AnyLock::Native(native) => lock::acquire(native.bind(py)).into_pyobject(py),
            AnyLock::Other(other) => other.bind(py).call_method0(intern!(py, "acquire")),
        }
    }

    /// Release the lock; what the lock's `release()` returns.
    fn release<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.lock(py)?.object(py).call_method0(intern!(py, "release"))
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> PyResult<Unawaited> {
        let py = slf.py();
        match slf.get().lock(py)? {
            AnyLock::Native(native) if interpreter::is_exactly::<Self>(slf.as_any()) => {
                Ok(Unawaited::new(lock::Acquire::entering(native.bind(py))))
            }
            _ => Ok(context::enter(slf.as_any())),
        }
    }

    #[pyo3(signature = (exc_type, exc, tb))]
    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        exc_type: &Bound<'py, PyAny>,
        exc: &Bound<'py, PyAny>,
        tb: &Bound<'py, PyAny>,
    ) -> PyResult<Unawaited> {
        let _ = (exc_type, exc, tb);
        exit(slf)
    }

    /// Release the lock, wait for a notification, take the lock again; return `True`.
    ///
    /// May return without a notification, so check what you wait for. Raises `RuntimeError` if the lock isn't taken.
    fn wait(slf: &Bound<'_, Self>) -> Unawaited {
        Unawaited::new(Wait::new(slf))
    }

    /// `wait()` until `predicate()` is true; return what it returned.
    fn wait_for(slf: &Bound<'_, Self>, predicate: Py<PyAny>) -> Unawaited {
        Unawaited::new(WaitFor::new(slf, predicate))
    }

    /// Wake up to `n` waiting tasks. They continue when they have the lock.
    ///
    /// Raises `RuntimeError` if the lock isn't taken.
    #[pyo3(signature = (n = 1))]
    fn notify(&self, py: Python<'_>, #[pyo3(from_py_with = at_least)] n: i64) -> PyResult<()> {
        self.require_locked(py, "cannot notify on un-acquired lock")?;
        self.wake_some(py, n)
    }

    /// Wake all waiting tasks. Raises `RuntimeError` if the lock isn't taken.
    fn notify_all(slf: &Bound<'_, Self>) -> PyResult<()> {
        if interpreter::is_exactly::<Self>(slf.as_any()) {
            return notify_all(slf);
        }
        let waiting = slf.get().state.with(slf.py(), |state| state.waiters.len());
        slf.call_method1(intern!(slf.py(), "notify"), (waiting,)).map(drop)
    }

    /// Wakes up to `n` waiting tasks without checking the lock.
    fn _notify(&self, py: Python<'_>, #[pyo3(from_py_with = at_least)] n: i64) -> PyResult<()> {
        self.wake_some(py, n)
    }

    /// The lock.
    #[getter]
    fn _lock<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.lock(py)?.object(py).clone())
    }

    #[setter(_lock)]
    fn set_lock(&self, py: Python<'_>, value: Bound<'_, PyAny>) {
        let old = self.state.with(py, |state| state.lock.replace(AnyLock::of(value)));
        drop(old);
    }
}

impl HasWaiters for Condition {
    #[inline]
    fn with_waiters<R>(&self, py: Python<'_>, look: impl FnOnce(&mut WaitList) -> R) -> R {
        self.state.with(py, |state| look(&mut state.waiters))
    }
}

show_waiters!(Condition);

/// The end of `async with condition`.
#[inline]
fn exit(condition: &Bound<'_, Condition>) -> PyResult<Unawaited> {
    let py = condition.py();
    match condition.get().lock(py)? {
        AnyLock::Native(native) if interpreter::is_exactly::<Condition>(condition.as_any()) => {
            Ok(context::exit(native.bind(py).as_any()))
        }
        _ => Ok(context::exit(condition.as_any())),
    }
}

impl Condition {
    fn without_lock() -> PyClassInitializer<Self> {
        PyClassInitializer::from(LoopBound::default())
            .add_subclass(Self { state: Guarded::new(ConditionState::default()) })
    }

    /// A condition on `lock`, for another class of ours.
    pub(super) fn on(lock: Py<Lock>) -> PyClassInitializer<Self> {
        let state = ConditionState { lock: Some(AnyLock::Native(lock)), waiters: WaitList::default() };
        PyClassInitializer::from(LoopBound::default()).add_subclass(Self { state: Guarded::new(state) })
    }

    /// The lock. Raises `RuntimeError` if `__init__` was never called.
    fn lock(&self, py: Python<'_>) -> PyResult<AnyLock> {
        self.state
            .with(py, |state| state.lock.as_ref().map(|lock| lock.duplicate(py)))
            .ok_or_else(|| crate::core::future::not_initialized("Condition"))
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
