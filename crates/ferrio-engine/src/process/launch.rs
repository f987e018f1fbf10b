//! Starts a child without blocking: the loop goes on while the kernel loads the program.
//!
//! Invariant: if a launch is dropped before its child was taken out, the child is killed and soon reaped.

use std::io;
use std::os::fd::{AsFd, RawFd};
use std::sync::{Mutex, PoisonError};

use super::Child;
use crate::sys::process as sys;
use crate::sys::spawn::{self, Report, Running};
pub use crate::sys::spawn::{Order, Place};

/// A child that may not run its program yet.
#[derive(Debug)]
pub struct Launch {
    pid: i32,
    /// `None` after the launch is over.
    running: Option<Running>,
    /// `None` after it was taken out or waited for.
    child: Option<Child>,
    /// The process that started the child. A forked copy of it doesn't own the child.
    owner: u32,
    other_user: Option<OtherUser>,
}

/// The state of a launch.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Outcome {
    /// The program doesn't run yet.
    Pending,
    /// The program has started, or the child was killed first.
    Started,
    /// The program couldn't be run; this is where it failed and the error number.
    Failed(Place, i32),
}

impl Launch {
    /// Starts a child. `None` means that this kernel or sandbox doesn't allow this way.
    ///
    /// # Errors
    ///
    /// The kernel's: no more processes, descriptors or memory, or a stream that isn't open.
    pub fn start(order: Order) -> io::Result<Option<Self>> {
        if !spawn::is_available() {
            return Ok(None);
        }
        let changes_user = order.user.is_some() || order.group.is_some() || order.groups.is_some();
        let other_user = changes_user.then(OtherUser::new);
        let mut running = match spawn::start(order) {
            Err(failure)
                if matches!(failure.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EPERM)) =>
            {
                return Ok(None);
            }
            outcome => outcome?,
        };
        let child = Child { pid: running.pid, descriptor: running.descriptor.take() };
        Ok(Some(Self {
            pid: running.pid,
            running: Some(running),
            child: Some(child),
            owner: std::process::id(),
            other_user,
        }))
    }

    /// The child's number.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The descriptor that becomes readable when `outcome` has news; -1 after `finish`.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.running.as_ref().map_or(-1, Running::report_descriptor)
    }

    /// The state of the launch; never blocks.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn outcome(&mut self) -> io::Result<Outcome> {
        let Some(running) = &mut self.running else { return Ok(Outcome::Started) };
        Ok(match running.report()? {
            Report::Pending => Outcome::Pending,
            Report::Gone => Outcome::Started,
            Report::Failed(place, number) => Outcome::Failed(place, number),
        })
    }

    /// Closes the descriptor if the launch is over. No reactor may be watching it.
    pub fn finish(&mut self) {
        let over = |running: &mut Running| !matches!(running.report(), Ok(Report::Pending));
        if self.running.as_mut().is_some_and(over) {
            self.running = None;
            self.other_user = None;
        }
    }

    /// The child, to kill it or wait for it; `None` after it was taken out.
    #[must_use]
    pub fn child(&self) -> Option<&Child> {
        self.child.as_ref()
    }

    /// Takes the child out. The caller then has to wait for it.
    #[must_use]
    pub fn take_child(&mut self) -> Option<Child> {
        self.child.take()
    }

    /// Kills the child unless it was taken out, and starts a thread that reaps it.
    pub fn abandon(&mut self) {
        let (running, child, other_user) = (self.running.take(), self.child.take(), self.other_user.take());
        if self.owner != std::process::id() {
            return;
        }
        let Some(child) = child else { return };
        let _ = child.signal(libc::SIGKILL);
        let wait = move || {
            if let Some(descriptor) = &child.descriptor {
                sys::wait_for_end(descriptor.as_fd());
            }
            let _ = child.reap();
            // The child is gone, so its report has ended and its memory can be freed.
            if let Some(mut running) = running {
                let _ = running.report();
            }
            drop(other_user);
        };
        // If no thread can be started, the zombie and its few kilobytes stay until the program ends.
        let _ = std::thread::Builder::new().name("ferrio-abandoned".to_owned()).spawn(wait);
    }
}

impl Drop for Launch {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.abandon();
        }
    }
}

/// Exists while a child that changes its user shares our memory. The kernel then makes this process undumpable. That must stay
/// so while the child is there, and is undone after the last such child has left.
#[derive(Debug)]
struct OtherUser;

/// How many such children there are, and whether the process was dumpable before the first.
static OTHER_USERS: Mutex<(usize, bool)> = Mutex::new((0, false));

impl OtherUser {
    fn new() -> Self {
        let mut state = OTHER_USERS.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 == 0 {
            state.1 = sys::is_dumpable();
        }
        state.0 += 1;
        Self
    }
}

impl Drop for OtherUser {
    fn drop(&mut self) {
        let mut state = OTHER_USERS.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 -= 1;
        if state.0 == 0 && state.1 && !sys::is_dumpable() {
            sys::make_dumpable();
        }
    }
}
