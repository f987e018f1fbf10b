//! `Lock`: mutual exclusion between tasks, first come first served.
//!
//! Invariant: what leaves the lock free (a release, a cancelled waiter) wakes the first waiter.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyTuple};

use super::bound::{self, LoopBound};
use super::context;
use super::waiters::{HasWaiters, Ticket, WaitList, show_waiters};
use crate::base::arguments::truth;
use crate::base::class::{Class, Standard};
use crate::base::error;
use crate::base::ffi::fastcall::{Quick, quick};
use crate::base::ffi::{Guarded, interpreter};
use crate::base::functions::Functions;
use crate::base::gc::{collected, gc};
use crate::core::operation::run::{Progress, Resume, Run};
use crate::core::operation::unawaited::Unawaited;
use crate::core::operation::{self, Operation};

/// A mutex for tasks: `async with lock: ...`. Not owned by a task, fair, not safe to use from several threads.
///
/// Meaning and methods are those of `asyncio.Lock`.
#[pyclass(extends = LoopBound, subclass, frozen, module = "ferrio")]
pub(crate) struct Lock {
    state: Guarded<LockState>,
}

collected!(Lock { state }, written by state, clear { state });

impl Class for Lock {
    const BELOW: Option<Standard> = Some(("asyncio.locks", "Lock"));
    const SHORT_NAME: bool = true;
}

impl Functions for Lock {
    const COROUTINES: &'static [&'static str] = &["__aenter__", "__aexit__", "acquire"];
    const QUICK: &'static [Quick] = quick!(Lock {
        "acquire" (0 to 0) |lock, _| Lock::acquire(lock);
        "release" (0 to 0) |lock, _| Lock::release(lock);
        "__aenter__" (0 to 0) |lock, _| Lock::__aenter__(lock);
        "__aexit__" (3 to 3) |lock, _| context::exit(lock.as_any());
    });
}

#[derive(Default)]
struct LockState {
    locked: bool,
    waiters: WaitList,
}

gc!(LockState { waiters } not { locked });

#[pymethods]
impl Lock {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "()")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        Self::unlocked()
    }

    #[pyo3(signature = ())]
    fn __init__(&self) {}

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let word = if slf.get().is_locked(slf.py()) { "locked" } else { "unlocked" };
        let waiting = slf.get().state.with(slf.py(), |state| state.waiters.len());
        bound::repr_with(slf.as_any(), &with_waiters(word, waiting))
    }

    /// Return whether the lock is taken.
    fn locked(&self, py: Python<'_>) -> bool {
        self.is_locked(py)
    }

    /// Wait until the lock is free, take it, and return `True`. Does not suspend if it is free.
    fn acquire(slf: &Bound<'_, Self>) -> Unawaited {
        acquire(slf)
    }

    /// Free the lock and let the first waiter continue. Raises `RuntimeError` if it isn't taken.
    fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        release(slf)
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> Unawaited {
        if interpreter::is_exactly::<Self>(slf.as_any()) {
            return Unawaited::new(Acquire::entering(slf));
        }
        context::enter(slf.as_any())
    }

    #[pyo3(signature = (exc_type, exc, tb))]
    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        exc_type: &Bound<'py, PyAny>,
        exc: &Bound<'py, PyAny>,
        tb: &Bound<'py, PyAny>,
    ) -> Unawaited {
        let _ = (exc_type, exc, tb);
        context::exit(slf.as_any())
    }

    #[getter]
    fn _locked(&self, py: Python<'_>) -> bool {
        self.is_locked(py)
    }

    #[setter(_locked)]
    fn set_locked(&self, py: Python<'_>, #[pyo3(from_py_with = truth)] value: bool) {
        self.state.with(py, |state| state.locked = value);
    }
}

impl HasWaiters for Lock {
    #[inline]
    fn with_waiters<R>(&self, py: Python<'_>, look: impl FnOnce(&mut WaitList) -> R) -> R {
        self.state.with(py, |state| look(&mut state.waiters))
    }
}

show_waiters!(Lock);

impl Lock {
    /// A free lock.
    pub(super) fn unlocked() -> PyClassInitializer<Self> {
        PyClassInitializer::from(LoopBound::default())
            .add_subclass(Self { state: Guarded::new(LockState::default()) })
    }

    /// Whether it is taken.
    #[inline]
    pub(super) fn is_locked(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.locked)
    }
}

