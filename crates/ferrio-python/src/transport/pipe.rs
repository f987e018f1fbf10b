//! What both pipe transports have in common: which files they take, and how a pipe is closed.

use ferrio_engine::net::{self, FileKind};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;

use crate::error;

/// The descriptor of a file object, made non-blocking, and what kind of file it is.
///
/// Raises `ValueError` with the text `refusal` for a regular file, a directory or a disk; `OSError` for a closed file.
pub(super) fn open(pipe: &Bound<'_, PyAny>, refusal: &'static str) -> PyResult<(i32, FileKind)> {
    let py = pipe.py();
    let fd = pipe.call_method0(intern!(py, "fileno"))?.extract()?;
    let kind = net::file_kind(fd).map_err(|failure| error::from_system(py, &failure))?;
    if kind == FileKind::Other {
        return Err(PyValueError::new_err(refusal));
    }
    net::set_nonblocking(fd).map_err(|failure| error::from_system(py, &failure))?;
    Ok((fd, kind))
}

/// `pipe.close()`.
pub(super) fn close(pipe: &Bound<'_, PyAny>) -> PyResult<()> {
    pipe.call_method0(intern!(pipe.py(), "close")).map(drop)
}
