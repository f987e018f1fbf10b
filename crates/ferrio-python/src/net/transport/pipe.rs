//! What both pipe transports have in common: which files they take, and how it is watched and closed.

use ferrio_engine::net::{self, FileKind};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::core::Transport;
use super::lifetime;
use crate::base::error;
use crate::core::event_loop::Loop;
use crate::core::event_loop::descriptors::Side;
use crate::core::future::callbacks::WatcherCall;
use crate::core::handle;

/// The descriptor of a file object, made non-blocking, and what kind of file it is.
///
/// Raises `ValueError` with the text `refusal` for a regular file, a directory or a disk; `OSError` for a closed file;
/// `RuntimeError` if the loop is closed.
pub(super) fn open(
    event_loop: &Bound<'_, Loop>,
    pipe: &Bound<'_, PyAny>,
    refusal: &'static str,
) -> PyResult<(i32, FileKind)> {
    let py = pipe.py();
    event_loop.get().require_open()?;
    let fd = pipe.call_method0(intern!(py, "fileno"))?.extract()?;
    let kind = net::file_kind(fd).map_err(|failure| error::from_system(py, &failure))?;
    if kind == FileKind::Other {
        return Err(PyValueError::new_err(refusal));
    }
    net::set_nonblocking(fd).map_err(|failure| error::from_system(py, &failure))?;
    Ok((fd, kind))
}

/// What `get_extra_info` knows of a pipe.
pub(super) fn extra<'py>(
    pipe: &Bound<'py, PyAny>,
    given: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyDict>> {
    let extra = lifetime::extra(pipe.py(), given)?;
    extra.set_item(intern!(pipe.py(), "pipe"), pipe)?;
    Ok(extra)
}

/// One side of a descriptor, and what the loop calls at each of its events.
pub(super) struct Watching {
    pub(super) side: Side,
    pub(super) call: WatcherCall,
    /// Whether only the other end's going is an event.
    pub(super) breakage: bool,
}

/// Begins or ends the loop's watch over one side of `fd`; `None` if nothing has changed.
///
/// A new watch takes the place of the one that the side had.
pub(super) fn settle<T: Transport>(
    transport: &Bound<'_, T>,
    fd: i32,
    changed: Option<bool>,
    watching: Watching,
) -> PyResult<()> {
    let py = transport.py();
    let event_loop = transport.get().core().event_loop.get();
    let Watching { side, call, breakage } = watching;
    match changed {
        Some(true) => {
            let replaced = event_loop
                .watch_side(fd, side, transport.as_any(), call, breakage)
                .map_err(|failure| error::from_system(py, &failure))?;
            replaced.map_or(Ok(()), |replaced| handle::cancel(replaced.bind(py)))
        }
        Some(false) => {
            event_loop.unwatch_side(fd, side, transport.as_any());
            Ok(())
        }
        None => Ok(()),
    }
}

/// `pipe.close()`. Afterwards nobody watches the descriptor, unless the file object leaves it open.
pub(super) fn close(event_loop: &Bound<'_, Loop>, fd: i32, pipe: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = event_loop.py();
    let mut outcome = pipe.call_method0(intern!(py, "close")).map(drop);
    if net::file_kind(fd).is_err() {
        for left in event_loop.get().forget_watchers(py, fd).into_iter().flatten() {
            outcome = outcome.and(handle::cancel(left.bind(py)));
        }
    }
    outcome
}
