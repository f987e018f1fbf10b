//! Calls that go to a foreign executor, and how their results reach a ferrio loop.
//!
//! The executor's `concurrent.futures.Future` gets one callback, a `ForeignCall`. It queues the outcome as
//! `call_soon_threadsafe` would: directly in the loop's own thread, through the inbox from another. No Python method
//! of the loop is called. Invariant: the loop is told once about each call, and counts it down then.

use std::sync::Arc;

use ferrio_engine::meter::JobMark;
use pyo3::prelude::*;

use super::job::{self, Job};
use crate::base::class::Class;
use crate::base::ffi::Guarded;
use crate::base::gc::{collected, gc};
use crate::base::imports;
use crate::core::event_loop::Loop;
use crate::core::event_loop::onlookers::Nobody;
use crate::core::future::callbacks::Watch;
use crate::core::future::chain::CHECK_CANCEL;
use crate::core::future::{Future, watch};
use crate::core::operation::Operation;

/// What is told about the end.
pub(crate) enum Told {
    /// An operation, which takes the outcome from the job.
    Operation(Py<Operation>, Arc<Job>),
    Future(Py<Future>),
}

gc!(match Told {
    Self::Operation(operation, _) => (operation),
    Self::Future(future) => (future),
});

/// The callback of the executor's future.
#[pyclass(frozen, module = "ferrio._ferrio")]
pub(crate) struct ForeignCall {
    native: Py<Loop>,
    state: Guarded<State>,
}

collected!(ForeignCall { native, state }, clear { state { source, told } });

impl Class for ForeignCall {}

struct State {
    /// The executor's future, until the call has ended.
    source: Option<Py<PyAny>>,
    told: Option<Told>,
    /// Counts the call, if its loop is metered.
    mark: Option<JobMark>,
}

gc!(State { source, told } not { mark });

#[pymethods]
impl ForeignCall {
    /// In any thread: `done` is the executor's future.
    fn __call__(&self, done: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = done.py();
        let (told, source, mark) =
            self.state.with(py, |state| (state.told.take(), state.source.take(), state.mark.take()));
        drop((source, mark));
        let Some(told) = told else { return Ok(()) };
        let item = match (told, outcome(done)?) {
            (Told::Operation(operation, job), outcome) => job.came_back(py, operation, outcome),
            (Told::Future(future), outcome) => {
                let item = job::future_came_back(py, future, outcome);
                // From Python 3.14 on, asyncio sets the outcome without a turn's delay in the loop's own thread.
                if cfg!(Py_3_14) && self.native.get().runs_here() {
                    return item.run(self.native.bind(py), &Nobody);
                }
                item
            }
        };
        // A closed loop can't use it.
        let refused = self.native.get().push(py, item).err();
        drop(refused);
        Ok(())
    }
}

impl ForeignCall {
    /// Tells `told`, on the loop `native`, when `source`, a `concurrent.futures.Future`, has ended.
    ///
    /// Raises what `source.add_done_callback` raises.
    pub(crate) fn follow<'py>(
        source: &Bound<'py, PyAny>,
        told: Told,
        native: Py<Loop>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = source.py();
        let destination = match &told {
            Told::Future(future) => Some(future.bind(py).clone()),
            Told::Operation(..) => None,
        };
        let mark = native.get().mark_foreign_job();
        let state = State { source: Some(source.clone().unbind()), told: Some(told), mark };
        let this = Bound::new(py, Self { native, state: Guarded::new(state) })?;
        if let Some(destination) = destination {
            watch::watch(destination.as_any(), this.as_any(), &DESTINATION_DONE)?;
        }
        source.call_method1(intern!(py, "add_done_callback"), (&this,))?;
        Ok(this)
    }

    /// Nobody waits any more: the executor is told, and a call that hasn't begun never runs.
    pub(crate) fn call_off(&self, py: Python<'_>) -> PyResult<()> {
        match self.state.with(py, |state| state.source.take()) {
            Some(source) => source.bind(py).call_method0(intern!(py, "cancel")).map(drop),
            None => Ok(()),
        }
    }
}

static DESTINATION_DONE: Watch = Watch::new(CHECK_CANCEL, destination_done);

/// Runs in the loop's thread, when the future that the loop returned is done.
fn destination_done(call: &Bound<'_, PyAny>, destination: &Bound<'_, PyAny>) -> PyResult<()> {
    if !watch::is_cancelled(destination)? {
        return Ok(());
    }
    call.cast_exact::<ForeignCall>()?.get().call_off(call.py())
}

/// The outcome of a `concurrent.futures.Future` that is done; `None` if it was cancelled.
fn outcome(done: &Bound<'_, PyAny>) -> PyResult<Option<PyResult<Py<PyAny>>>> {
    let py = done.py();
    // Read directly: its methods take a lock each, but nothing changes it any more.
    if done.get_type().is(imports::CONCURRENT_FUTURE.get(py)?)
        && done.getattr(intern!(py, "_state"))?.eq(intern!(py, "FINISHED"))?
    {
        let exception = done.getattr(intern!(py, "_exception"))?;
        return Ok(Some(if exception.is_none() {
            Ok(done.getattr(intern!(py, "_result"))?.unbind())
        } else {
            Err(PyErr::from_value(exception))
        }));
    }
    if done.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
        return Ok(None);
    }
    let exception = done.call_method0(intern!(py, "exception"))?;
    Ok(Some(if exception.is_none() {
        Ok(done.call_method0(intern!(py, "result"))?.unbind())
    } else {
        Err(PyErr::from_value(exception))
    }))
}
