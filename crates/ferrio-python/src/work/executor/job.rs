//! One call for a worker thread: what to call, and what is told how it ended.
//!
//! The awaiting thread and the worker share a `Job`; the pool's queue has an `Entry`, which is the job with its
//! target. Invariant: the call is taken out once, either by the worker that runs it or by a cancellation that came
//! first.

use std::sync::Arc;

use ferrio_engine::Refused;
use ferrio_engine::inbox::Inbox;
use ferrio_engine::meter::JobMark;
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::recorded;
use super::worker::Running;
use crate::base::ffi::{Guarded, context};
use crate::base::gc::gc;
use crate::base::recording::jobs::Noted;
use crate::base::{error, imports};
use crate::core::event_loop::{self, Item};
use crate::core::future::state::Outcome;
use crate::core::future::{self, Future, native};
use crate::core::operation::{self, Operation};

/// A Python call: `function(*arguments, **keywords)`, in `context` or in the worker's own.
pub(crate) struct Call {
    pub(crate) function: Py<PyAny>,
    pub(crate) arguments: Py<PyTuple>,
    pub(crate) keywords: Option<Py<PyDict>>,
    pub(crate) context: Option<Py<PyAny>>,
}

gc!(Call { function, arguments, keywords, context });

enum State {
    /// No worker has taken it yet.
    Waiting(Call),
    Running,
    /// It has ended, and its outcome wasn't taken yet.
    Ended(PyResult<Py<PyAny>>),
    /// It was called off, or its outcome was taken.
    Gone,
}

gc!(match State {
    Self::Waiting(call) => (call),
    Self::Ended(Ok(value)) => (value),
    Self::Ended(Err(_)) | Self::Running | Self::Gone => (),
});

/// A call on its way through a worker; shared in an `Arc`.
pub(crate) struct Job {
    state: Guarded<State>,
}

gc!(Job { state });

impl Job {
    /// A job that waits for its worker.
    pub(crate) fn new(call: Call) -> Arc<Self> {
        Arc::new(Self { state: Guarded::new(State::Waiting(call)) })
    }

    /// A job that another executor runs, which reports its end with [`Job::came_back`].
    pub(crate) fn foreign() -> Arc<Self> {
        Arc::new(Self { state: Guarded::new(State::Running) })
    }

    /// What to post to the loop of `operation` when another executor has run the job. `None`: it was cancelled there.
    pub(super) fn came_back(
        &self,
        py: Python<'_>,
        operation: Py<Operation>,
        outcome: Option<PyResult<Py<PyAny>>>,
    ) -> Item {
        let Some(outcome) = outcome else {
            return Item::Watch(operation.into_any(), py.None(), cancel_operation);
        };
        self.end(py, outcome.map_err(|failure| converted(py, failure)));
        Item::Watch(operation.into_any(), py.None(), operation_ended)
    }

    /// Changes the waiting call, if it still waits.
    pub(crate) fn amend(&self, py: Python<'_>, change: impl FnOnce(&mut Call)) {
        self.state.with(py, |state| {
            if let State::Waiting(call) = state {
                change(call);
            }
        });
    }

    /// The function that will be called, if it still waits.
    pub(crate) fn function(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| match state {
            State::Waiting(call) => Some(call.function.clone_ref(py)),
            _ => None,
        })
    }

    /// Takes the call in order to run it here and now. `None` if another thread did, or if it was called off.
    pub(crate) fn begin(&self, py: Python<'_>) -> Option<Call> {
        self.state.with(py, |state| match std::mem::replace(state, State::Running) {
            State::Waiting(call) => Some(call),
            other => {
                *state = other;
                None
            }
        })
    }

    /// Leaves the outcome for [`Job::take`]. If the job was called off meanwhile, the outcome is dropped.
    fn end(&self, py: Python<'_>, outcome: PyResult<Py<PyAny>>) {
        let unwanted = self.state.with(py, |state| match state {
            State::Gone => Some(outcome),
            _ => {
                *state = State::Ended(outcome);
                None
            }
        });
        drop(unwanted);
    }

    /// The outcome, once; `None` if it hasn't ended.
    pub(crate) fn take(&self, py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        self.state.with(py, |state| match std::mem::replace(state, State::Gone) {
            State::Ended(outcome) => Some(outcome),
            other => {
                *state = other;
                None
            }
        })
    }

    /// Nobody waits any more: a call that no worker has taken never runs.
    pub(crate) fn call_off(&self, py: Python<'_>) {
        let old = self.state.with(py, |state| std::mem::replace(state, State::Gone));
        drop(old);
    }
}

