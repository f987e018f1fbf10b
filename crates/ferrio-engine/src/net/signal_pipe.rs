//! The pipe that a signal handler writes to, so that a signal ends the loop's wait.
//!
//! A flag alone would be too late if the handler ran between the loop's last check and its wait. A written byte is still there
//! when the wait begins. The bytes are signal numbers, and none may be lost: a pipe holds 65536 of them, a socket pair only a
//! few hundred.

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
        let (reader, writer) = sys::pipe::create()?;
        Ok(Self { reader, writer, forks: fork::count() })
    }

    /// Whether a parent process made the pipe, so that both ends are shared with it.
    pub fn is_of_parent(&self) -> bool {
        self.forks != fork::count()
    }

    /// The end to watch.
    pub fn reader(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// The end for the signal handler, which writes one byte per signal: its number.
    pub fn writer(&self) -> RawFd {
        self.writer.as_raw_fd()
    }

    /// Takes all numbers out of the pipe and calls `each` with each one.
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
