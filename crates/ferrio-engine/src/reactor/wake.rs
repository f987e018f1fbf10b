//! The eventfd that ends the reactor's wait from another thread.
//!
//! The reactor watches it edge-triggered, so each write is reported once and nothing has to be read back. The counter is
//! reset only when it is full, after 2^64 - 2 wake-ups.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::inbox::Wake;
use crate::sys;

/// Ends the reactor's current or next wait. Clones share one eventfd, which lives as long as the last clone.
#[derive(Clone, Debug)]
pub struct Waker {
    fd: Arc<OwnedFd>,
}

impl Waker {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { fd: Arc::new(sys::eventfd()?) })
    }

    /// The eventfd, for code that can only write to a descriptor, such as a signal handler. Write eight bytes, a nonzero `u64`.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Wake for Waker {
    fn wake(&self) {
        while let Err(error) = sys::eventfd_add(self.as_fd()) {
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                // Full. If the reset fails, another thread has just reset it.
                io::ErrorKind::WouldBlock => drop(sys::eventfd_reset(self.as_fd())),
                // Another part of the program closed the descriptor (`os.closerange`), and the epoll set with it. The
                // wait reports that, not the thread that happens to post.
                _ => return,
            }
        }
    }
}
