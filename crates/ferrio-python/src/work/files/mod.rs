//! Asynchronous files, which asyncio doesn't have.
//!
//! The actual file is the standard library's object (`io.open`), so text, newlines, buffers and positions behave as
//! with the built-in `open`. Only where its work is done differs. `opening` makes a file, `file` is the class, and
//! `call` is one operation on it and where it runs. `bare` is the fast path of a binary file that isn't read line by
//! line. `collector` keeps what a writer's buffer hands down. `threads` has the engine's threads that wait for disks.
//!
//! Invariants: one operation at a time works on a file, in the order in which they were first awaited; an operation
//! that has begun is completed, whether or not anybody still waits for it.

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
use crate::core::operation::unawaited::Unawaited;

/// The outcome of a call in a thread.
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
/// threads that wait for disks. It returns or raises what the call does.
///
/// If the awaitable is cancelled, a call that has begun goes on.
#[pyfunction]
#[pyo3(signature = (func, /, *args, **kwargs))]
pub(crate) fn call_in_file_thread(
    func: Py<PyAny>,
    args: Py<PyTuple>,
    kwargs: Option<Py<PyDict>>,
) -> Unawaited {
    Unawaited::new(InThread { call: Some((func, args, kwargs)), slot: None })
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
