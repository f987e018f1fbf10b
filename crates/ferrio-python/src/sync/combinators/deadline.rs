//! The timeout of a combinator.
use pyo3::prelude::*;

use crate::base::arguments::seconds;
use crate::core::event_loop::{Item, LoopRef};
use crate::core::timer::Timer;

/// Runs `item` on `home` after `timeout`, a number of seconds.
///
/// Raises `TypeError` for anything but a number, `ValueError` for a NaN.
pub(super) fn start(home: &LoopRef, timeout: &Bound<'_, PyAny>, item: Item) -> PyResult<Timer> {
    let py = timeout.py();
    if let Some(native) = Timer::native(home) {
        return Timer::after(py, native, seconds(timeout, "timeout")?, item);
    }
    let (callback, argument, _) = item.into_call(py)?;
    let object = home.object(py);
    let name = intern!(py, "call_later");
    let handle = match argument {
        Some(argument) => object.call_method1(name, (timeout, callback, argument))?,
        None => object.call_method1(name, (timeout, callback))?,
    };
    Ok(Timer::Handle(handle.unbind()))
}

/// Stops a timer that was started, if one was.
pub(super) fn stop(py: Python<'_>, timer: Option<Timer>) -> PyResult<()> {
    timer.map_or(Ok(()), |timer| timer.stop(py))
}
