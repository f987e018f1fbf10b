//! `Operation`: the awaitable that ferrio's own functions return, in place of a Python coroutine.
//!
//! `sleep`, `Queue.get`, `Lock.acquire`... each are a small state machine (`kind.rs`) behind this one class. To Python
//! it is a coroutine: `await` it, give it to `create_task`, `send` and `throw` it; one that is dropped without an
//! `await` warns as a coroutine does. A ferrio task that awaits it is resumed without any future in between. Another
//! driver (the standard library's task) sees a future in what it yields: itself.
//!
//! Invariant: an operation is in exactly one `Phase`, and a parked one is woken or cancelled at most once.

pub(crate) mod finalize;
pub(crate) mod foreign;
pub(crate) mod immediate;
pub(crate) mod kind;
mod origin;
pub(crate) mod sleep;

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use self::foreign::ForeignWaiters;
use self::kind::{Kind, Progress, Resume};
use crate::error;
use crate::event_loop::debug::origins_may_be_tracked;
use crate::event_loop::{self, Item};
use crate::ffi::coroutine::{self, Sent};
use crate::ffi::slots::Awaitable;
use crate::ffi::{Cast, Exclusive, Guarded};
use crate::task::Task;

/// Where an operation is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Not awaited yet.
    Fresh,
    /// Its state machine runs right now, further up this very stack.
    Running,
    /// It yielded once to let a turn pass, or forwarded what another awaitable yielded.
    Between,
    /// It waits to be woken.
    Parked,
    /// It was woken and not resumed yet.
    Woken,
    /// It was cancelled while parked and not resumed yet.
    Cancelled,
    /// It has ended.
    Finished,
}

/// All that an operation holds; only touched by the thread that is attached.
pub(crate) struct State {
    pub(crate) phase: Phase,
    /// Whether its state machine runs, in whichever thread and phase.
    inside: bool,
    /// Whether nobody is to hear that it was never awaited.
    forgiven: bool,
    /// The phase from which it was resumed last.
    resumed_from: Phase,
    /// The ferrio task that waits, once it took the operation as what it waits for.
    pub(crate) task: Option<Py<Task>>,
    /// What only other drivers and rare cases need.
    extra: Option<Box<Extra>>,
}

#[derive(Default)]
struct Extra {
    cancel_message: Option<Py<PyAny>>,
    foreign: ForeignWaiters,
    /// Where the operation was made, in debug mode: as a coroutine's `cr_origin`.
    origin: Option<Py<PyTuple>>,
}

/// A native awaitable; what `ferrio.sleep()`, `Queue.get()` and the like return.
///
/// It is a coroutine to Python: to be awaited once.
#[pyclass(frozen, weakref, module = "ferrio")]
pub(crate) struct Operation {
    pub(crate) state: Guarded<State>,
    /// The state machine; `None` once it has ended.
    kind: Exclusive<Option<Kind>>,
}

impl Operation {
    /// An operation that nobody awaits yet.
    #[inline]
    pub(crate) fn new(kind: Kind) -> Self {
        let extra = if origins_may_be_tracked() { origin::note() } else { None };
        Self {
            state: Guarded::new(State {
                phase: Phase::Fresh,
                resumed_from: Phase::Fresh,
                inside: false,
                forgiven: false,
                task: None,
                extra,
            }),
            kind: Exclusive::new(Some(kind)),
        }
    }

    /// An operation of a boxed kind.
    pub(crate) fn boxed(run: impl kind::Run + Send + 'static) -> Self {
        Self::new(Kind::Boxed(Box::new(run)))
    }

    /// A look at the state machine of an operation that waits; `None` while it runs and after its end.
    pub(crate) fn with_kind<R>(&self, py: Python<'_>, look: impl FnOnce(&mut Kind) -> R) -> Option<R> {
        self.kind.enter(py, |kind| kind.as_mut().map(look)).flatten()
    }

    /// Whoever made it was refused and told so: no second report that it was never awaited. It can still be awaited.
    pub(crate) fn forgive(&self, py: Python<'_>) {
        self.state.with(py, |state| state.forgiven = true);
    }

