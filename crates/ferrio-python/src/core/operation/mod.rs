//! `Operation`: the awaitable that ferrio's own functions return instead of a Python coroutine.
//!
//! `sleep`, `Queue.get`, `Lock.acquire`... are small state machines (`run.rs`) behind this one class. To Python it is
//! a coroutine: `await` it, pass it to `create_task`, call its `send` and `throw`. If it is dropped without an
//! `await`, it warns as a coroutine does. A ferrio task that awaits it is resumed without a future in between; all
//! other drivers see a future (`view.rs`). `face.rs` has what Python sees of the coroutine.
//!
//! Invariants: an operation is in exactly one `Phase`, and a parked one is woken or cancelled at most once. Only that
//! lets the state machine continue. Resuming a parked operation does what an `await` of a pending future does. If a
//! parked operation is thrown into or closed, its waiters are resumed and learn what happened to their coroutine.

pub(crate) mod face;
pub(crate) mod finalize;
mod frames;
pub(crate) mod immediate;
pub(crate) mod run;
pub(crate) mod sleep;
pub(crate) mod unawaited;
pub(crate) mod view;
pub(crate) mod waker;

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyIterator;

use self::frames::Shown;
use self::run::{Machine, Progress, Resume};
use crate::base::class::Class;
use crate::base::error;
use crate::base::ffi::coroutine::{self, Sent};
use crate::base::ffi::recycle::recycled;
use crate::base::ffi::{Cast, Exclusive, Leaf, recursion, recycle};
use crate::base::gc::{collected, gc};
use crate::core::future::Future;
use crate::core::future::state::Outcome;
use crate::core::task::{Task, current};

/// The phase of an operation's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Not awaited yet.
    Fresh,
    /// Its state machine is running.
    Running,
    /// It yielded once to let a turn pass, or forwarded what another awaitable yielded.
    Between,
    /// It waits to be woken.
    Parked,
    /// It was woken and hasn't been resumed yet.
    Woken,
    /// It was cancelled while parked and hasn't been resumed yet.
    Cancelled,
    /// It has ended.
    Finished,
}

/// The state of an operation; only attached threads touch it.
pub(crate) struct State {
    pub(crate) phase: Phase,
    /// Whether its state machine runs, in any thread and phase.
    inside: bool,
    /// Whether not to warn if it is never awaited.
    forgiven: bool,
    /// Whether a coroutine with a frame stands before it, for Python to see.
    stood_in_for: bool,
    /// Whether a wake-up gives the view the result `True`.
    wakes_with_true: bool,
    /// The phase it was last resumed from.
    resumed_from: Phase,
    /// The ferrio task that waits for it.
    pub(crate) task: Option<Py<Task>>,
    /// For other drivers and rare cases.
    extra: Option<Box<Extra>>,
}

gc!(State { task, extra } not { phase, inside, forgiven, stood_in_for, wakes_with_true, resumed_from });

#[derive(Default)]
struct Extra {
    cancel_message: Option<Py<PyAny>>,
    /// What a cancelled wait raises instead of `CancelledError`.
    failure: Option<Py<PyAny>>,
    /// The future that stands for the current wait, made on request.
    view: Option<Py<Future>>,
    /// What a program looked at.
    shown: Option<Shown>,
    /// `__name__` and `__qualname__`, if a program has set them.
    names: [Option<Py<PyAny>>; 2],
}

gc!(Extra { cancel_message, failure, view, shown, names });

impl State {
    /// Notes that the state machine runs from now on.
    #[inline]
    fn enter(&mut self) {
        self.inside = true;
        self.resumed_from = self.phase;
        self.phase = Phase::Running;
    }
}

/// A native awaitable; what `ferrio.sleep()`, `Queue.get()` and the like return.
///
/// To Python it is a coroutine: await it once.
#[pyclass(frozen, weakref, module = "ferrio")]
pub(crate) struct Operation {
    pub(crate) state: Leaf<State>,
    /// The state machine; `None` after it has ended.
    machine: Exclusive<Option<Machine>>,
    /// The qualified name of asyncio's coroutine.
    name: &'static str,
}

