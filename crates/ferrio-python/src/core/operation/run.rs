//! The contract of a native operation.
//!
//! To add an operation, write its state machine beside the thing it works on: a queue's `get` lives with the queue.
//! Implement `Run` for it, and return `Unawaited::new(...)` of it. Nothing lists operations. Small ones live in the
//! `Operation` itself, larger ones on the heap (`base/ffi/inline_box.rs`).

use pyo3::PyVisit;
use pyo3::prelude::*;

use super::Operation;
use crate::base::ffi::inline_box::{Behind, InlineBox};
use crate::base::gc::{Traverse, Visited};

/// Why an operation is resumed.
pub(crate) enum Resume<'py> {
    /// For the first time, after a wake-up, or after a bare yield.
    Send,
    /// With an exception, usually a cancellation.
    Throw(Bound<'py, PyAny>),
}

/// What an operation did when it was resumed.
pub(crate) enum Progress<'py> {
    /// It is finished, and this is the value of the `await`.
    Ready(Bound<'py, PyAny>),
    /// It waits for `operation::wake`. Before returning this, it has left its `Py<Operation>` where the waker finds
    /// it.
    Park,
    /// It lets one turn of the loop pass (a bare yield).
    Yield,
    /// It awaits something else for now, and passes on what that yielded.
    Forward(Bound<'py, PyAny>),
}

/// Makes a coroutine that does the same as an operation.
pub(crate) type Own = Box<dyn for<'py> FnOnce(Python<'py>) -> PyResult<Bound<'py, PyAny>>>;

/// A state machine behind an `await`.
pub(crate) trait Run: Traverse + Send + 'static {
    /// Goes as far as it can. `this` is the operation itself, to be left with whatever wakes it.
    ///
    /// An error ends the operation, and the `await` raises it. `Resume::Throw` usually ends like that, after cleaning
    /// up.
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>>;

    /// The name that `repr` and warnings show, which is that of asyncio's coroutine: `Queue.get`.
    fn name(&self) -> &'static str;

    /// The functions of asyncio in which that coroutine waits, as long as `awaits` says nothing: the outermost first.
    ///
    /// Call graphs and tracebacks end in the last of them. A name that this Python's asyncio lacks is left out.
    fn inner_names(&self) -> &'static [&'static str] {
        &[]
    }

    /// Under observation, how to make a coroutine that does the same with Python's own `await`. For an operation that may await other
    /// coroutines: a reader of this process's memory can't find these behind the operation.
    fn as_coroutine(&self, _py: Python<'_>) -> Option<Own> {
        None
    }

    /// Whether asyncio's waker gives the future of such a wait the result `True`, not `None`.
    fn wakes_with_true(&self) -> bool {
        false
    }

    /// What the operation awaits at the moment, if that is another awaitable (`cr_await`).
    fn awaits<'py>(&self, _py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        None
    }

    /// Drops an operation that has ended. Frequent ones use `drop_ref`, which unlike `drop` doesn't check that the
    /// thread is attached.
    #[inline]
    fn discard(self, _py: Python<'_>)
    where
        Self: Sized,
    {
        drop(self);
    }
}

/// The state machine of one operation.
pub(super) type Machine = InlineBox<dyn Run>;

impl Traverse for Machine {
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        self.get().traverse(visit)
    }
}

impl<T: Run> Behind<dyn Run> for T {
    #[inline]
    fn face(&self) -> &(dyn Run + 'static) {
        self
    }

    #[inline]
    fn face_mut(&mut self) -> &mut (dyn Run + 'static) {
        self
    }

    #[inline]
    fn discard(self, py: Python<'_>) {
        Run::discard(self, py);
    }
}
