//! `Semaphore` and `BoundedSemaphore`: a limited number at a time.
//!
//! Invariant: waking a waiter takes a unit for it from the counter. A waiter that can't use its unit gives it back.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyTuple};

use super::bound::{self, LoopBound};
use super::context;
use super::lock::{acquired, with_waiters};
use super::waiters::{HasWaiters, Ticket, WaitList, show_waiters};
use crate::base::arguments::{Argument, SaturatingInt};
use crate::base::class::{Class, Standard};
use crate::base::error;
use crate::base::ffi::fastcall::{Quick, quick};
use crate::base::ffi::{Guarded, interpreter};
use crate::base::functions::Functions;
use crate::base::gc::{collected, gc};
use crate::core::operation::run::{Progress, Resume, Run};
use crate::core::operation::unawaited::Unawaited;
use crate::core::operation::{self, Operation, Phase};

/// A counter for tasks: `acquire()` takes one and waits at zero, `release()` gives one back. `async with` does both.
///
/// Takes the first `value`, a whole number (or `math.inf`). Meaning and methods are those of `asyncio.Semaphore`.
#[pyclass(extends = LoopBound, subclass, frozen, module = "ferrio")]
pub(crate) struct Semaphore {
    state: Guarded<SemaphoreState>,
}

collected!(Semaphore { state }, written by state, clear { state { waiters } });

impl Class for Semaphore {
    const BELOW: Option<Standard> = Some(("asyncio.locks", "Semaphore"));
    const SHORT_NAME: bool = true;
}

impl Functions for Semaphore {
    const COROUTINES: &'static [&'static str] = &["__aenter__", "__aexit__", "acquire"];
    const QUICK: &'static [Quick] = quick!(Semaphore {
        "acquire" (0 to 0) |semaphore, _| Semaphore::acquire(semaphore);
        "release" (0 to 0) |semaphore, _| Semaphore::release(semaphore);
        "__aenter__" (0 to 0) |semaphore, _| Semaphore::__aenter__(semaphore);
        "__aexit__" (3 to 3) |semaphore, _| context::exit(semaphore.as_any());
    });
}

struct SemaphoreState {
    value: Count,
    waiters: WaitList,
}

gc!(SemaphoreState { waiters } not { value });

/// How many units are left.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Count {
    Some(i64),
    /// A number with a fraction. It is never zero, so nobody ever waits, as in asyncio.
    Broken(f64),
    /// `math.inf`: nobody ever waits.
    Unlimited,
}

impl Count {
    fn of(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        if !value.is_instance_of::<PyInt>()
            && let Ok(number) = value.extract::<f64>()
        {
            if number == f64::INFINITY {
                return Ok(Self::Unlimited);
            }
            if number.fract() != 0.0 || number.is_nan() {
                return Ok(Self::Broken(number));
            }
        }
        value.extract::<SaturatingInt>().map(|SaturatingInt(value)| Self::Some(value)).map_err(|_| {
            PyTypeError::new_err(format!(
                "the value of a semaphore must be a number, got {}",
                value.repr().map_or_else(|_| "something else".to_owned(), |value| value.to_string())
            ))
        })
    }

    fn add(&mut self, units: i64) {
        match self {
            Self::Some(value) => *value = value.saturating_add(units),
            #[allow(clippy::cast_precision_loss, reason = "units come one by one")]
            Self::Broken(value) => *value += units as f64,
            Self::Unlimited => {}
        }
    }

    fn is_positive(self) -> bool {
        match self {
            Self::Some(value) => value > 0,
            Self::Broken(value) => value > 0.0,
            Self::Unlimited => true,
        }
    }

    fn is_negative(self) -> bool {
        match self {
            Self::Some(value) => value < 0,
            Self::Broken(value) => value < 0.0,
            Self::Unlimited => false,
        }
    }

    fn object(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        Ok(match self {
            Self::Some(value) => value.into_pyobject(py)?.into_any(),
            Self::Broken(value) => PyFloat::new(py, value).into_any(),
            Self::Unlimited => PyFloat::new(py, f64::INFINITY).into_any(),
        })
    }
}

