//! `to_process`: awaits a function that runs in another process.
//!
//! The pool is `concurrent.futures`'. The loop keeps it (`of_loop.rs`); for a foreign loop `ferrio.processes` does.
//! Invariant: the call is handed to the pool at most once, when it is first awaited.

use std::sync::Arc;

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::foreign_executor::{ForeignCall, Told};
use super::job::Job;
use super::of_loop;
use crate::base::ffi::Cast;
use crate::base::ffi::coroutine::Sent;
use crate::base::functions::{Declared, declared};
use crate::base::gc::gc;
use crate::base::imports;
use crate::core::event_loop::{self, Loop};
use crate::core::future::chain;
use crate::core::operation::run::{Progress, Resume, Run};
use crate::core::operation::unawaited::Unawaited;
use crate::core::operation::{self, Operation};

/// The state of one `to_process`.
pub(crate) struct ToProcess {
    function: Py<PyAny>,
    arguments: Py<PyTuple>,
    keywords: Option<Py<PyDict>>,
    stage: Stage,
}

gc!(ToProcess { function, arguments, keywords, stage });

enum Stage {
    Fresh,
    /// The pool of a ferrio loop has it.
    Submitted(Arc<Job>, Py<ForeignCall>),
    /// Another pool or another loop has it; this is what we await.
    Forwarded(Py<PyAny>),
}

gc!(match Stage {
    Self::Fresh => (),
    Self::Submitted(job, foreign) => (job, foreign),
    Self::Forwarded(inner) => (inner),
});

pub(crate) const TO_PROCESS: Declared = declared!(to_process).coroutine("ferrio.processes");

/// Return an awaitable that calls `func(*args, **kwargs)` in a process of the running loop's pool. It returns or
/// raises what the call does.
///
/// The function, its arguments and its result are pickled, so another process must be able to import the function; if
/// the call can't be sent, `pickle.PicklingError` is raised. The values of context variables aren't passed on. If the
/// awaitable is cancelled while the call waits in the pool, `func` is never called. A call that a process has goes
/// on, and its result is ignored. The same is true of the next call in the queue, because the pool hands out one call
/// more than it has processes. The pool is made at the first use: a `ProcessPoolExecutor` with a process for each
/// CPU, unless `loop.set_process_executor` has set another one. If a process dies, the calls in progress fail with
/// `BrokenProcessPool`, and the next call gets a new pool. Ctrl-C in a terminal raises `KeyboardInterrupt` in the
/// functions that the processes of that pool run, as in the program itself; idle processes ignore it.
#[pyfunction]
#[pyo3(signature = (func, /, *args, **kwargs))]
pub(crate) fn to_process(func: Py<PyAny>, args: Py<PyTuple>, kwargs: Option<Py<PyDict>>) -> Unawaited {
    Unawaited::new(ToProcess { function: func, arguments: args, keywords: kwargs, stage: Stage::Fresh })
}

impl Run for ToProcess {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        match (&self.stage, resume) {
            (Stage::Fresh, Resume::Throw(exception)) => Err(PyErr::from_value(exception)),
            (Stage::Fresh, Resume::Send) => self.start(this),
            (Stage::Submitted(job, foreign), resume) => {
                let outcome = match resume {
                    Resume::Send => match job.take(py) {
                        None => return Ok(Progress::Park),
                        Some(outcome) => outcome.map(|value| Progress::Ready(value.into_bound(py))),
                    },
                    Resume::Throw(exception) => {
                        job.call_off(py);
                        foreign.get().call_off(py)?;
                        Err(PyErr::from_value(exception))
                    }
                };
                if let Some(native) = event_loop::running(py) {
                    native.get().slow_call_ended();
                }
                outcome.map_err(|failure| self.explained(py, failure))
            }
            (Stage::Forwarded(inner), resume) => self.forward(inner.bind(py), resume),
        }
    }

    fn name(&self) -> &'static str {
        "to_process"
    }

    fn awaits<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        match &self.stage {
            Stage::Forwarded(inner) => Some(inner.bind(py).clone()),
            Stage::Fresh | Stage::Submitted(..) => None,
        }
    }
}

impl ToProcess {
    /// Hands the call to the pool.
    fn start<'py>(&mut self, this: &Bound<'py, Operation>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let home = event_loop::get_running_loop(py)?;
        let submitted = self.submit(&home).map_err(|failure| self.explained(py, failure))?;
        if let Some(native) = home.as_instance::<Loop>() {
            let job = Job::foreign();
            let told = || Ok(Told::Operation(this.clone().unbind(), job.clone()));
            if let Some(foreign) = of_loop::follow(native, &submitted, told)? {
                native.get().slow_call_began();
                self.stage = Stage::Submitted(job, foreign.unbind());
                return Ok(Progress::Park);
            }
        }
        let inner = operation::start_awaiting(&chain::wrap(&submitted, Some(&home))?)?;
        self.stage = Stage::Forwarded(inner.clone().unbind());
        self.forward(&inner, Resume::Send)
    }

    /// Calls the pool's `submit`, and returns its result.
    fn submit<'py>(&self, home: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = home.py();
        let function = self.function.bind(py).clone();
        let all = of_loop::with_arguments(function, self.arguments.bind(py))?;
        let keywords = self.keywords.as_ref().map(|keywords| keywords.bind(py));
        if let Some(native) = home.as_instance::<Loop>() {
            return of_loop::submit_to_process(native, &all, keywords);
        }
        let pool = imports::POOL_OF_FOREIGN_LOOP.get(py)?;
        let known = pool.call1((home,))?;
        match known.call_method(intern!(py, "submit"), &all, keywords) {
            Err(failure) if failure.is_instance(py, imports::BROKEN_EXECUTOR.get(py)?) => {
                pool.call1((home, known))?.call_method(intern!(py, "submit"), &all, keywords)
            }
            submitted => submitted,
        }
    }

    fn forward<'py>(&self, inner: &Bound<'py, PyAny>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        match operation::forward(inner, resume) {
            Sent::Yielded(yielded) => Ok(Progress::Forward(yielded)),
            Sent::Returned(value) => Ok(Progress::Ready(value)),
            Sent::Raised(failure) => Err(self.explained(inner.py(), failure)),
        }
    }

    /// What the `await` raises for `failure`: it tells if the call couldn't be sent.
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
