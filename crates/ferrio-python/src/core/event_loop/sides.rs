//! The two sides of a descriptor that pipes' transports watch: one may read a terminal and another write to it.
//!
//! A side has one watcher: a transport, or the handle of `add_reader` or `add_writer`. As in asyncio, the last one
//! registered replaces the others. Unlike there, a transport that ends only removes its own registration, so that
//! another goes on.

use std::io;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::core::event_loop::Loop;
use crate::core::event_loop::descriptors::{Pipe, Side};
use crate::core::future::callbacks::WatcherCall;
use crate::core::handle::Handle;

impl Loop {
    /// Registers a pipe's transport for the events of a side: `call(owner, None)`, replacing what watched that side
    /// before. With `breakage` it is only called when the other end has gone. Returns the handle that it replaces.
    pub(crate) fn watch_side(
        &self,
        fd: i32,
        side: Side,
        owner: &Bound<'_, PyAny>,
        call: WatcherCall,
        breakage: bool,
    ) -> io::Result<Option<Py<Handle>>> {
        let (py, pipe) = (owner.py(), Pipe { owner: owner.clone().unbind(), call, breakage });
        let (outcome, old, handle) = self.owned.descriptors.with(py, |table| {
            let entry = table.entry(fd);
            let old = entry.side(side).pipe.replace(pipe);
            let handle = entry.side(side).handle.take();
            match entry.tell(fd, &self.shared.reactor) {
                Ok(()) => (Ok(()), old, handle),
                Err(failure) => {
                    let refused = std::mem::replace(&mut entry.side(side).pipe, old);
                    entry.side(side).handle = handle;
                    (Err(failure), refused, None)
                }
            }
        });
        drop(old);
        outcome.map(|()| handle.map(|handle| handle.handle))
    }

    /// Removes a pipe's transport from a side, if that one watches it.
    pub(crate) fn unwatch_side(&self, fd: i32, side: Side, owner: &Bound<'_, PyAny>) {
        let old = self.owned.descriptors.with(owner.py(), |table| {
            let entry = table.known(fd)?;
            let old = entry.side(side).pipe.take_if(|pipe| pipe.owner.is(owner));
            if old.is_some() {
                let _ = entry.settle(fd, &self.shared.reactor);
            }
            old
        });
        drop(old);
    }

    /// Forgets what watches `fd`, which has been closed. Returns the handles.
    pub(crate) fn forget_watchers(&self, py: Python<'_>, fd: i32) -> [Option<Py<Handle>>; 2] {
        let taken = self.owned.descriptors.with(py, |table| {
            let entry = table.known(fd)?;
            let taken = [Side::Reading, Side::Writing]
                .map(|side| (entry.side(side).handle.take(), entry.side(side).pipe.take()));
            let _ = entry.settle(fd, &self.shared.reactor);
            Some(taken)
        });
        taken.map_or([None, None], |taken| taken.map(|(handle, _)| handle.map(|handle| handle.handle)))
    }
}

/// Raises `RuntimeError` if a socket's transport uses the descriptor `fd` and isn't closing; the program knows the
/// descriptor as `object`.
pub(crate) fn require_no_transport(
    native: &Bound<'_, Loop>,
    fd: i32,
    object: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let Some(owner) = native.get().native_owner(native.py(), fd) else { return Ok(()) };
    // A listening server isn't a transport, nor is the loop's own pipe.
    let Some(is_closing) = owner.getattr_opt(intern!(native.py(), "is_closing"))? else { return Ok(()) };
    if is_closing.call0()?.is_truthy()? {
        return Ok(());
    }
    let (object, owner) = (object.repr()?, owner.repr()?);
    Err(PyRuntimeError::new_err(format!("File descriptor {object} is used by transport {owner}")))
}
