//! The descriptor that ends the reactor's wait from another thread.
//!
//! Each backend chooses one that it can watch. A counter (an eventfd) is watched edge-triggered: each write is reported once
//! and nothing has to be read back. It is reset only when it is full, after 2^64 - 2 wake-ups. A pipe is emptied by the wait
//! that it ends. With kqueue it would be a pipe too, watched with `EV_CLEAR`; an `EVFILT_USER` is no descriptor, which code
//! that can only write needs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::inbox::Wake;
use crate::sys::pipe;

/// Ends the reactor's current or next wait. Clones share one descriptor, which lives as long as the last clone.
#[derive(Clone, Debug)]
pub struct Waker {
    ends: Arc<Ends>,
}

#[derive(Debug)]
struct Ends {
    writer: OwnedFd,
    /// `None` for a counter, which is read where it is written.
    reader: Option<OwnedFd>,
}

impl Waker {
    /// A wake-up by a counter that adds up what is written.
    pub(super) fn of_counter(counter: OwnedFd) -> Self {
        Self { ends: Arc::new(Ends { writer: counter, reader: None }) }
    }

    /// A wake-up by a pipe: its reading end, then its writing end.
    pub(super) fn of_pipe((reader, writer): (OwnedFd, OwnedFd)) -> Self {
        Self { ends: Arc::new(Ends { writer, reader: Some(reader) }) }
    }

    /// A descriptor for code that can only write to one, such as a signal handler. Write eight bytes, a nonzero `u64`.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.ends.writer.as_fd()
    }

    /// The descriptor to watch for input.
    pub(super) fn watched(&self) -> BorrowedFd<'_> {
        self.ends.reader.as_ref().unwrap_or(&self.ends.writer).as_fd()
    }

    /// Takes out the wake-ups so far, so that the next wait isn't ended by them.
    pub(super) fn drain(&self) {
        let mut bytes = [0; 512];
        // A counter is empty after one read. An error means that nothing is left, or that the descriptor was closed.
        while pipe::take(self.watched(), &mut bytes).is_ok_and(|count| count == bytes.len()) {}
    }
}

impl Wake for Waker {
    fn wake(&self) {
        while let Err(error) = pipe::signal(self.as_fd()) {
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                // Full. Another thread may have emptied it meanwhile, so it is tried again.
                io::ErrorKind::WouldBlock if self.ends.reader.is_none() => self.drain(),
                // A full pipe ends the wait as well as one more write would. Or another part of the program closed the
                // descriptor (`os.closerange`), and the reactor's with it. The wait reports that, not the thread that
                // happens to post.
                _ => return,
            }
        }
    }
}
