//! `to_process`: a function in another process, awaited.
//!
//! The pool is `concurrent.futures`', kept by the loop (`event_loop/executor.rs`) or, for a loop of another make, beside it
//! (`ferrio.processes`). Invariant: the call is handed to the pool at most once, when it is first awaited.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::event_loop::{self, Loop};
use crate::ffi::coroutine::Sent;
use crate::future::chain;
use crate::imports;
use crate::operation::kind::{Progress, Resume, Run};
use crate::operation::{self, Operation};

/// The state of one `to_process`.
pub(crate) struct ToProcess {
    function: Py<PyAny>,
    arguments: Py<PyTuple>,
    keywords: Option<Py<PyDict>>,
    /// What we await, once the pool has the call.
    inner: Option<Py<PyAny>>,
}

/// to_process(func, /, *args, **kwargs)
/// --
///
/// Return an awaitable that calls `func(*args, **kwargs)` in a process of the pool that is kept for the running loop, and
/// ends as the call does.
///
/// The function, its arguments and its result are pickled, so the function must be one that another process can import;
/// `pickle.PicklingError` is raised if the call can't be sent. The values of context variables do not travel. A cancelled
/// one never calls `func` if the call still waits in the pool; what a process has, or is about to get (the pool hands out
/// one call more than it has processes), goes on unheeded. The pool is made at the first use: a `ProcessPoolExecutor` with
/// a process for each CPU, unless `loop.set_process_executor` named another one. A process that dies fails the calls that
/// are out with `BrokenProcessPool`, and the next call gets a new pool.
#[pyfunction]
#[pyo3(signature = (func, /, *args, **kwargs))]
pub(crate) fn to_process(func: Py<PyAny>, args: Py<PyTuple>, kwargs: Option<Py<PyDict>>) -> Operation {
    Operation::boxed(ToProcess { function: func, arguments: args, keywords: kwargs, inner: None })
}

impl Run for ToProcess {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let inner = match (&self.inner, &resume) {
            (Some(inner), _) => inner.bind(py).clone(),
            (None, Resume::Throw(exception)) => return Err(PyErr::from_value(exception.clone())),
            (None, Resume::Send) => {
                let inner = operation::start_awaiting(&self.submit(py)?)?;
                self.inner = Some(inner.clone().unbind());
                inner
            }
        };
        match operation::forward(&inner, resume) {
            Sent::Yielded(yielded) => Ok(Progress::Forward(yielded)),
            Sent::Returned(value) => Ok(Progress::Ready(value)),
            Sent::Raised(failure) => Err(self.explained(py, failure)),
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.function)?;
        visit.call(&self.arguments)?;
        visit.call(&self.keywords)?;
        visit.call(&self.inner)
    }

    fn name(&self) -> &'static str {
        "to_process"
    }

    fn awaits<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.inner.as_ref().map(|inner| inner.bind(py).clone())
    }
}

impl ToProcess {
    /// Hands the call to the pool; returns an asyncio future of its outcome.
    fn submit<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let home = event_loop::get_running_loop(py)?;
        let function = self.function.bind(py).clone();
        let all = event_loop::executor::with_arguments(function, self.arguments.bind(py))?;
        let keywords = self.keywords.as_ref().map(|keywords| keywords.bind(py));
        if let Ok(native) = home.cast::<Loop>() {
            return event_loop::executor::submit_to_process(native, &all, keywords);
        }
        let pool = imports::POOL_OF_FOREIGN_LOOP.get(py)?;
        let known = pool.call1((&home,))?;
        let submitted = match known.call_method(intern!(py, "submit"), &all, keywords) {
            Err(failure) if failure.is_instance(py, imports::BROKEN_EXECUTOR.get(py)?) => {
                pool.call1((&home, known))?.call_method(intern!(py, "submit"), &all, keywords)
            }
            submitted => submitted,
        }?;
        chain::wrap(&submitted, Some(&home))
    }

    /// What the `await` raises for `failure`: says so if the call could not be sent.
    #[cold]
    fn explained(&self, py: Python<'_>, failure: PyErr) -> PyErr {
        if !failure.is_instance_of::<PyException>(py) {
            return failure;
        }
        let explain = || {
            imports::EXPLAIN_UNSENT.get(py)?.call1((
                &failure,
                &self.function,
                &self.arguments,
                &self.keywords,
            ))
        };
        match explain() {
            Ok(explained) => PyErr::from_value(explained),
            Err(other) => other,
        }
    }
}
