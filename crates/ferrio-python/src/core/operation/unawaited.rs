//! `Unawaited`: a new operation on its way to Python, as every coroutine function of ours returns it.
//!
//! Usually Python gets the operation itself. Under observation it gets a stand-in: a real coroutine with a frame that has
//! the name, file and line of asyncio's, and that awaits the operation. Readers of another process's memory only follow
//! real coroutines, and tracebacks only have real frames. This is the one place that decides between the two.
//!
//! A stand-in takes over what concerns the caller: the report that nobody awaited it, its `close()`, its state. The
//! operation behind it shows what it awaits in its own place, so that no name appears twice (`face.rs`).

use pyo3::prelude::*;

use super::run::{Machine, Run};
use super::{Operation, Phase, State, frames};
use crate::base::ffi::fastcall::Answer;
use crate::base::ffi::{Exclusive, Leaf, recycle};
use crate::base::functions::{Declared, declared};
use crate::base::observation;
use crate::core::event_loop::running;

/// A new operation that Python doesn't have yet.
pub(crate) struct Unawaited(Operation);

impl Unawaited {
    /// An operation that isn't awaited yet.
    #[inline]
    pub(crate) fn new(run: impl Run) -> Self {
        let name = run.name();
        Self::named(run, name)
    }

    /// An operation with a name of its own instead of its state machine's.
    #[inline]
    pub(crate) fn named(run: impl Run, name: &'static str) -> Self {
        Self(Operation {
            name,
            state: Leaf::new(State {
                phase: Phase::Fresh,
                resumed_from: Phase::Fresh,
                inside: false,
                forgiven: false,
                stood_in_for: false,
                wakes_with_true: run.wakes_with_true(),
                task: None,
                extra: None,
            }),
            machine: Exclusive::new(Some(Machine::new(run))),
        })
    }

    /// The operation itself, for callers that drive it themselves.
    #[inline]
    pub(crate) fn bare(self, py: Python<'_>) -> PyResult<Bound<'_, Operation>> {
        recycle::make(py, self.0)
    }
}

impl<'py> Answer<'py> for Unawaited {
    #[inline]
    fn object(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let operation = self.bare(py)?;
        if observation::is_possible() { observed(operation) } else { Ok(operation.into_any()) }
    }
}

impl<'py> IntoPyObject<'py> for Unawaited {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    #[inline]
    fn into_pyobject(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.object(py)
    }
}

/// A stand-in for a new operation, if the program wants that or this thread's loop runs in debug mode.
#[cold]
fn observed(operation: Bound<'_, Operation>) -> PyResult<Bound<'_, PyAny>> {
    let py = operation.py();
    if !observation::is_wanted() && !running(py).is_some_and(|here| here.get().debug()) {
        return Ok(operation.into_any());
    }
    let found = operation.get().machine.peek(py, |machine| {
        let machine = machine.as_ref()?.get();
        Some((machine.as_coroutine(py), machine.inner_names()))
    });
    let Some((own, inner)) = found.flatten() else { return Ok(operation.into_any()) };
    if let Some(own) = own {
        operation.get().forgive(py);
        return own(py);
    }
    // At the interpreter's end it can't be made any more. The operation does the same without it.
    let Ok(function) = frames::function(py, operation.get().name, inner) else {
        return Ok(operation.into_any());
    };
    operation.get().state.with(py, |state| {
        state.stood_in_for = true;
        state.forgiven = true;
    });
    function.into_bound(py).call1((operation,))
}

pub(crate) const OBSERVE: Declared = declared!(observe).function("ferrio");

/// Give the operations that are made from now on (`sleep`, `Queue.get`...) Python frames; with `on` false, no longer.
///
/// Then tools that read the memory of another process, such as `python -m asyncio ps`, and tracebacks show the
/// function in which a task waits. Each operation takes about half a microsecond longer. The environment variable
/// `FERRIO_OBSERVE=1` and `python -m ferrio --observe` turn it on from the start, and so does debug mode.
#[pyfunction]
#[pyo3(signature = (on = true))]
pub(crate) fn observe(on: bool) {
    observation::want(on);
}
