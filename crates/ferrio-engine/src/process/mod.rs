//! Child processes: when and how they end, and signals to them; how they start is in `launch`.
//!
//! A child is known by a descriptor of its own (pidfd), which becomes readable when it ends. So there is no SIGCHLD handler,
//! any thread may wait, and no signal hits a stranger who got the number of a child that is gone. Where the kernel refuses
//! such descriptors (before Linux 5.3, or in a sandbox), the number has to do.

pub mod launch;

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use crate::sys::process::{self as sys, HowEnded, Whom};

/// A child of this process, running or ended and not yet waited for.
#[derive(Debug)]
pub struct Child {
    pid: i32,
    descriptor: Option<OwnedFd>,
}

/// What has become of a child.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Fate {
    /// It has not ended.
    Running,
    /// It has ended: with this status, or by a signal with this number, negative.
    Ended(i32),
    /// It has ended, and somebody else has waited for it and knows how.
    Unknown,
}

impl Child {
    /// The child with the number `pid`.
    ///
    /// # Errors
    ///
    /// The kernel's, when the process is out of descriptors.
    pub fn of(pid: i32) -> io::Result<Self> {
        match sys::open(pid) {
            Ok(descriptor) => Ok(Self { pid, descriptor: Some(descriptor) }),
            // ESRCH: somebody has waited for it already, which the first `reap` finds out.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM | libc::ESRCH)) => {
                Ok(Self::without_descriptor(pid))
            }
            Err(error) => Err(error),
        }
    }

    /// As [`Child::of`], on a kernel without process descriptors, or as if on one.
    #[must_use]
    pub fn without_descriptor(pid: i32) -> Self {
        Self { pid, descriptor: None }
    }

    /// What becomes readable when the child ends; `None` where the kernel has no such thing: then somebody has to wait.
    #[must_use]
    pub fn descriptor(&self) -> Option<RawFd> {
        self.descriptor.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Whether the child has ended; leaves it to be waited for.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        !matches!(sys::wait(self.whom(), true), Ok(None))
    }

    /// Waits for a child that has ended, so that nothing of it is left; never blocks.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn reap(&self) -> io::Result<Fate> {
        loop {
            match sys::wait(self.whom(), false) {
                Ok(None) => return Ok(Fate::Running),
                Ok(Some(how)) => return Ok(Fate::Ended(code(how))),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ECHILD) => {
                    let known =
                        self.descriptor.as_ref().and_then(|descriptor| sys::exit_info(descriptor.as_fd()));
                    return Ok(known.map_or(Fate::Unknown, |how| Fate::Ended(code(how))));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a signal; one to a child that has ended is no error.
    ///
    /// # Errors
    ///
    /// The kernel's: `PermissionDenied` for a child that has become another user, `InvalidInput` for what is no signal.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        let outcome = match &self.descriptor {
            Some(descriptor) => sys::signal(descriptor.as_fd(), signal),
            None => sys::signal_number(self.pid, signal),
        };
        match outcome {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            outcome => outcome,
        }
    }

    fn whom(&self) -> Whom<'_> {
        match &self.descriptor {
            Some(descriptor) => Whom::Descriptor(descriptor.as_fd()),
            None => Whom::Number(self.pid),
        }
    }
}

fn code(how: HowEnded) -> i32 {
    match how {
        HowEnded::Exited(status) => status,
        HowEnded::Killed(signal) => -signal,
    }
}
