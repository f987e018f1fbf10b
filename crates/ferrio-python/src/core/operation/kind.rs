//! The contract of a native operation, and the list of them.
//!
//! To add an operation: write its state machine beside the thing it works on (a queue's `get` lives with the queue),
//! implement `Run` for it, and give it a line in `Kind`. Hot and small ones stand in the enum itself; the others are
//! boxed (`Kind::Boxed`).

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::Operation;
use super::immediate::Immediate;
use super::sleep::Sleep;
use crate::net::streams::{drain, read};
use crate::sync::locks::{event, lock, semaphore};
use crate::sync::queues::wait as queue;
use crate::sync::wait_for::WaitFor;
use crate::work::executor::to_thread::ToThread;

/// Why an operation is resumed.
pub(crate) enum Resume<'py> {
    /// For the first time, after a wake-up, or after a bare yield.
    Send,
    /// With an exception: a cancellation, mostly.
    Throw(Bound<'py, PyAny>),
}

/// What an operation did when it was resumed.
pub(crate) enum Progress<'py> {
    /// It is finished, and this is the value of the `await`.
    Ready(Bound<'py, PyAny>),
    /// It waits for `operation::wake`. Before it says so it has left its `Py<Operation>` where the waker finds it.
    Park,
    /// It wants one turn of the loop to pass (a bare yield).
    Yield,
    /// It awaits something else for now, and hands up what that yielded.
    Forward(Bound<'py, PyAny>),
}

/// A state machine behind an `await`.
pub(crate) trait Run {
    /// Goes as far as it can. `this` is the operation itself, to be left with whoever wakes it.
    ///
    /// An error ends the operation and is raised by the `await`; `Resume::Throw` usually ends so, after cleaning up.
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>>;

    /// For the garbage collector: every Python reference inside.
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError>;

    /// The name that `repr` and warnings show, as asyncio's coroutine has it: `Queue.get`.
    fn name(&self) -> &'static str;

    /// What the operation awaits at the moment, if that is another awaitable (`cr_await`).
    fn awaits<'py>(&self, _py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        None
    }
}

/// Every native operation.
pub(crate) enum Kind {
    Sleep(Sleep),
    Immediate(Immediate),
    WaitFor(Box<WaitFor>),
    LockAcquire(lock::Acquire),
    SemaphoreAcquire(semaphore::Acquire),
    EventWait(event::Wait),
    QueueGet(queue::Get),
    QueuePut(queue::Put),
    QueueJoin(queue::Join),
    ToThread(ToThread),
    StreamRead(read::Read),
    StreamDrain(drain::Drain),
    Boxed(Box<dyn Run + Send>),
}

impl Kind {
    /// Lets go of one that has ended.
    #[inline]
    pub(crate) fn release(self, py: Python<'_>) {
        match self {
            Self::Immediate(immediate) => immediate.release(py),
            Self::LockAcquire(acquire) => acquire.release(py),
            Self::SemaphoreAcquire(acquire) => acquire.release(py),
            Self::EventWait(wait) => wait.release(py),
            Self::QueueGet(get) => get.release(py),
            Self::QueuePut(put) => put.release(py),
            Self::StreamRead(read) => read.release(py),
            other => drop(other),
        }
    }

    #[inline]
    pub(crate) fn as_run(&mut self) -> &mut dyn Run {
        match self {
            Self::Sleep(sleep) => sleep,
            Self::Immediate(immediate) => immediate,
            Self::WaitFor(wait_for) => wait_for.as_mut(),
            Self::LockAcquire(acquire) => acquire,
            Self::SemaphoreAcquire(acquire) => acquire,
            Self::EventWait(wait) => wait,
            Self::QueueGet(get) => get,
            Self::QueuePut(put) => put,
            Self::QueueJoin(join) => join,
            Self::ToThread(to_thread) => to_thread,
            Self::StreamRead(read) => read,
            Self::StreamDrain(drain) => drain,
            Self::Boxed(boxed) => boxed.as_mut(),
        }
    }

    #[inline]
    pub(crate) fn as_run_ref(&self) -> &dyn Run {
        match self {
            Self::Sleep(sleep) => sleep,
            Self::Immediate(immediate) => immediate,
            Self::WaitFor(wait_for) => wait_for.as_ref(),
            Self::LockAcquire(acquire) => acquire,
            Self::SemaphoreAcquire(acquire) => acquire,
            Self::EventWait(wait) => wait,
            Self::QueueGet(get) => get,
            Self::QueuePut(put) => put,
            Self::QueueJoin(join) => join,
            Self::ToThread(to_thread) => to_thread,
            Self::StreamRead(read) => read,
            Self::StreamDrain(drain) => drain,
            Self::Boxed(boxed) => boxed.as_ref(),
        }
    }
}
