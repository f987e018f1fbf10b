//! Child processes: when and how they end, and signals to them. `launch` starts them.
//!
//! A child is identified by a descriptor (pidfd) that becomes readable when the child ends. So no SIGCHLD handler is needed,
//! any thread may wait, and no signal reaches another process that got the number of a dead child. If the kernel has no such
//! descriptors (before Linux 5.3, or in a sandbox), the process number is used.

pub mod launch;

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use crate::sys::end_of_child;
use crate::sys::process::{self as sys, Ending};

/// A child of this process. It is running, or has ended and hasn't been waited for.
#[derive(Debug)]
pub struct Child {
    pid: i32,
    descriptor: Option<OwnedFd>,
}

/// The state of a child.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Fate {
    /// It hasn't ended.
    Running,
    /// It has ended with this status, or by a signal: then this is the signal's number, negated.
    Ended(i32),
    /// It has ended, but other code has waited for it and took its status.
    Unknown,
}

impl Child {
    /// The child with the number `pid`.
    ///
    /// # Errors
    ///
    /// The kernel's, when the process is out of descriptors.
    pub fn of(pid: i32) -> io::Result<Self> {
        match end_of_child::open(pid) {
            Ok(descriptor) => Ok(Self { pid, descriptor: Some(descriptor) }),
            // ESRCH: other code has waited for it already; the first `reap` will show that.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM | libc::ESRCH)) => {
                Ok(Self::without_descriptor(pid))
            }
            Err(error) => Err(error),
        }
    }

    /// Like [`Child::of`], but as on a kernel without process descriptors.
    #[must_use]
    pub fn without_descriptor(pid: i32) -> Self {
        Self { pid, descriptor: None }
    }

    /// The descriptor that becomes readable when the child ends. `None` if the kernel has none: then a thread has to wait.
    #[must_use]
    pub fn descriptor(&self) -> Option<RawFd> {
        self.descriptor.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Whether the child has ended. It can still be waited for afterwards.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        !matches!(self.wait(true), Ok(None))
    }

    /// Reaps the child if it has ended; never blocks.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn reap(&self) -> io::Result<Fate> {
        loop {
            match self.wait(false) {
                Ok(None) => return Ok(Fate::Running),
                Ok(Some(how)) => return Ok(Fate::Ended(code(how))),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ECHILD) => {
                    let known = self
                        .descriptor
                        .as_ref()
                        .and_then(|descriptor| end_of_child::exit_info(descriptor.as_fd()));
                    return Ok(known.map_or(Fate::Unknown, |how| Fate::Ended(code(how))));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a signal. If the child has ended, that isn't an error.
    ///
    /// # Errors
    ///
    /// The kernel's: `PermissionDenied` if the child runs as another user, `InvalidInput` for a number that isn't a
    /// signal.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        let outcome = match &self.descriptor {
            Some(descriptor) => end_of_child::signal(descriptor.as_fd(), signal),
            None => sys::signal(self.pid, signal),
        };
        match outcome {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            outcome => outcome,
        }
    }

    fn wait(&self, keep: bool) -> io::Result<Option<Ending>> {
        match &self.descriptor {
            Some(descriptor) => end_of_child::wait(descriptor.as_fd(), keep),
            None => sys::wait(self.pid, keep),
        }
    }
}

fn code(how: Ending) -> i32 {
    match how {
        Ending::Exited(status) => status,
        Ending::Killed(signal) => -signal,
    }
}