    /// Whether it was made in vain, and somebody should know.
    #[inline]
    fn is_forgotten(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.phase == Phase::Fresh && !state.forgiven)
    }

    /// The phase at the moment.
    #[inline]
    pub(crate) fn phase(&self, py: Python<'_>) -> Phase {
        self.state.with(py, |state| state.phase)
    }

    /// The phase at the moment, for who looks into a list of waiters.
    #[inline]
    pub(crate) fn phase_in_list(&self, py: Python<'_>) -> Phase {
        self.state.with_leaf(py, |state| state.phase)
    }

    /// For the state machine, when it leaves its operation where wakers find it and is about to answer `Park`: a thread
    /// that wakes it before it has said so finds it parked. For who has the list of waiters.
    #[inline]
    pub(crate) fn park_in_list(&self, py: Python<'_>) {
        self.state.with_leaf(py, |state| state.phase = Phase::Parked);
    }

    /// For the state machine, while it runs: whether it was woken or cancelled when it was resumed.
    ///
    /// A task that is cancelled after what it waits for was woken throws into an operation that was `Woken`: what the
    /// waker handed over has to be passed on.
    #[inline]
    pub(crate) fn resumed_from(&self, py: Python<'_>) -> Phase {
        self.state.with(py, |state| state.resumed_from)
    }

    /// Whether it waits to be woken; what `not future.done()` is for asyncio's waiters. For who looks into a list of these.
    #[inline]
    pub(crate) fn is_parked(&self, py: Python<'_>) -> bool {
        self.phase_in_list(py) == Phase::Parked
    }
}

/// Lets the operation's `await` go on in its loop's next turn; from any thread. Returns whether it was parked.
#[inline]
pub(crate) fn wake(operation: &Bound<'_, Operation>) -> PyResult<bool> {
    end_parking(operation, Phase::Woken, None)
}

/// Cancels a parked operation: its `await` raises `CancelledError(message)`. Returns whether it was parked.
pub(crate) fn cancel(operation: &Bound<'_, Operation>, message: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
    end_parking(operation, Phase::Cancelled, message)
}

#[inline]
fn end_parking(
    operation: &Bound<'_, Operation>,
    phase: Phase,
    message: Option<Bound<'_, PyAny>>,
) -> PyResult<bool> {
    let py = operation.py();
    let message = message.filter(|message| !message.is_none()).map(Bound::unbind);
    let found = operation.get().state.with(py, |state| {
        if state.phase != Phase::Parked {
            return None;
        }
        state.phase = phase;
        if message.is_some() {
            state.extra.get_or_insert_default().cancel_message = message;
        }
        let foreign = state.extra.as_mut().map(|extra| std::mem::take(&mut extra.foreign));
        Some((state.task.take(), foreign))
    });
    let Some((task, foreign)) = found else { return Ok(false) };
    if let Some(task) = task {
        let home = task.bind(py).as_super().get().event_loop(py)?;
        home.schedule(py, Item::Step(task))?;
    }
    if let Some(foreign) = foreign {
        foreign.schedule(operation)?;
    }
    Ok(true)
}

/// Takes what `operation` yielded as what `task` waits for. Returns `false` if it is in no state to be waited for.
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
            let home = task.as_super().get().event_loop(py)?;
            home.schedule(py, Item::Step(task_entry))?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Whether `object` is an operation that has ended.
pub(crate) fn is_finished(object: &Bound<'_, PyAny>) -> bool {
    object
        .as_exactly::<Operation>()
        .is_some_and(|operation| operation.get().phase(object.py()) == Phase::Finished)
}

/// The `CancelledError` of a cancelled operation, for the task's step to throw; else `None`.
#[inline]
pub(crate) fn take_cancellation<'py>(
    operation: &Bound<'py, Operation>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = operation.py();
    let message = operation.get().state.with(py, |state| {
        (state.phase == Phase::Cancelled)
            .then(|| state.extra.as_mut().and_then(|extra| extra.cancel_message.take()))
    });
    match message {
        None => Ok(None),
        Some(message) => {
            error::cancelled(py, message.map(|message| message.into_bound(py)).as_ref()).map(Some)
        }
    }
}

