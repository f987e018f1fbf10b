//! Starts a child without blocking: the loop goes on while the kernel loads the program.
//!
//! Invariant: if a launch is dropped before its child was taken out, the child is killed and soon reaped.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, RawFd};

use super::Child;
use crate::sys::process as sys;
use crate::sys::spawn::{self, Report, Running};

/// What to start, and how.
#[derive(Debug, Default)]
pub struct Order {
    /// The programs to try, in this order; at least one.
    pub programs: Vec<CString>,
    /// The arguments, the program's own name first.
    pub arguments: Vec<CString>,
    /// `NAME=value` strings. `None` means a copy of this process's environment, which no thread may change meanwhile.
    pub environment: Option<Vec<CString>>,
    /// Where to run it.
    pub directory: Option<CString>,
    /// The child's standard input, output and error output. `None` means this process's.
    pub streams: [Option<RawFd>; 3],
    /// Whether the program gets only these descriptors and `keep`.
    pub close_others: bool,
    /// Further descriptors for the program, with the same numbers.
    pub keep: Vec<RawFd>,
    /// Permission bits that new files don't get.
    pub umask: Option<u32>,
    /// Whether SIGPIPE and SIGXFSZ get their default action back.
    pub restore_signals: bool,
    /// Whether the child begins a session.
    pub new_session: bool,
    /// The process group that it joins; 0 means a new one.
    pub process_group: Option<i32>,
    /// Its supplementary groups.
    pub groups: Option<Vec<u32>>,
    /// Its group.
    pub group: Option<u32>,
    /// Its user.
    pub user: Option<u32>,
}

/// Where a child failed before it ran its program.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// While it set up its descriptors, its user and so on.
    Setup = 0,
    /// While it changed to its directory.
    Directory = 1,
    /// The program can't be run.
    Program = 2,
}

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
        let (running, child) = (self.running.take(), self.child.take());
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
