//! `wait`: waits until some or all of several futures are done.

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PySet;

use super::deadline;
use crate::base::arguments::Argument;
use crate::base::class::Class;
use crate::base::ffi::{Cast, Guarded};
use crate::base::functions::{Declared, declared};
use crate::base::gc::{collected, gc};
use crate::base::imports;
use crate::core::event_loop::{self, Item, LoopRef};
use crate::core::future::callbacks::Watch;
use crate::core::future::isfuture;
use crate::core::future::watch::{self, Failure};
use crate::core::operation::run::{Progress, Resume, Run};
use crate::core::operation::unawaited::Unawaited;
use crate::core::operation::{self, Operation};
use crate::core::task::create::is_coroutine;
use crate::core::timer::Timer;

/// When a `wait` ends before its timeout.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    First,
    FirstException,
    All,
}

/// The state of one `wait`.
enum Wait {
    Fresh { fs: Py<PyAny>, timeout: Option<Py<PyAny>>, return_when: Py<PyAny> },
    Waiting { futures: Vec<Py<PyAny>>, countdown: Py<Countdown>, deadline: Option<Timer> },
    Over,
}

gc!(match Wait {
    Self::Fresh { fs, timeout, return_when } => (fs, timeout, return_when),
    Self::Waiting { futures, countdown, deadline } => (futures, countdown, deadline),
    Self::Over => (),
});

pub(crate) const WAIT: Declared = declared!(wait).coroutine("ferrio.tasks");

/// Wait for the tasks and futures `fs`; return two sets, of those that are done and of those that are pending.
///
/// Ends when all are done, when the first is (`FIRST_COMPLETED`), when the first failed (`FIRST_EXCEPTION`), or after
/// `timeout` seconds, without raising. Raises `TypeError` for a coroutine, alone or among `fs`, and `ValueError` for
/// an empty `fs` or another `return_when` (`asyncio.wait`).
#[pyfunction]
#[pyo3(signature = (fs, *, timeout = None, return_when = Argument::MISSING), text_signature = "(fs, *, timeout=None, return_when='ALL_COMPLETED')")]
pub(crate) fn wait(fs: Bound<'_, PyAny>, timeout: Option<Py<PyAny>>, return_when: Argument) -> Unawaited {
    let return_when = return_when.or_else(|| intern!(fs.py(), "ALL_COMPLETED").clone().into_any().unbind());
    Unawaited::new(Wait::Fresh { fs: fs.unbind(), timeout, return_when })
}

impl Run for Wait {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        match (std::mem::replace(self, Self::Over), resume) {
            (Self::Fresh { fs, timeout, return_when }, Resume::Send) => {
                let until = until(return_when.bind(py), fs.bind(py))?;
                *self = start(this, fs.bind(py), timeout.as_ref().map(|timeout| timeout.bind(py)), until)?;
                Ok(Progress::Park)
            }
            (Self::Waiting { futures, countdown, deadline }, resume) => {
                stop(py, &futures, &countdown, deadline)?;
                match resume {
                    Resume::Send => sort(py, futures),
                    Resume::Throw(exception) => Err(PyErr::from_value(exception)),
                }
            }
            (_, Resume::Throw(exception)) => Err(PyErr::from_value(exception)),
            (Self::Over, Resume::Send) => {
                Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine"))
            }
        }
    }

    fn name(&self) -> &'static str {
        "wait"
    }

    fn inner_names(&self) -> &'static [&'static str] {
        &["_wait"]
    }
}

/// Checks the arguments, in asyncio's order.
fn until(return_when: &Bound<'_, PyAny>, fs: &Bound<'_, PyAny>) -> PyResult<Until> {
    // Python 3.11 treats a generator as a coroutine; here it yields the futures.
    let generator = fs.is_instance(imports::GENERATOR_TYPE.get(fs.py())?)?;
    if isfuture(fs)? || !generator && is_coroutine(fs)? {
        return Err(PyTypeError::new_err(format!("expect a list of futures, not {}", fs.get_type().name()?)));
    }
    if !fs.is_truthy()? {
        return Err(PyValueError::new_err("Set of Tasks/Futures is empty."));
    }
    for (name, until) in [
        ("FIRST_COMPLETED", Until::First),
        ("FIRST_EXCEPTION", Until::FirstException),
        ("ALL_COMPLETED", Until::All),
    ] {
        if return_when.eq(name)? {
            return Ok(until);
        }
    }
    Err(PyValueError::new_err(format!("Invalid return_when value: {return_when}")))
}

