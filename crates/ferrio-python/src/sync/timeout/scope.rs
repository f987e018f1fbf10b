//! The core of a timeout: a deadline, the task that it cancels, and the fate of the cancellation.
//!
//! A `Timeout` holds a `Scope`. Its methods change plain state only, so they may run inside a `Guarded` look. What runs
//! Python code is a function beside it.
//!
//! Invariant: a scope cancels its task at most once, never before the deadline, and only while it is `Entered`.

use ferrio_engine::clock::{Nanos, nanos_from_seconds, seconds_from_nanos};
use pyo3::exceptions::{PyRuntimeError, PyTimeoutError};
use pyo3::prelude::*;
use pyo3::types::PyFloat;

use crate::base::arguments::seconds;
use crate::base::gc::gc;
use crate::base::{error, imports};
use crate::core::event_loop::{Item, LoopRef};
use crate::core::future::callbacks::WatcherCall;
use crate::core::task::cancel::{cancelling_of, uncancel_any};
use crate::core::task::current::current_on;
use crate::core::task::wakeup::Watcher;
use crate::core::timer::Timer;

/// The state of a scope, in asyncio's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Created,
    Entered,
    /// The deadline has passed and the task was cancelled.
    Expiring,
    /// The block was left after that.
    Expired,
    Exited,
}

impl Phase {
    /// The word that `repr` and errors show.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Entered => "active",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::Exited => "finished",
        }
    }
}

/// The deadline, in the time of the loop.
pub(crate) enum When {
    Never,
    /// By ferrio's own clock.
    At(Nanos),
    /// As the user gave it, or by another loop's `time()`.
    Given(Py<PyAny>),
}

gc!(match When {
    Self::Given(given) => (given),
    _ => (),
});

impl When {
    /// The deadline `delay` seconds from now on the loop `home`.
    pub(crate) fn after(py: Python<'_>, home: &LoopRef, delay: f64) -> PyResult<Self> {
        if let Some(native) = Timer::native(home) {
            if delay > 0.0 {
                return Ok(Self::At(native.get().deadline_after(py, delay)));
            }
            let when = seconds_from_nanos(native.get().now(py)) + delay;
            return Ok(Self::Given(PyFloat::new(py, when).into_any().unbind()));
        }
        let now = home.object(py).call_method0(intern!(py, "time"))?;
        Ok(Self::Given(now.add(delay)?.unbind()))
    }

    /// Another copy.
    pub(crate) fn duplicate(&self, py: Python<'_>) -> Self {
        match self {
            Self::Never => Self::Never,
            Self::At(nanos) => Self::At(*nanos),
            Self::Given(given) => Self::Given(given.clone_ref(py)),
        }
    }

    /// As Python sees it: seconds, or `None`.
    pub(crate) fn object<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        match self {
            Self::Never => None,
            Self::At(Nanos::MAX) => Some(PyFloat::new(py, f64::INFINITY).into_any()),
            Self::At(nanos) => Some(PyFloat::new(py, seconds_from_nanos(*nanos)).into_any()),
            Self::Given(given) => Some(given.bind(py).clone()),
        }
    }
}

/// A deadline for a part of one task's work; only attached threads touch it.
pub(crate) struct Scope {
    pub(crate) phase: Phase,
    pub(crate) when: When,
    pub(crate) timer: Option<Timer>,
    /// The task inside; any object with a task's methods.
    pub(crate) task: Option<Py<PyAny>>,
    /// How many cancellation requests the task had when it entered.
    pub(crate) cancelling: i64,
}

gc!(Scope { when, timer, task } not { phase, cancelling });

impl Scope {
    /// A scope that wasn't entered yet.
    pub(crate) fn new(when: When) -> Self {
        Self { phase: Phase::Created, when, timer: None, task: None, cancelling: 0 }
    }

    /// The task to cancel after the timer has fired. `None` if the scope was left or its deadline moved since.
    pub(crate) fn due(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        if self.phase != Phase::Entered {
            return None;
        }
        match self.timer.as_ref()? {
            // Rescheduled after the old timer was taken to run.
            Timer::Native(native, key) if native.get().has_timer(py, *key) => None,
            _ => self.task.as_ref().map(|task| task.clone_ref(py)),
        }
    }
}

