//! What both pipe transports have in common: which files they take, and how it is watched and closed.

use ferrio_engine::net::{self, FileKind};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;

use crate::base::error;
use crate::core::event_loop::Loop;
use crate::core::event_loop::descriptors::Side;
use crate::core::future::callbacks::WatcherCall;
use crate::core::handle;

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

/// Has the loop call a transport at each event of one side of `fd`, in place of who watched that side before.
pub(super) fn watch(
    native: &Bound<'_, Loop>,
    fd: i32,
    side: Side,
    transport: &Bound<'_, PyAny>,
    call: WatcherCall,
    breakage: bool,
) -> PyResult<()> {
    let replaced = native
        .get()
        .watch_side(fd, side, transport, call, breakage)
        .map_err(|failure| error::from_system(native.py(), &failure))?;
    replaced.map_or(Ok(()), |replaced| handle::cancel(replaced.bind(native.py())))
}

/// `pipe.close()`, after which nobody watches the descriptor, unless the file object leaves it open.
pub(super) fn close(native: &Bound<'_, Loop>, fd: i32, pipe: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = native.py();
    let mut outcome = pipe.call_method0(intern!(py, "close")).map(drop);
    if net::file_kind(fd).is_err() {
        for left in native.get().forget_watchers(py, fd).into_iter().flatten() {
            outcome = outcome.and(handle::cancel(left.bind(py)));
        }
    }
    outcome
}