/// The operation behind `lock.acquire()`.
#[inline]
pub(super) fn acquire(lock: &Bound<'_, Lock>) -> Unawaited {
    Unawaited::new(Acquire::new(lock))
}

/// `lock.release()`. Raises `RuntimeError` if it isn't taken.
#[inline]
pub(super) fn release(lock: &Bound<'_, Lock>) -> PyResult<()> {
    let py = lock.py();
    let released =
        lock.get().state.with(py, |state| std::mem::take(&mut state.locked).then(|| state.waiters.front(py)));
    match released {
        Some(None) => Ok(()),
        // If the first one was woken or cancelled already, it passes the lock on itself.
        Some(Some(first)) => operation::wake(&first).map(drop),
        None => Err(PyRuntimeError::new_err("Lock is not acquired.")),
    }
}

/// The text in the brackets of a `repr`: `word`, and how many wait.
pub(super) fn with_waiters(word: &str, waiting: usize) -> String {
    if waiting == 0 { word.to_owned() } else { format!("{word}, waiters:{waiting}") }
}

/// The wait for a lock. A condition's and a barrier's operations use it too.
pub(crate) struct Acquire {
    lock: Py<Lock>,
    ticket: Ticket,
    /// Whether it begins an `async with`, whose value is `None`.
    entering: bool,
}

gc!(Acquire { lock } not { ticket, entering });

impl Acquire {
    #[inline]
    pub(super) fn new(lock: &Bound<'_, Lock>) -> Self {
        Self { lock: lock.clone().unbind(), ticket: Ticket::NONE, entering: false }
    }

    #[inline]
    pub(super) fn entering(lock: &Bound<'_, Lock>) -> Self {
        Self { entering: true, ..Self::new(lock) }
    }

    /// Continues. Returns whether the lock is taken; if not, `this` must park.
    #[inline]
    pub(super) fn advance(&mut self, this: &Bound<'_, Operation>, resume: Resume<'_>) -> PyResult<bool> {
        let py = this.py();
        let lock = self.lock.bind(py);
        match resume {
            Resume::Send if self.ticket == Ticket::NONE => {
                let taken = lock.get().state.with(py, |state| {
                    let free = !state.locked && state.waiters.all_cancelled(py);
                    state.locked |= free;
                    free
                });
                if !taken {
                    bound::require_loop(lock.as_super())?;
                    let waiter = this.clone().unbind();
                    // Another thread may have released it since.
                    let unneeded = lock.get().state.with(py, |state| {
                        if !state.locked && state.waiters.all_cancelled(py) {
                            state.locked = true;
                            return Ok(Some(waiter));
                        }
                        self.ticket = state.waiters.push(py, waiter)?;
                        PyResult::Ok(None)
                    })?;
                    return Ok(unneeded.is_some());
                }
                Ok(taken)
            }
            Resume::Send => {
                let gone = lock.get().state.with(py, |state| {
                    state.locked = true;
                    state.waiters.remove(self.ticket)
                });
                drop(gone);
                Ok(true)
            }
            Resume::Throw(exception) => {
                let (gone, free) =
                    lock.get().state.with(py, |state| (state.waiters.remove(self.ticket), !state.locked));
                drop(gone);
                if free && error::is_cancellation(&exception)? {
                    // A release may have woken us: pass its wake-up on to the first waiter.
                    let first = lock.get().state.with(py, |state| state.waiters.front(py));
                    if let Some(first) = first {
                        operation::wake(&first)?;
                    }
                }
                Err(PyErr::from_value(exception))
            }
        }
    }
}

impl Run for Acquire {
    #[inline]
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        if !self.advance(this, resume)? {
            return Ok(Progress::Park);
        }
        Ok(Progress::Ready(acquired(py, self.entering)))
    }

    fn name(&self) -> &'static str {
        if self.entering { "_ContextManagerMixin.__aenter__" } else { "Lock.acquire" }
    }

    fn inner_names(&self) -> &'static [&'static str] {
        if self.entering { &["Lock.acquire"] } else { &[] }
    }

    fn wakes_with_true(&self) -> bool {
        true
    }

    #[inline]
    fn discard(self, py: Python<'_>) {
        self.lock.drop_ref(py);
    }
}

/// The value of the `await`: `True` for `acquire()`, `None` for the beginning of an `async with`.
#[inline]
pub(super) fn acquired(py: Python<'_>, entering: bool) -> Bound<'_, PyAny> {
    if entering { py.None().into_bound(py) } else { PyBool::new(py, true).to_owned().into_any() }
}
