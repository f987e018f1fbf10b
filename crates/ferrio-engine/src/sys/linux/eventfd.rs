//! Eventfds: counters that wake whoever polls them.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::EventfdFlags;

/// A new eventfd, non-blocking, closed on exec, at zero.
pub(crate) fn create() -> io::Result<OwnedFd> {
    Ok(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}
