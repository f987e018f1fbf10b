//! Where an operation was made: kept in debug mode, shown by the warning that nobody awaited it.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::Extra;
use crate::base::imports;

/// The current stack, as deep as this thread's coroutines record their origin.
#[cold]
pub(super) fn note() -> Option<Box<Extra>> {
    Python::attach(|py| {
        // Without it the warning only says less, so this doesn't fail.
        let origin = stack(py).ok()??;
        Some(Box::new(Extra { origin: Some(origin.unbind()), ..Extra::default() }))
    })
}

/// `((file, line, function), ...)`, innermost first; `None` if this thread doesn't track origins.
fn stack(py: Python<'_>) -> PyResult<Option<Bound<'_, PyTuple>>> {
    let depth: usize = imports::GET_ORIGIN_DEPTH.get(py)?.call0()?.extract()?;
    if depth == 0 {
        return Ok(None);
    }
    let mut frames = Vec::with_capacity(depth);
    let mut frame = imports::GETFRAME.get(py)?.call1((0,))?;
    while frames.len() < depth && !frame.is_none() {
        let code = frame.getattr(intern!(py, "f_code"))?;
        let entry = (
            code.getattr(intern!(py, "co_filename"))?,
            frame.getattr(intern!(py, "f_lineno"))?,
            code.getattr(intern!(py, "co_name"))?,
        );
        frames.push(entry.into_pyobject(py)?);
        frame = frame.getattr(intern!(py, "f_back"))?;
    }
    PyTuple::new(py, frames).map(Some)
}