collected!(Operation { state, machine } not { name }, clear_by clear);

impl Operation {
    /// Drops what may be part of a reference cycle.
    fn clear(&self, py: Python<'_>) {
        let cleared = self.state.with(py, |state| (state.task.take(), state.extra.take()));
        drop(cleared);
        let machine = self.machine.peek(py, Option::take);
        drop(machine);
    }
}

impl Class for Operation {}

recycled!(Operation);

impl recycle::End for Operation {
    #[inline]
    fn ends_simply(&mut self) -> bool {
        let state = self.state.get_mut();
        state.phase == Phase::Finished && state.extra.is_none() && self.machine.get_mut().is_none()
    }

    #[inline]
    fn end(value: recycle::Ending<'_, Self>, py: Python<'_>) {
        // The rest is empty, or `ends_simply` would have said no.
        if let Some(task) = value.in_place().state.get_mut().task.take() {
            task.drop_ref(py);
        }
    }
}

impl Operation {
    /// Doesn't warn if it is never awaited, because its maker has raised an error already. It can still be awaited.
    pub(crate) fn forgive(&self, py: Python<'_>) {
        self.state.with(py, |state| state.forgiven = true);
    }

    /// The qualified name of asyncio's coroutine.
    #[inline]
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it was never awaited and that should be reported.
    #[inline]
    fn is_forgotten(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.phase == Phase::Fresh && !state.forgiven)
    }

    /// The current phase. May be called while a list of waiters is borrowed.
    #[inline]
    pub(crate) fn phase(&self, py: Python<'_>) -> Phase {
        self.state.with(py, |state| state.phase)
    }

    /// The ferrio task that waits for it. May be called while a future's callbacks are borrowed.
    pub(crate) fn waiting_task(&self, py: Python<'_>) -> Option<Py<Task>> {
        self.state.with(py, |state| state.task.as_ref().map(|task| task.clone_ref(py)))
    }

    /// Marks it as parked, while the list of waiters that it joins is borrowed. Its state machine is about to answer
    /// `Park`, and another thread may wake it before it does.
    #[inline]
    pub(crate) fn park(&self, py: Python<'_>) {
        self.state.with(py, |state| state.phase = Phase::Parked);
    }

    /// For the running state machine: whether it had been woken or cancelled when it was resumed.
    ///
    /// A task that is cancelled after its operation was woken throws into a `Woken` operation, which must pass on what the
    /// waker handed over.
    #[inline]
    pub(crate) fn resumed_from(&self, py: Python<'_>) -> Phase {
        self.state.with(py, |state| state.resumed_from)
    }

    /// Notes that the state machine has stopped, in `phase`.
    #[inline]
    fn leave(&self, py: Python<'_>, phase: Phase) {
        self.state.with(py, |state| {
            state.inside = false;
            // Another thread may have woken or cancelled it before it came here to park.
            if phase != Phase::Parked || !matches!(state.phase, Phase::Woken | Phase::Cancelled) {
                state.phase = phase;
            }
        });
    }

    /// Whether it waits to be woken: `not future.done()` for asyncio's waiters. May be called while a list of waiters
    /// is borrowed.
    #[inline]
    pub(crate) fn is_parked(&self, py: Python<'_>) -> bool {
        self.phase(py) == Phase::Parked
    }
}

/// How a wait ends.
enum Ending {
    Woken,
    /// By a cancellation with this message.
    Cancelled(Option<Py<PyAny>>),
    /// By this exception.
    Failed(Py<PyAny>),
}

/// Lets the operation's `await` continue in its loop's next turn, from any thread. Returns whether it was parked.
#[inline]
pub(crate) fn wake(operation: &Bound<'_, Operation>) -> PyResult<bool> {
    end_parking(operation, Ending::Woken)
}