#[cold]
fn coroutine_passed(coroutine: &Bound<'_, PyAny>) -> PyErr {
    let name = coroutine.getattr("__name__").map_or_else(|_| "coroutine".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!(
        "Passing coroutines is forbidden, use tasks explicitly. create_task({name}()) makes one; gather() takes both."
    ))
}

fn start<'py>(
    this: &Bound<'py, Operation>,
    fs: &Bound<'py, PyAny>,
    timeout: Option<&Bound<'py, PyAny>>,
    until: Until,
) -> PyResult<Wait> {
    let py = this.py();
    let distinct = super::distinct(fs)?;
    let mut futures = Vec::with_capacity(distinct.len());
    for (future, _) in &distinct {
        if is_coroutine(&future)? {
            return Err(coroutine_passed(&future));
        }
        futures.push(future.unbind());
    }
    if futures.is_empty() {
        return Err(PyValueError::new_err("Set of Tasks/Futures is empty."));
    }
    let home = LoopRef::new(&event_loop::get_running_loop(py)?);
    let deadline = match timeout {
        Some(timeout) => Some(deadline::start(&home, timeout, Item::Wake(this.clone().unbind()))?),
        None => None,
    };
    let countdown = Bound::new(
        py,
        Countdown {
            state: Guarded::new(Count { operation: Some(this.clone().unbind()), left: futures.len(), until }),
        },
    )?;
    let watched =
        futures.iter().try_for_each(|future| watch::watch(future.bind(py), countdown.as_any(), &FUTURE_DONE));
    let countdown = countdown.unbind();
    if let Err(failure) = watched {
        // This isn't a future, so don't wait for the others either.
        let operation = countdown.get().state.with(py, |count| count.operation.take());
        drop(operation);
        deadline::stop(py, deadline)?;
        return Err(failure);
    }
    Ok(Wait::Waiting { futures, countdown, deadline })
}

/// Leaves nothing behind on the futures.
fn stop(
    py: Python<'_>,
    futures: &[Py<PyAny>],
    countdown: &Py<Countdown>,
    deadline: Option<Timer>,
) -> PyResult<()> {
    let operation = countdown.get().state.with(py, |count| count.operation.take());
    drop(operation);
    deadline::stop(py, deadline)?;
    for future in futures {
        watch::unwatch(future.bind(py), countdown.bind(py).as_any(), &FUTURE_DONE)?;
    }
    Ok(())
}

/// The two sets.
fn sort(py: Python<'_>, futures: Vec<Py<PyAny>>) -> PyResult<Progress<'_>> {
    let (done, pending) = (PySet::empty(py)?, PySet::empty(py)?);
    for future in futures {
        let set = if watch::is_done(future.bind(py))? { &done } else { &pending };
        set.add(future)?;
    }
    Ok(Progress::Ready((done, pending).into_pyobject(py)?.into_any()))
}

/// What the futures of one `wait` notify when they are done.
#[pyclass(frozen, module = "ferrio._ferrio")]
pub(crate) struct Countdown {
    state: Guarded<Count>,
}

collected!(Countdown { state });

impl Class for Countdown {}

struct Count {
    /// `None` when the wait is over.
    operation: Option<Py<Operation>>,
    left: usize,
    until: Until,
}

gc!(Count { operation } not { left, until });

static FUTURE_DONE: Watch =
    Watch::new("_wait.<locals>._on_completion", future_done).awaited_by(|countdown| {
        let countdown = countdown.as_exactly::<Countdown>();
        countdown.and_then(|countdown| countdown.get().awaiter(countdown.py())).into()
    });

fn future_done(countdown: &Bound<'_, PyAny>, future: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = countdown.py();
    let countdown = countdown.cast_exact::<Countdown>()?;
    let (enough, until) = countdown.get().state.with(py, |count| {
        count.left = count.left.saturating_sub(1);
        (count.left == 0 || count.until == Until::First, count.until)
    });
    let enough = enough
        || until == Until::FirstException && matches!(watch::failure(future)?, Some(Failure::Exception(_)));
    if !enough {
        return Ok(());
    }
    let operation = countdown
        .get()
        .state
        .with(py, |count| count.operation.as_ref().map(|operation| operation.bind(py).clone()));
    match operation {
        Some(operation) => operation::wake(&operation).map(drop),
        None => Ok(()),
    }
}

#[pymethods]
impl Countdown {
    fn __clear__(&self, py: Python<'_>) {
        let operation = self.state.with(py, |count| count.operation.take());
        drop(operation);
    }
}

impl Countdown {
    /// The ferrio task that awaits the `wait`.
    fn awaiter<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let operation =
            self.state.with(py, |count| count.operation.as_ref().map(|operation| operation.clone_ref(py)))?;
        operation.get().waiting_task(py).map(|task| task.into_bound(py).into_any())
    }
}
