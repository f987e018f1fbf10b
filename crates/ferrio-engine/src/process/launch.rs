//! The start of a child that keeps nobody waiting: the loop goes on while the kernel looks for the program.
//!
//! Invariant: a launch that is dropped before its child was taken out leaves no child running, and no zombie for long.

use std::io;
use std::os::fd::{AsFd, RawFd};
use std::sync::{Mutex, PoisonError};

use super::Child;
use crate::sys::process as sys;
use crate::sys::spawn::{self, Report, Running};
pub use crate::sys::spawn::{Order, Place};

/// A child on its way to its program.
#[derive(Debug)]
pub struct Launch {
    pid: i32,
    /// `None` once it is over.
    running: Option<Running>,
    /// `None` once it is taken out or waited for.
    child: Option<Child>,
    /// The process that started it: not a copy of that, which a fork made.
    owner: u32,
    other_user: Option<OtherUser>,
}

/// How far a launch has come.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Outcome {
    /// The program does not run yet.
    Pending,
    /// It runs, or did; or the child was killed first.
    Started,
    /// It could not be run, for the reason with this number.
    Failed(Place, i32),
}

impl Launch {
    /// Starts a child. `None`: on this kernel, or in this sandbox, it can't be done in this way.
    ///
    /// # Errors
    ///
    /// The kernel's: out of processes, of descriptors or of memory; a stream's number that means nothing.
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

    /// What becomes readable when `outcome` has something to say; -1 after `finish`.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.running.as_ref().map_or(-1, Running::report_descriptor)
    }

    /// How far the child has come; never blocks.
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

    /// Closes the descriptor if the launch is over. No reactor may watch it any more.
    pub fn finish(&mut self) {
        let over = |running: &mut Running| !matches!(running.report(), Ok(Report::Pending));
        if self.running.as_mut().is_some_and(over) {
            self.running = None;
            self.other_user = None;
        }
    }

    /// The child, to be killed or waited for; `None` once it is taken out.
    #[must_use]
    pub fn child(&self) -> Option<&Child> {
        self.child.as_ref()
    }

    /// Takes the child out: from now on it is the caller's to look after.
    #[must_use]
    pub fn take_child(&mut self) -> Option<Child> {
        self.child.take()
    }

    /// Kills the child, if it was not taken out, and has a thread wait until nothing is left of it.
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
            // It is over: its report has ended too, so that its memory can go.
            if let Some(mut running) = running {
                let _ = running.report();
            }
            drop(other_user);
        };
        // No thread, no memory: then its zombie and its few kilobytes stay until the program ends.
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

/// Held while a child of another user is in our memory: the kernel then keeps everybody from looking into that, which has to be
/// so while the child is there, and has to be undone after the last one has left.
#[derive(Debug)]
struct OtherUser;

/// How many such children there are, and how it was before the first.
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