/// What is told.
pub(crate) enum Target {
    /// An operation of a ferrio loop, which takes the outcome from the job.
    Operation(Py<Operation>, Arc<Inbox<Item>>),
    /// A future of a ferrio loop.
    Future(Py<Future>, Arc<Inbox<Item>>),
    /// A `concurrent.futures.Future`.
    Concurrent(Py<PyAny>),
}

/// What the pool's queue holds.
pub(crate) struct Entry {
    pub(crate) job: Arc<Job>,
    pub(crate) target: Target,
    /// For a recording.
    pub(crate) noted: Option<Noted>,
    /// Counts the job, if its loop is metered.
    pub(crate) mark: Option<JobMark>,
}

/// A message for a loop: what to run there.
pub(crate) struct Message {
    inbox: Arc<Inbox<Item>>,
    item: Item,
}

impl Message {
    /// Posts it; callable while detached. If the loop is closed, returns the item, which must be dropped while
    /// attached.
    pub(crate) fn post(self) -> Option<Item> {
        self.inbox.post(self.item).err().map(Refused::into_item)
    }
}

impl Entry {
    /// Runs the call in this attached thread, after passing it to `now`. Returns what to post.
    pub(super) fn run(self, py: Python<'_>, now: impl FnOnce(Running)) -> PyResult<Option<Message>> {
        let number = self.noted.as_ref().map(|noted| noted.number);
        let message = self.run_for_target(py, now)?;
        match (message, number) {
            (Some(Message { inbox, item: Item::Watch(target, value, call) }), Some(number)) => {
                let item = recorded::end(py, number, target, value, call)?;
                Ok(Some(Message { inbox, item }))
            }
            (message, _) => Ok(message),
        }
    }

    fn run_for_target(self, py: Python<'_>, now: impl FnOnce(Running)) -> PyResult<Option<Message>> {
        let Self { job, target, noted, mut mark } = self;
        let now = |running| {
            if let Some(mark) = &mut mark {
                mark.begin();
            }
            now(running);
            if let Some(noted) = &noted {
                noted.begin(py);
            }
        };
        match target {
            Target::Operation(operation, inbox) => {
                if let Some(call) = job.begin(py) {
                    now(call.running_for(operation.as_any(), py));
                    job.end(py, call.run(py).map_err(|failure| converted(py, failure)));
                }
                let item = Item::Watch(operation.into_any(), py.None(), operation_ended);
                Ok(Some(Message { inbox, item }))
            }
            Target::Future(future, inbox) => {
                let cancelled =
                    future.get().state.with(py, |state| matches!(state.outcome, Outcome::Cancelled));
                let call = if cancelled { None } else { job.begin(py) };
                let item = match call.map(|call| (now(call.running_for(future.as_any(), py)), call.run(py)).1)
                {
                    None => Item::Watch(future.into_any(), py.None(), future_cancelled),
                    outcome => future_came_back(py, future, outcome),
                };
                Ok(Some(Message { inbox, item }))
            }
            Target::Concurrent(future) => {
                let future = future.bind(py);
                if future.call_method0(intern!(py, "set_running_or_notify_cancel"))?.is_truthy()?
                    && let Some(call) = job.begin(py)
                {
                    now(call.running_for(future.as_unbound(), py));
                    match call.run(py) {
                        Ok(value) => future.call_method1(intern!(py, "set_result"), (value,))?,
                        Err(failure) => {
                            let exception = error::into_object(py, failure);
                            future.call_method1(intern!(py, "set_exception"), (exception,))?
                        }
                    };
                }
                Ok(None)
            }
        }
    }

    /// Cancels whatever waits for a call that will never run. Returns what to post.
    pub(crate) fn cancel(self, py: Python<'_>) -> PyResult<Option<Message>> {
        self.job.call_off(py);
        match self.target {
            Target::Operation(operation, inbox) => {
                let item = Item::Watch(operation.into_any(), py.None(), cancel_operation);
                Ok(Some(Message { inbox, item }))
            }
            Target::Future(future, inbox) => {
                let item = Item::Watch(future.into_any(), py.None(), cancel_future);
                Ok(Some(Message { inbox, item }))
            }
            Target::Concurrent(future) => {
                future.bind(py).call_method0(intern!(py, "cancel"))?;
                Ok(None)
            }
        }
    }
}

