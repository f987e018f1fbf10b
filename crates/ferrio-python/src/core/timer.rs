//! A timer of any loop: among a ferrio loop's own timers, or a handle of a loop that has timers of its own.

use ferrio_engine::clock::Nanos;
use ferrio_engine::timer::TimerKey;
use pyo3::prelude::*;

use crate::base::gc::gc;
use crate::core::event_loop::{Item, Loop, LoopRef};

/// A timer that may be running.
pub(crate) enum Timer {
    /// Among the loop's own timers.
    Native(Py<Loop>, TimerKey),
    /// A handle.
    Handle(Py<PyAny>),
}

gc!(match Timer {
    Self::Native(native, _) => (native),
    Self::Handle(handle) => (handle),
});

impl Timer {
    /// The ferrio loop of `home`, if its own timers can be used: a program may have replaced `call_later`.
    #[inline]
    pub(crate) fn native(home: &LoopRef) -> Option<&Py<Loop>> {
        match home {
            LoopRef::Native(native) if !native.get().overrides().timers() => Some(native),
            _ => None,
        }
    }

    /// Runs `item` at the time `deadline` of `native`. Raises `RuntimeError` on a closed loop.
    #[inline]
    pub(crate) fn at(py: Python<'_>, native: &Py<Loop>, deadline: Nanos, item: Item) -> PyResult<Self> {
        let key = native.get().insert_timer(py, deadline, item)?;
        Ok(Self::Native(native.clone_ref(py), key))
    }

    /// Runs `item` on `native` after `delay` seconds. Raises `RuntimeError` on a closed loop.
    #[inline]
    pub(crate) fn after(py: Python<'_>, native: &Py<Loop>, delay: f64, item: Item) -> PyResult<Self> {
        Self::at(py, native, native.get().deadline_after(py, delay), item)
    }

    /// Another reference to the same.
    pub(crate) fn duplicate(&self, py: Python<'_>) -> Self {
        match self {
            Self::Native(native, key) => Self::Native(native.clone_ref(py), *key),
            Self::Handle(handle) => Self::Handle(handle.clone_ref(py)),
        }
    }

    /// Stops the timer; does nothing if it has fired.
    pub(crate) fn stop(self, py: Python<'_>) -> PyResult<()> {
        match self {
            Self::Native(native, key) => {
                native.get().forget_timer(py, key);
                native.drop_ref(py);
                Ok(())
            }
            Self::Handle(handle) => handle.bind(py).call_method0(intern!(py, "cancel")).map(drop),
        }
    }
}
