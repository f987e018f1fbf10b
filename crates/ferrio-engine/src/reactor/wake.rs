//! The eventfd that ends the reactor's wait from another thread.
//!
//! The reactor watches it edge-triggered: each write is one report, and nothing needs to be read back. The counter is
//! reset only when it is full, after 2^64 - 2 wake-ups.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::inbox::Wake;
use crate::sys;

/// Ends the reactor's present or next wait. Clones share one eventfd, which lives as long as the last of them.
#[derive(Clone, Debug)]
pub struct Waker {
    fd: Arc<OwnedFd>,
}

impl Waker {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { fd: Arc::new(sys::eventfd()?) })
    }

    /// The eventfd, for what can write to a descriptor only, such as a signal handler: eight bytes, a `u64` that isn't zero.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Wake for Waker {
    fn wake(&self) {
        while let Err(error) = sys::eventfd_add(self.as_fd()) {
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                // Full. If the reset fails, another thread has just done it.
                io::ErrorKind::WouldBlock => drop(sys::eventfd_reset(self.as_fd())),
                // Somebody closed the descriptor under us (`os.closerange`); the wait, whose epoll instance has surely met the
                // same end, is the one to report it, not a thread that happens to post.
                _ => return,
            }
        }
    }
}