impl Call {
    /// What a worker shows while it runs this for `awaited`.
    fn running_for(&self, awaited: &Py<PyAny>, py: Python<'_>) -> Running {
        Running {
            function: self.function.clone_ref(py),
            arguments: self.arguments.clone_ref(py),
            awaited: awaited.clone_ref(py),
        }
    }

    fn run(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let call = |py| {
            let keywords = self.keywords.as_ref().map(|keywords| keywords.bind(py));
            self.function.bind(py).call(self.arguments.bind(py), keywords)
        };
        let outcome = match &self.context {
            Some(context) => context::run(context.bind(py), call),
            None => call(py),
        };
        outcome.map(Bound::unbind)
    }
}

/// What an `await` may raise instead of `failure`. `concurrent.futures`' own exceptions become asyncio's.
/// `StopIteration` is wrapped, because an `await` would take it for a return.
fn converted(py: Python<'_>, failure: PyErr) -> PyErr {
    let is = |import: &imports::Import| import.get(py).is_ok_and(|class| failure.get_type(py).is(class));
    let ours = if is(&imports::CONCURRENT_CANCELLED_ERROR) {
        &imports::CANCELLED_ERROR
    } else if is(&imports::CONCURRENT_INVALID_STATE_ERROR) {
        &imports::INVALID_STATE_ERROR
    } else if failure.is_instance_of::<PyStopIteration>(py) {
        let wrapped = PyRuntimeError::new_err(
            "StopIteration interacts badly with generators and cannot be raised into a Future",
        );
        wrapped.set_cause(py, Some(failure));
        return wrapped;
    } else {
        return failure;
    };
    let made = || {
        let arguments = failure.value(py).getattr(intern!(py, "args"))?.cast_into::<PyTuple>()?;
        let made = ours.get(py)?.call1(arguments)?;
        made.setattr(intern!(py, "__traceback__"), failure.traceback(py))?;
        Ok::<_, PyErr>(PyErr::from_value(made))
    };
    made().unwrap_or_else(|other| other)
}

/// What to post to the loop of `future` when its call has ended. `None`: it was cancelled.
pub(super) fn future_came_back(
    py: Python<'_>,
    future: Py<Future>,
    outcome: Option<PyResult<Py<PyAny>>>,
) -> Item {
    match outcome {
        None => Item::Watch(future.into_any(), py.None(), cancel_future),
        Some(Ok(value)) => Item::Watch(future.into_any(), value, future_returned),
        Some(Err(failure)) => {
            let exception = error::into_object(py, converted(py, failure)).into_any().unbind();
            Item::Watch(future.into_any(), exception, future_raised)
        }
    }
}

// What the loop runs for a message: the first object is the target, the second the outcome.

fn operation_ended(operation: &Bound<'_, PyAny>, _none: &Bound<'_, PyAny>) -> PyResult<()> {
    event_loop::job_came_back(operation.py());
    operation::wake(operation.cast_exact::<Operation>()?).map(drop)
}

fn cancel_operation(operation: &Bound<'_, PyAny>, _none: &Bound<'_, PyAny>) -> PyResult<()> {
    event_loop::job_came_back(operation.py());
    operation::cancel(operation.cast_exact::<Operation>()?, None).map(drop)
}

fn future_returned(future: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    event_loop::job_came_back(future.py());
    let future = future.cast::<Future>()?;
    if future.get().is_done(future.py()) {
        return done_already(future);
    }
    native::set_result(future, value.clone())
}

fn future_raised(future: &Bound<'_, PyAny>, exception: &Bound<'_, PyAny>) -> PyResult<()> {
    event_loop::job_came_back(future.py());
    let future = future.cast::<Future>()?;
    if future.get().is_done(future.py()) {
        return done_already(future);
    }
    native::set_exception(future, exception.clone())
}

fn future_cancelled(future: &Bound<'_, PyAny>, _none: &Bound<'_, PyAny>) -> PyResult<()> {
    event_loop::job_came_back(future.py());
    Ok(())
}

fn cancel_future(future: &Bound<'_, PyAny>, _none: &Bound<'_, PyAny>) -> PyResult<()> {
    event_loop::job_came_back(future.py());
    native::cancel(future.cast::<Future>()?, None).map(drop)
}

/// A cancelled future needs no outcome. If the program has ended it in another way, that is an error.
fn done_already(future: &Bound<'_, Future>) -> PyResult<()> {
    let py = future.py();
    if future.get().state.with(py, |state| matches!(state.outcome, Outcome::Cancelled)) {
        return Ok(());
    }
    Err(future::invalid_state(
        py,
        &format!("the executor's future was done before its function ended: {}", future.repr()?),
    ))
}
