//! The pipe that a signal handler writes to, so that a signal ends the loop's wait.
//!
//! A handler that merely sets a flag comes too late if it runs between the loop's last look at the flag and its wait. What
//! it writes is still there when the wait begins. A pipe, because the bytes are the signals' numbers, of which none may be
//! lost: it holds 65536 of them, a socket pair a few hundred.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::fork;
use crate::sys;

/// Both ends of the pipe, non-blocking and closed on exec.
#[derive(Debug)]
pub struct SignalPipe {
    reader: OwnedFd,
    writer: OwnedFd,
    /// The [`fork::count`] of the process that made it.
    forks: u32,
}

impl SignalPipe {
    /// A new, empty pipe.
    ///
    /// # Errors
    ///
    /// The kernel's, when the process is out of descriptors.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = sys::socket::pipe()?;
        Ok(Self { reader, writer, forks: fork::count() })
    }

    /// Whether this process was forked off the one that made the pipe: both ends are the parent's, too.
    pub fn is_of_parent(&self) -> bool {
        self.forks != fork::count()
    }

    /// The end to watch.
    pub fn reader(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// The end for the signal handler, one byte a signal: its number.
    pub fn writer(&self) -> RawFd {
        self.writer.as_raw_fd()
    }

    /// Takes all numbers out of the pipe and hands each to `each`.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn drain(&self, mut each: impl FnMut(u8)) -> io::Result<()> {
        let mut numbers = [0; 256];
        loop {
            match sys::socket::read(self.reader(), &mut numbers) {
                Ok(count) => {
                    numbers[..count].iter().copied().for_each(&mut each);
                    if count < numbers.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