/// Resumes the operation: the one way in for `await`, `send`, `throw` and a task whose coroutine it is.
pub(crate) fn resume<'py>(operation: &Bound<'py, Operation>, resume: Resume<'py>) -> Sent<'py> {
    let py = operation.py();
    let entered = operation.get().state.with(py, |state| {
        if state.inside {
            return Err(Phase::Running);
        }
        if state.phase == Phase::Finished {
            return Err(state.phase);
        }
        state.inside = true;
        let cancelled = state.phase == Phase::Cancelled;
        state.resumed_from = state.phase;
        state.phase = Phase::Running;
        Ok((cancelled, state.task.take()))
    });
    let (cancelled, stale) = match entered {
        Ok(entered) => entered,
        Err(Phase::Running) => return Sent::Raised(PyValueError::new_err("coroutine already executing")),
        Err(_) => return Sent::Raised(PyRuntimeError::new_err("cannot reuse already awaited coroutine")),
    };
    if let Some(stale) = stale {
        stale.drop_ref(py);
    }
    // A driver that resumes a cancelled operation by `send` gets the cancellation all the same.
    let resume = match resume {
        Resume::Send if cancelled => match error::cancelled(py, None) {
            Ok(exception) => Resume::Throw(exception),
            Err(failure) => {
                operation.get().state.with(py, |state| state.inside = false);
                return Sent::Raised(failure);
            }
        },
        resume => resume,
    };
    let (progress, ended) = operation.get().kind.work(py, |kind| match kind {
        Some(running) => {
            let progress = running.as_run().resume(operation, resume);
            let ended = matches!(progress, Ok(Progress::Ready(_)) | Err(_));
            (progress, if ended { kind.take() } else { None })
        }
        None => (Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine")), None),
    });
    drop(ended);
    let phase = match &progress {
        Ok(Progress::Ready(_)) | Err(_) => Phase::Finished,
        Ok(Progress::Park) => Phase::Parked,
        Ok(Progress::Yield | Progress::Forward(_)) => Phase::Between,
    };
    operation.get().state.with(py, |state| {
        state.inside = false;
        // Another thread may have woken or cancelled it before it came here to park.
        if phase != Phase::Parked || !matches!(state.phase, Phase::Woken | Phase::Cancelled) {
            state.phase = phase;
        }
    });
    match progress {
        Ok(Progress::Ready(value)) => Sent::Returned(value),
        Ok(Progress::Park) => Sent::Yielded(operation.as_any().clone()),
        Ok(Progress::Yield) => Sent::Yielded(py.None().into_bound(py)),
        Ok(Progress::Forward(yielded)) => Sent::Yielded(yielded),
        Err(failure) => Sent::Raised(failure),
    }
}

/// Resumes the operation with nothing thrown.
#[inline]
pub(crate) fn send<'py>(operation: &Bound<'py, Operation>) -> Sent<'py> {
    resume(operation, Resume::Send)
}

/// Starts or continues another awaitable from inside an operation (what `await` does in a coroutine).
///
/// Takes the iterator that `start_awaiting` gave, and the resume to pass on.
pub(crate) fn forward<'py>(inner: &Bound<'py, PyAny>, resume: Resume<'py>) -> Sent<'py> {
    match resume {
        Resume::Send => match inner.as_exactly::<Operation>() {
            Some(operation) => send(operation),
            None => coroutine::send(inner, &inner.py().None().into_bound(inner.py())),
        },
        Resume::Throw(exception) => coroutine::throw(inner, &exception),
    }
}

/// The iterator of an awaitable: the coroutine itself, or what `__await__` returns.
///
/// Raises `TypeError` for what can't be awaited.
pub(crate) fn start_awaiting<'py>(awaitable: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if awaitable.is_instance_of::<Operation>() || coroutine::is_coroutine(awaitable) {
        return Ok(awaitable.clone());
    }
    let py = awaitable.py();
    match awaitable.getattr(pyo3::intern!(py, "__await__")) {
        Ok(method) => {
            let inner = method.call0()?;
            if inner.as_instance::<PyIterator>().is_some() {
                return Ok(inner);
            }
            let kind = inner.get_type().name()?;
            Err(PyTypeError::new_err(format!("__await__() returned non-iterator of type '{kind}'")))
        }
        Err(_) => Err(PyTypeError::new_err(format!(
            "object {} can't be used in 'await' expression",
            awaitable.get_type().name()?
        ))),
    }
}

