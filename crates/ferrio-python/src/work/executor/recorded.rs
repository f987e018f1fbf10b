//! The end of a job in a recording: the loop notes which job it was before it wakes whoever waited.
//!
//! Only recorded jobs come back this way, so others pay nothing for it.

use ferrio_engine::recorder::Kind;
use pyo3::prelude::*;

use crate::base::class::Class;
use crate::base::gc::collected;
use crate::core::event_loop::{self, Item};
use crate::core::future::callbacks::WatcherCall;

/// What a job's end brings to its target, and how.
#[pyclass(frozen, module = "ferrio._ferrio")]
pub(crate) struct Collected {
    number: u64,
    value: Py<PyAny>,
    call: WatcherCall,
}

collected!(Collected { value } not { number, call });

impl Class for Collected {}

/// What to post for the end of the job with this number, which `call` brings to `target` with `value`.
pub(super) fn end(
    py: Python<'_>,
    number: u64,
    target: Py<PyAny>,
    value: Py<PyAny>,
    call: WatcherCall,
) -> PyResult<Item> {
    let collected = Bound::new(py, Collected { number, value, call })?;
    Ok(Item::Watch(target, collected.into_any().unbind(), collect))
}

fn collect(target: &Bound<'_, PyAny>, collected: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = target.py();
    let collected = collected.cast::<Collected>()?.get();
    if let Some(native) = event_loop::running(py)
        && let Some(slot) = native.get().recorded()
    {
        slot.note(py, Kind::Collect, collected.number);
    }
    (collected.call)(target, collected.value.bind(py))
}