/// Cancels a parked operation: its `await` raises `CancelledError(message)`. Returns whether it was parked.
pub(crate) fn cancel(operation: &Bound<'_, Operation>, message: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
    let message = message.filter(|message| !message.is_none()).map(Bound::unbind);
    end_parking(operation, Ending::Cancelled(message))
}

/// Ends a parked operation: its `await` raises `exception`. Returns whether it was parked.
pub(crate) fn fail(operation: &Bound<'_, Operation>, exception: &Bound<'_, PyAny>) -> PyResult<bool> {
    end_parking(operation, Ending::Failed(exception.clone().unbind()))
}

#[inline]
fn end_parking(operation: &Bound<'_, Operation>, ending: Ending) -> PyResult<bool> {
    let py = operation.py();
    let found = operation.get().state.with(py, |state| {
        if state.phase != Phase::Parked {
            return Err(ending);
        }
        match ending {
            Ending::Woken => state.phase = Phase::Woken,
            Ending::Cancelled(message) => {
                state.phase = Phase::Cancelled;
                if message.is_some() {
                    state.extra.get_or_insert_default().cancel_message = message;
                }
            }
            Ending::Failed(exception) => {
                state.phase = Phase::Cancelled;
                state.extra.get_or_insert_default().failure = Some(exception);
            }
        }
        let view = state.extra.as_ref().and_then(|extra| extra.view.as_ref());
        Ok((state.task.take(), view.map(|view| view.clone_ref(py))))
    });
    let Ok((task, view)) = found else { return Ok(false) };
    if let Some(task) = task {
        let home = task.bind(py).as_super().get().home(py)?;
        home.wake(py, task)?;
    }
    if let Some(view) = view {
        view::follow(operation, view.bind(py))?;
    }
    Ok(true)
}

/// Makes `task` wait for `operation`, which it yielded. Returns `false` if the operation isn't waiting.
#[inline]
pub(crate) fn adopt(operation: &Bound<'_, Operation>, task: &Bound<'_, Task>) -> PyResult<bool> {
    let py = operation.py();
    let entry = task.clone().unbind();
    let (phase, refused) = operation.get().state.with(py, |state| match state.phase {
        Phase::Parked if state.task.is_none() => {
            state.task = Some(entry);
            (Phase::Parked, None)
        }
        other => (other, Some(entry)),
    });
    match (phase, refused) {
        (Phase::Parked, None) => Ok(true),
        // Woken by another thread before the task could take it.
        (Phase::Woken | Phase::Cancelled, Some(task_entry)) => {
            let home = task.as_super().get().home(py)?;
            home.wake(py, task_entry)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// The exception that an operation's wait was cancelled with, for the task's step to throw.
#[inline]
pub(crate) fn take_cancellation<'py>(
    operation: &Bound<'py, Operation>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let cancelled = operation.get().phase(operation.py()) == Phase::Cancelled;
    if cancelled { cancellation(operation).map(Some) } else { Ok(None) }
}

#[cold]
fn cancellation<'py>(operation: &Bound<'py, Operation>) -> PyResult<Bound<'py, PyAny>> {
    let py = operation.py();
    let (message, failure) = operation.get().state.with(py, |state| match &mut state.extra {
        Some(extra) => (extra.cancel_message.take(), extra.failure.take()),
        None => (None, None),
    });
    match failure {
        Some(failure) => Ok(failure.into_bound(py)),
        None => error::cancelled(py, message.map(|message| message.into_bound(py)).as_ref()),
    }
}

/// Why an operation can't be resumed.
enum Refused {
    Running,
    Finished,
    /// It is parked and was neither woken nor cancelled.
    Parked,
}