#[pymethods]
impl Operation {
    fn __await__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        Self::begin(&slf)?;
        Ok(slf)
    }

    /// `yield from operation.__await__()` asks for the iterator's iterator.
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match send(slf) {
            Sent::Yielded(yielded) => Ok(Some(yielded)),
            Sent::Returned(value) if value.is_none() => Ok(None),
            Sent::Returned(value) => Err(coroutine::stop_iteration(value)),
            Sent::Raised(failure) => Err(failure),
        }
    }

    /// Resume the operation, as a coroutine's `send`; the value is ignored.
    #[pyo3(signature = (_value, /))]
    fn send<'py>(slf: &Bound<'py, Self>, _value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match send(slf) {
            Sent::Yielded(yielded) => Ok(yielded),
            Sent::Returned(value) => Err(coroutine::stop_iteration(value)),
            Sent::Raised(failure) => Err(failure),
        }
    }

    /// Raise an exception inside the operation, as a coroutine's `throw`.
    #[pyo3(signature = (typ, val = None, tb = None, /))]
    fn throw<'py>(
        slf: &Bound<'py, Self>,
        typ: Bound<'py, PyAny>,
        val: Option<Bound<'py, PyAny>>,
        tb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let exception = error::into_object(py, coroutine::thrown(typ, val, tb)?).into_any();
        if slf.get().phase(py) == Phase::Fresh {
            // As with a coroutine that never ran: nothing inside can see the exception.
            finish(slf);
            return Err(PyErr::from_value(exception));
        }
        match resume(slf, Resume::Throw(exception)) {
            Sent::Yielded(yielded) => Ok(yielded),
            Sent::Returned(value) => Err(coroutine::stop_iteration(value)),
            Sent::Raised(failure) => Err(failure),
        }
    }

    /// Close the operation, as a coroutine's `close`: what it waits for is left.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        match slf.get().phase(py) {
            Phase::Fresh => {
                finish(slf);
                Ok(())
            }
            Phase::Finished => Ok(()),
            Phase::Running => Err(PyValueError::new_err("coroutine already executing")),
            _ => {
                let exit = pyo3::exceptions::PyGeneratorExit::new_err(());
                match resume(slf, Resume::Throw(error::into_object(py, exit).into_any())) {
                    Sent::Raised(failure)
                        if failure.is_instance_of::<pyo3::exceptions::PyGeneratorExit>(py)
                            || failure.is_instance_of::<pyo3::exceptions::PyStopIteration>(py) =>
                    {
                        Ok(())
                    }
                    Sent::Raised(failure) => Err(failure),
                    Sent::Returned(_) => Ok(()),
                    Sent::Yielded(_) => Err(PyRuntimeError::new_err("coroutine ignored GeneratorExit")),
                }
            }
        }
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        let phase = match slf.get().phase(slf.py()) {
            Phase::Fresh => "not awaited",
            Phase::Running => "running",
            Phase::Between | Phase::Parked | Phase::Woken | Phase::Cancelled => "waiting",
            Phase::Finished => "finished",
        };
        format!("<operation {} {phase} at {:#x}>", slf.get().__qualname__(slf.py()), slf.as_ptr() as usize)
    }

    /// The name of the function that made it.
    #[getter]
    fn __name__(&self, py: Python<'_>) -> &'static str {
        let name = self.__qualname__(py);
        name.rsplit('.').next().unwrap_or(name)
    }

    /// The name of the function that made it, with its class.
    #[getter]
    pub(crate) fn __qualname__(&self, py: Python<'_>) -> &'static str {
        let name = self.kind.enter(py, |kind| kind.as_ref().map(|kind| kind.as_run_ref().name()));
        name.flatten().unwrap_or("operation")
    }

    /// What it awaits, as a coroutine's `cr_await`.
    #[getter]
    fn cr_await<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.kind.enter(py, |kind| kind.as_ref().and_then(|kind| kind.as_run_ref().awaits(py))).flatten()
    }

    /// Whether it runs right now, as a coroutine's `cr_running`.
    #[getter]
    fn cr_running(&self, py: Python<'_>) -> bool {
        self.phase(py) == Phase::Running
    }

    /// Where it was made, in debug mode, as a coroutine's `cr_origin`.
    #[getter]
    pub(crate) fn cr_origin(&self, py: Python<'_>) -> Option<Py<PyTuple>> {
        self.state.with(py, |state| {
            state.extra.as_ref().and_then(|extra| extra.origin.as_ref().map(|origin| origin.clone_ref(py)))
        })
    }

    /// Always `None`: there is no Python frame.
    #[getter]
    fn cr_frame(&self) -> Option<Py<PyAny>> {
        None
    }

    /// Always `None`: there is no Python code.
    #[getter]
    fn cr_code(&self) -> Option<Py<PyAny>> {
        None
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.state.visit(&visit, |state| {
            visit.call(&state.task)?;
            match &state.extra {
                Some(extra) => {
                    visit.call(&extra.cancel_message)?;
                    visit.call(&extra.origin)?;
                    extra.foreign.traverse(&visit)
                }
                None => Ok(()),
            }
        })?;
        self.kind
            .visit(&visit, |kind| kind.as_ref().map_or(Ok(()), |kind| kind.as_run_ref().traverse(&visit)))
    }

    fn __clear__(&self, py: Python<'_>) {
        let cleared = self.state.with(py, |state| (state.task.take(), state.extra.take()));
        drop(cleared);
        let kind = self.kind.enter(py, Option::take);
        drop(kind);
    }

    // The future that other drivers see in what was yielded: see foreign.rs.

    #[getter]
    fn _asyncio_future_blocking(&self, py: Python<'_>) -> Option<bool> {
        foreign::blocking(self, py)
    }

    #[setter(_asyncio_future_blocking)]
    fn set_asyncio_future_blocking(&self, py: Python<'_>, value: bool) {
        self.state.with(py, |state| state.extra.get_or_insert_default().foreign.taken = !value);
    }

    /// Return the loop that the operation waits on; only while it is awaited.
    fn get_loop<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        event_loop::get_running_loop(slf.py())
    }

    /// Call `fn(operation)` once the operation is woken or cancelled.
    #[pyo3(signature = (r#fn, /, *, context = None))]
    fn add_done_callback(
        slf: &Bound<'_, Self>,
        r#fn: Bound<'_, PyAny>,
        context: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        foreign::add_done_callback(slf, r#fn, context)
    }

    /// Remove every registration of `fn`; return how many there were.
    #[pyo3(signature = (r#fn, /))]
    fn remove_done_callback(slf: &Bound<'_, Self>, r#fn: &Bound<'_, PyAny>) -> PyResult<usize> {
        foreign::remove_done_callback(slf, r#fn)
    }

    /// Cancel the wait: the `await` raises `CancelledError`. Return `False` if it waits no more.
    #[pyo3(signature = (msg = None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
        cancel(slf, msg)
    }

    /// Return whether the wait has ended.
    fn done(&self, py: Python<'_>) -> bool {
        matches!(self.phase(py), Phase::Woken | Phase::Cancelled | Phase::Finished)
    }

    /// Return whether the wait was cancelled.
    fn cancelled(&self, py: Python<'_>) -> bool {
        self.phase(py) == Phase::Cancelled
    }

    /// Return `None` once the wait has ended, raise `CancelledError` if it was cancelled.
    fn result(slf: &Bound<'_, Self>) -> PyResult<()> {
        match take_cancellation(slf)? {
            Some(exception) => Err(PyErr::from_value(exception)),
            None => Ok(()),
        }
    }

    /// As `result`.
    fn exception(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::result(slf)
    }
}

/// Ends an operation that never ran.
fn finish(operation: &Bound<'_, Operation>) {
    let py = operation.py();
    operation.get().state.with(py, |state| state.phase = Phase::Finished);
    let ended = operation.get().kind.enter(py, Option::take);
    drop(ended);
}

impl Awaitable for Operation {
    fn begin(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.get().phase(slf.py()) {
            Phase::Fresh => Ok(()),
            Phase::Finished => Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine")),
            _ => Err(PyRuntimeError::new_err("coroutine is being awaited already")),
        }
    }

    fn advance<'py>(slf: &Bound<'py, Self>) -> Sent<'py> {
        send(slf)
    }
}
