//! Asynchronous files: what asyncio has none of.
//!
//! The file proper is the standard library's own object (`io.open`), so that text, newlines, buffers and positions are
//! as they are with the built-in `open`; what is ours is where its work is done. `opening` makes a file, `file` is the class,
//! `call` one operation on it and where it runs, `bare` the short way of a binary file that nobody reads line by line,
//! `collector` what a writer's buffer gives off, `threads` the engine's threads that wait for disks.
//!
//! Invariants: one operation at a time works on a file, in the order in which they were first awaited; one that was begun
//! is carried out whole, whether or not somebody still waits for it.

mod bare;
mod call;
pub(crate) mod collector;
pub(crate) mod file;
pub(crate) mod opening;
pub(crate) mod threads;

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use self::threads::{Doing, Slot};
use crate::base::gc::gc;
use crate::core::operation::Operation;
use crate::core::operation::run::{Progress, Resume, Run};

/// What came of a call in a thread.
type Outcome = PyResult<Py<PyAny>>;

/// Function, positional and keyword arguments.
type Call = (Py<PyAny>, Py<PyTuple>, Option<Py<PyDict>>);

fn invoke(py: Python<'_>, (function, arguments, keywords): &Call) -> Outcome {
    let keywords = keywords.as_ref().map(|keywords| keywords.bind(py));
    function.bind(py).call(arguments.bind(py), keywords).map(Bound::unbind)
}

/// `function(*args, **kwargs)` in a thread.
struct InThread {
    call: Option<Call>,
    slot: Option<Arc<Slot<Outcome>>>,
}

gc!(InThread { call } not { slot });

/// Return an awaitable that calls `func(*args, **kwargs)`, a function of the system such as `os.stat`, in one of the
/// threads that wait for disks, and ends as the call does.
///
/// What a thread has begun goes on if the awaitable is cancelled.
#[pyfunction]
#[pyo3(signature = (func, /, *args, **kwargs))]
pub(crate) fn call_in_file_thread(
    func: Py<PyAny>,
    args: Py<PyTuple>,
    kwargs: Option<Py<PyDict>>,
) -> Operation {
    Operation::new(InThread { call: Some((func, args, kwargs)), slot: None })
}

impl Run for InThread {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        if let Resume::Throw(exception) = resume {
            return Err(PyErr::from_value(exception));
        }
        if let Some(call) = self.call.take() {
            let doing = Doing { name: "", object: call.0.clone_ref(this.py()) };
            let work = move |py: Python<'_>| invoke(py, &call);
            self.slot = Some(threads::submit_attached(this, None, doing, work)?);
            return Ok(Progress::Park);
        }
        match self.slot.as_ref().map(|slot| slot.take()) {
            Some(outcome) => Ok(Progress::Ready(outcome??.into_bound(this.py()))),
            None => Ok(Progress::Park),
        }
    }

    fn name(&self) -> &'static str {
        "call_in_file_thread"
    }
}