/// Resumes the operation. `await`, `send`, `throw` and the task's step all come through here.
pub(crate) fn resume<'py>(operation: &Bound<'py, Operation>, resume: Resume<'py>) -> Sent<'py> {
    let begins = matches!(resume, Resume::Send)
        && operation.get().state.with(operation.py(), |state| {
            let begins = state.phase == Phase::Fresh && !state.inside;
            if begins {
                state.enter();
            }
            begins
        });
    if begins {
        return run(operation, Resume::Send);
    }
    match enter_again(operation, resume) {
        Ok(resume) => run(operation, resume),
        Err(answer) => answer,
    }
}

/// Prepares to resume an operation that isn't new. Returns with what to resume its state machine, or the answer if it can't
/// be resumed.
fn enter_again<'py>(
    operation: &Bound<'py, Operation>,
    resume: Resume<'py>,
) -> Result<Resume<'py>, Sent<'py>> {
    let py = operation.py();
    let sent = matches!(resume, Resume::Send);
    let entered = operation.get().state.with(py, |state| {
        if state.inside {
            return Err(Refused::Running);
        }
        match state.phase {
            Phase::Finished => return Err(Refused::Finished),
            Phase::Parked if sent => return Err(Refused::Parked),
            _ => {}
        }
        state.enter();
        let (view, shown) = match &mut state.extra {
            Some(extra) => (extra.view.take(), extra.shown.take()),
            None => (None, None),
        };
        Ok((state.resumed_from == Phase::Cancelled, state.task.take(), view, shown))
    });
    let (cancelled, task, view, shown) = match entered {
        Ok(entered) => entered,
        Err(Refused::Parked) => return Err(resume_parked(operation)),
        Err(Refused::Running) => {
            return Err(Sent::Raised(PyValueError::new_err("coroutine already executing")));
        }
        Err(Refused::Finished) => {
            return Err(Sent::Raised(PyRuntimeError::new_err("cannot reuse already awaited coroutine")));
        }
    };
    drop(shown);
    if task.is_some() || view.is_some() {
        desert(py, task, view);
    }
    // `send` into a cancelled operation raises the cancellation too.
    match resume {
        Resume::Send if cancelled => match cancellation(operation) {
            Ok(exception) => Ok(Resume::Throw(exception)),
            Err(failure) => {
                operation.get().state.with(py, |state| state.inside = false);
                Err(Sent::Raised(failure))
            }
        },
        resume => Ok(resume),
    }
}

/// Runs the state machine of an operation that was entered.
#[inline]
fn run<'py>(operation: &Bound<'py, Operation>, resume: Resume<'py>) -> Sent<'py> {
    let py = operation.py();
    let progress = operation.get().machine.work(py, |machine| match machine {
        Some(running) => {
            let progress = running.get_mut().resume(operation, resume);
            if matches!(progress, Ok(Progress::Ready(_)) | Err(_)) {
                Machine::discard(machine, py);
            }
            progress
        }
        None => Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine")),
    });
    match progress {
        Ok(Progress::Ready(value)) => {
            operation.get().leave(py, Phase::Finished);
            Sent::Returned(value)
        }
        Ok(Progress::Park) => {
            operation.get().leave(py, Phase::Parked);
            if current::is_stepping(py) {
                Sent::Yielded(operation.as_any().clone())
            } else {
                view::yielded(operation)
            }
        }
        Ok(Progress::Yield) => {
            operation.get().leave(py, Phase::Between);
            Sent::Yielded(py.None().into_bound(py))
        }
        Ok(Progress::Forward(yielded)) => {
            operation.get().leave(py, Phase::Between);
            Sent::Yielded(yielded)
        }
        Err(failure) => {
            operation.get().leave(py, Phase::Finished);
            Sent::Raised(failure)
        }
    }
}

/// Answers a `send` into a parked operation as the `await` of a pending future does. It yields once more if somebody has
/// begun to wait for what it yielded before, and raises if not.
#[cold]
fn resume_parked<'py>(operation: &Bound<'py, Operation>) -> Sent<'py> {
    match view::await_again(operation) {
        Ok(Some(view)) => Sent::Yielded(view.into_any()),
        Ok(None) => {
            let refusal = PyRuntimeError::new_err("await wasn't used with future");
            let exception = error::into_object(operation.py(), refusal).into_any();
            resume(operation, Resume::Throw(exception))
        }
        Err(failure) => Sent::Raised(failure),
    }
}