/// The task that enters a scope, and its cancellation requests so far. Raises `RuntimeError` outside a task.
pub(crate) fn entering_task<'py>(py: Python<'py>, home: &LoopRef) -> PyResult<(Bound<'py, PyAny>, i64)> {
    let task = current_on(py, home)?
        .ok_or_else(|| PyRuntimeError::new_err("Timeout should be used inside a task"))?;
    let cancelling = cancelling_of(&task)?;
    Ok((task, cancelling))
}

/// Arranges for `call(owner, None)` at the time `when` of the loop `home`; at once if that is past.
pub(crate) fn start_timer<'py>(
    owner: &Bound<'py, PyAny>,
    home: &LoopRef,
    when: &When,
    call: WatcherCall,
) -> PyResult<Option<Timer>> {
    let py = owner.py();
    let given = match when {
        When::Never => return Ok(None),
        When::At(_) => None,
        When::Given(given) => Some(given.bind(py)),
    };
    if let Some(native) = Timer::native(home) {
        let deadline = match (when, given) {
            (When::At(deadline), _) => *deadline,
            // A NaN is past.
            (_, Some(given)) => nanos_from_seconds(seconds(given, "when")?).unwrap_or(0),
            (_, None) => Nanos::MAX,
        };
        if deadline > native.get().now(py) {
            let item = Item::Watch(owner.clone().unbind(), py.None(), call);
            return Timer::at(py, native, deadline, item).map(Some);
        }
        return call_soon(home, owner, call);
    }
    let when = when.object(py).unwrap_or_else(|| py.None().into_bound(py));
    let now = home.object(py).call_method0(intern!(py, "time"))?;
    if when.le(now)? {
        return call_soon(home, owner, call);
    }
    let watcher = Watcher::of_call(owner.clone().unbind(), call);
    let handle = home.object(py).call_method1(intern!(py, "call_at"), (when, watcher, py.None()))?;
    Ok(Some(Timer::Handle(handle.unbind())))
}

/// Uses a real handle, because only handles can be cancelled once they are ready.
#[cold]
fn call_soon<'py>(home: &LoopRef, owner: &Bound<'py, PyAny>, call: WatcherCall) -> PyResult<Option<Timer>> {
    let py = owner.py();
    let watcher = Watcher::of_call(owner.clone().unbind(), call);
    let handle = home.object(py).call_method1(intern!(py, "call_soon"), (watcher, py.None()))?;
    Ok(Some(Timer::Handle(handle.unbind())))
}

/// What leaving an expired scope raises instead of `exception`, which its block raised.
///
/// The scope's own request to cancel is withdrawn. If no other is left, a `CancelledError` becomes a `TimeoutError`,
/// and one that is the context of another exception gets a `TimeoutError` in between.
#[cold]
pub(crate) fn convert<'py>(
    task: &Bound<'py, PyAny>,
    cancelling: i64,
    exception: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<PyErr>> {
    let py = task.py();
    let remaining = uncancel_any(task)?;
    let Some(exception) = exception.filter(|_| remaining <= cancelling) else { return Ok(None) };
    if exception.is_instance(imports::CANCELLED_ERROR.get(py)?)? {
        return timeout_error(exception).map(Some);
    }
    insert_timeout_error(exception)?;
    if exception.is_instance(imports::EXCEPTION_GROUP.get(py)?)? {
        for inner in exception.getattr(intern!(py, "exceptions"))?.try_iter()? {
            insert_timeout_error(&inner?)?;
        }
    }
    Ok(None)
}

/// A `TimeoutError` raised from `cancelled`.
pub(crate) fn timeout_error(cancelled: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let py = cancelled.py();
    let timeout = error::into_object(py, PyTimeoutError::new_err(()));
    timeout.setattr(intern!(py, "__context__"), cancelled)?;
    timeout.setattr(intern!(py, "__cause__"), cancelled)?;
    Ok(PyErr::from_value(timeout.into_any()))
}

fn insert_timeout_error(exception: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = exception.py();
    let name = intern!(py, "__context__");
    let mut exception = exception.clone();
    loop {
        let context = exception.getattr(name)?;
        if context.is_none() {
            return Ok(());
        }
        if context.is_instance(imports::CANCELLED_ERROR.get(py)?)? {
            return exception.setattr(name, timeout_error(&context)?.value(py));
        }
        exception = context;
    }
}