impl SemaphoreState {
    /// Whether a new `acquire` has to wait: the counter is zero, or others came first.
    #[inline]
    fn locked(&self, py: Python<'_>) -> bool {
        self.value == Count::Some(0) || !self.waiters.all_cancelled(py)
    }
}

#[pymethods]
impl Semaphore {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(value=1)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        Self::empty()
    }

    #[pyo3(signature = (value = Argument::MISSING))]
    fn __init__(&self, py: Python<'_>, value: Argument) -> PyResult<()> {
        self.initialize(py, value).map(drop)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let (locked, value, waiting) =
            slf.get().state.with(py, |state| (state.locked(py), state.value, state.waiters.len()));
        let word =
            if locked { "locked".to_owned() } else { format!("unlocked, value:{}", value.object(py)?) };
        bound::repr_with(slf.as_any(), &with_waiters(&word, waiting))
    }

    /// Return whether `acquire()` would have to wait.
    fn locked(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.locked(py))
    }

    /// Take one, waiting for it if there is none; return `True`. Does not suspend if there is one.
    fn acquire(slf: &Bound<'_, Self>) -> Unawaited {
        Unawaited::new(Acquire::new(slf, false))
    }

    /// Give one back and let the first waiter continue.
    fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        release(slf)
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> Unawaited {
        if is_ours(slf) {
            return Unawaited::new(Acquire::new(slf, true));
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
    fn _value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.value).object(py)
    }

    #[setter(_value)]
    fn set_value(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = Count::of(value)?;
        self.state.with(py, |state| state.value = value);
        Ok(())
    }
}

impl HasWaiters for Semaphore {
    #[inline]
    fn with_waiters<R>(&self, py: Python<'_>, look: impl FnOnce(&mut WaitList) -> R) -> R {
        self.state.with(py, |state| look(&mut state.waiters))
    }
}

show_waiters!(Semaphore);

impl Semaphore {
    fn empty() -> PyClassInitializer<Self> {
        let state = SemaphoreState { value: Count::Some(1), waiters: WaitList::default() };
        PyClassInitializer::from(LoopBound::default()).add_subclass(Self { state: Guarded::new(state) })
    }

    /// Sets the first value, 1 unless given, and returns it. Raises `ValueError` below zero.
    fn initialize(&self, py: Python<'_>, value: Argument) -> PyResult<Count> {
        let value = value.into_option().map_or(Ok(Count::Some(1)), |value| Count::of(value.bind(py)))?;
        if value.is_negative() {
            return Err(PyValueError::new_err("Semaphore initial value must be >= 0"));
        }
        self.state.with(py, |state| state.value = value);
        Ok(value)
    }
}

/// Whether the methods of `semaphore` are ours.
#[inline]
fn is_ours(semaphore: &Bound<'_, Semaphore>) -> bool {
    interpreter::is_exactly::<Semaphore>(semaphore.as_any())
        || interpreter::is_exactly::<BoundedSemaphore>(semaphore.as_any())
}

/// `semaphore.release()`.
#[inline]
pub(super) fn release(semaphore: &Bound<'_, Semaphore>) -> PyResult<()> {
    let py = semaphore.py();
    let next = semaphore.get().state.with(py, |state| {
        state.value.add(1);
        take_for_next(state, py)
    });
    next.map_or(Ok(()), |next| operation::wake(&next).map(drop))
}

/// The first waiter that isn't woken yet, with a unit taken for it.
#[inline]
fn take_for_next<'py>(state: &mut SemaphoreState, py: Python<'py>) -> Option<Bound<'py, Operation>> {
    let next = state.waiters.next_parked(py)?;
    state.value.add(-1);
    Some(next)
}

/// The wait for a semaphore.
pub(crate) struct Acquire {
    semaphore: Py<Semaphore>,
    ticket: Ticket,
    /// Whether it begins an `async with`, whose value is `None`.
    entering: bool,
}

gc!(Acquire { semaphore } not { ticket, entering });

impl Acquire {
    #[inline]
    fn new(semaphore: &Bound<'_, Semaphore>, entering: bool) -> Self {
        Self { semaphore: semaphore.clone().unbind(), ticket: Ticket::NONE, entering }
    }