/// Resumes the waiters of an operation that other code has thrown into or closed, because no waker will. Their next
/// step sends into the coroutine, which tells them what happened.
#[cold]
fn desert(py: Python<'_>, task: Option<Py<Task>>, view: Option<Py<Future>>) {
    // At the end of the program the loop may be closed already. Then there is nobody to tell.
    if let Some(task) = task
        && let Ok(home) = task.bind(py).as_super().get().home(py)
    {
        let _ = home.wake(py, task);
    }
    if let Some(view) = view {
        let _ = view::end(view.bind(py), Outcome::Result(py.None()));
    }
}

/// Resumes the operation with nothing thrown.
#[inline]
pub(crate) fn send<'py>(operation: &Bound<'py, Operation>) -> Sent<'py> {
    resume(operation, Resume::Send)
}

/// Starts or continues another awaitable from inside an operation (what `await` does in a coroutine).
///
/// Takes the iterator that `start_awaiting` returned, and the resume to pass on. Operations may await each other to
/// any depth, so this raises `RecursionError` before the C stack ends.
pub(crate) fn forward<'py>(inner: &Bound<'py, PyAny>, resume: Resume<'py>) -> Sent<'py> {
    match recursion::enter(inner.py()) {
        Ok(_level) => match resume {
            Resume::Send => send_into(inner),
            Resume::Throw(exception) => throw_into(inner, exception),
        },
        Err(failure) => Sent::Raised(failure),
    }
}

/// Resumes any coroutine, and an operation without a Python call.
#[inline(always)]
#[allow(clippy::inline_always, reason = "in a task's step a call costs more than what it saves")]
pub(crate) fn send_into<'py>(coroutine: &Bound<'py, PyAny>) -> Sent<'py> {
    match coroutine.as_exactly::<Operation>() {
        Some(operation) => send(operation),
        None => coroutine::send(coroutine, &coroutine.py().None().into_bound(coroutine.py())),
    }
}

/// Throws into any coroutine, and into an operation without a Python call.
pub(crate) fn throw_into<'py>(coroutine: &Bound<'py, PyAny>, exception: Bound<'py, PyAny>) -> Sent<'py> {
    match coroutine.as_exactly::<Operation>() {
        Some(operation) => face::throw(operation, exception),
        None => coroutine::throw(coroutine, &exception),
    }
}

/// The iterator of an awaitable: the coroutine itself, or what `__await__` returns.
///
/// Raises `TypeError` if it can't be awaited, and `RuntimeError` for a coroutine that another `await` is driving:
/// resuming it here would steal its wake-up.
pub(crate) fn start_awaiting<'py>(awaitable: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = awaitable.py();
    if awaitable.is_instance_of::<Operation>() {
        return Ok(awaitable.clone());
    }
    if coroutine::is_coroutine(awaitable) {
        if !awaitable.getattr(intern!(py, "cr_await"))?.is_none() {
            return Err(PyRuntimeError::new_err("coroutine is being awaited already"));
        }
        return Ok(awaitable.clone());
    }
    match awaitable.getattr(intern!(py, "__await__")) {
        Ok(method) => {
            let inner = method.call0()?;
            if inner.as_instance::<PyIterator>().is_some() {
                return Ok(inner);
            }
            let kind = inner.get_type().name()?;
            Err(PyTypeError::new_err(format!("__await__() returned non-iterator of type '{kind}'")))
        }
        Err(_) if coroutine::is_generator_coroutine(awaitable)? => Ok(awaitable.clone()),
        Err(_) => Err(PyTypeError::new_err(format!(
            "object {} can't be used in 'await' expression",
            awaitable.get_type().name()?
        ))),
    }
}
