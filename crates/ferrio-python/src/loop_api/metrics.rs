//! What a loop has counted, for `ferrio.sight.metrics`.
//!
//! The engine's meter and the loop's own parts count; here the numbers come together. Each is read by itself, so a
//! snapshot of a loop that runs in another thread may mix neighbouring moments.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::core::event_loop::Loop;

/// Begin to count what a loop does, or stop; what was counted stays.
#[pyfunction]
#[pyo3(signature = (r#loop, metered, /))]
pub(crate) fn _meter(r#loop: &Bound<'_, Loop>, metered: bool) {
    r#loop.get().set_metered(metered);
}

/// Return the numbers of a loop, by name.
#[pyfunction]
#[pyo3(signature = (r#loop, /))]
pub(crate) fn _metrics<'py>(r#loop: &Bound<'py, Loop>) -> PyResult<Bound<'py, PyDict>> {
    let (py, native) = (r#loop.py(), r#loop.get());
    let found = PyDict::new(py);
    if let Some(meter) = native.metered() {
        found.set_item("turns", meter.turns())?;
        found.set_item("steps", meter.steps())?;
        found.set_item("callbacks", meter.callbacks())?;
    }
    Ok(found)
}