    /// Ends the wait, however it ended.
    fn end<'py>(&self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let semaphore = self.semaphore.bind(py).get();
        let give_back = match &resume {
            Resume::Send => false,
            Resume::Throw(exception) => {
                error::is_cancellation(exception)? && this.get().resumed_from(py) == Phase::Woken
            }
        };
        let gone = semaphore.state.with(py, |state| {
            if give_back {
                state.value.add(1);
            }
            state.waiters.remove(self.ticket)
        });
        drop(gone);
        // Others may have queued behind us while units were free.
        while let Some(next) = semaphore
            .state
            .with(py, |state| if state.value.is_positive() { take_for_next(state, py) } else { None })
        {
            operation::wake(&next)?;
        }
        match resume {
            Resume::Send => Ok(Progress::Ready(acquired(py, self.entering))),
            Resume::Throw(exception) => Err(PyErr::from_value(exception)),
        }
    }
}

impl Run for Acquire {
    #[inline]
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        if self.ticket != Ticket::NONE {
            return self.end(this, resume);
        }
        let semaphore = self.semaphore.bind(py);
        let taken = semaphore.get().state.with(py, |state| {
            let free = !state.locked(py);
            if free {
                state.value.add(-1);
            }
            free
        });
        if taken {
            return Ok(Progress::Ready(acquired(py, self.entering)));
        }
        bound::require_loop(semaphore.as_super())?;
        let waiter = this.clone().unbind();
        // Another thread may have released it since.
        let unneeded = semaphore.get().state.with(py, |state| {
            if !state.locked(py) {
                state.value.add(-1);
                return Ok(Some(waiter));
            }
            self.ticket = state.waiters.push(py, waiter)?;
            PyResult::Ok(None)
        })?;
        match unneeded {
            None => Ok(Progress::Park),
            Some(_) => Ok(Progress::Ready(acquired(py, self.entering))),
        }
    }

    fn name(&self) -> &'static str {
        if self.entering { "_ContextManagerMixin.__aenter__" } else { "Semaphore.acquire" }
    }

    fn inner_names(&self) -> &'static [&'static str] {
        if self.entering { &["Semaphore.acquire"] } else { &[] }
    }

    fn wakes_with_true(&self) -> bool {
        true
    }

    #[inline]
    fn discard(self, py: Python<'_>) {
        self.semaphore.drop_ref(py);
    }
}

/// A semaphore whose `release()` raises `ValueError` if it is called more often than `acquire()`.
///
/// Otherwise the same as `Semaphore`. Meaning and methods are those of `asyncio.BoundedSemaphore`.
#[pyclass(extends = Semaphore, subclass, frozen, module = "ferrio")]
pub(crate) struct BoundedSemaphore {
    bound: Guarded<Count>,
}

impl Class for BoundedSemaphore {
    const BELOW: Option<Standard> = Some(("asyncio.locks", "BoundedSemaphore"));
    const SHORT_NAME: bool = true;
}

impl Functions for BoundedSemaphore {}

#[pymethods]
impl BoundedSemaphore {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(value=1)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        Semaphore::empty().add_subclass(Self { bound: Guarded::new(Count::Some(1)) })
    }

    #[pyo3(signature = (value = Argument::MISSING))]
    fn __init__(slf: &Bound<'_, Self>, value: Argument) -> PyResult<()> {
        let py = slf.py();
        let value = slf.as_super().get().initialize(py, value)?;
        slf.get().bound.with(py, |bound| *bound = value);
        Ok(())
    }

    /// Give one back and let the first waiter continue. Raises `ValueError` if it was never taken.
    fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let semaphore = slf.as_super();
        let bound = slf.get().bound.with(py, |bound| *bound);
        if semaphore.get().state.with(py, |state| state.value) >= bound {
            return Err(PyValueError::new_err("BoundedSemaphore released too many times"));
        }
        release(semaphore)
    }

    #[getter]
    fn _bound_value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.bound.with(py, |bound| *bound).object(py)
    }

    #[setter(_bound_value)]
    fn set_bound_value(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = Count::of(value)?;
        self.bound.with(py, |bound| *bound = value);
        Ok(())
    }
}
