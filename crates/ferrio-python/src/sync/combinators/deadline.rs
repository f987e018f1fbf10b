//! The timeout of a combinator: a native timer on a ferrio loop, or a handle if the loop has its own `call_later`.

use ferrio_engine::timer::TimerKey;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::base::seconds::seconds;
use crate::core::event_loop::{Item, Loop, LoopRef};

/// A timer that may be running.
#[derive(Default)]
pub(crate) enum Deadline {
    /// No timeout was given, or it was cancelled.
    #[default]
    None,
    /// Among the loop's own timers.
    Native(Py<Loop>, TimerKey),
    /// A handle of a loop that has its own `call_later`.
    Handle(Py<PyAny>),
}

impl Deadline {
    /// Runs `item` on `home` after `timeout`, a number of seconds.
    ///
    /// Raises `TypeError` if it isn't a number, and `ValueError` for a NaN.
    pub(crate) fn start(home: &LoopRef, timeout: &Bound<'_, PyAny>, item: Item) -> PyResult<Self> {
        let py = timeout.py();
        if let LoopRef::Native(native) = home
            && !native.get().overrides().timers()
        {
            let deadline = native.get().deadline_after(py, seconds(timeout, "timeout")?);
            let key = native.get().insert_timer(py, deadline, item)?;
            return Ok(Self::Native(native.clone_ref(py), key));
        }
        let (callback, argument, _) = item.into_call(py)?;
        let object = home.object(py);
        let name = intern!(py, "call_later");
        let handle = match argument {
            Some(argument) => object.call_method1(name, (timeout, callback, argument))?,
            None => object.call_method1(name, (timeout, callback))?,
        };
        Ok(Self::Handle(handle.unbind()))
    }

    /// Stops the timer; does nothing if it has fired.
    pub(crate) fn cancel(self, py: Python<'_>) -> PyResult<()> {
        match self {
            Self::None => Ok(()),
            Self::Native(native, key) => {
                native.get().forget_timer(py, key);
                Ok(())
            }
            Self::Handle(handle) => handle.bind(py).call_method0(intern!(py, "cancel")).map(drop),
        }
    }

    /// Shows its references to the garbage collector.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::None => Ok(()),
            Self::Native(native, _) => visit.call(native),
            Self::Handle(handle) => visit.call(handle),
        }
    }
}
