//! The reactor: one backend, and what doesn't depend on which.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::kind::{Chosen, Kind};
use super::{Events, Interest, OWN_TOKEN, Wait, Waker};
use crate::fork;

/// A set of watched file descriptors. Waiting takes `&self`: the reactor can be shared in an `Arc`, and the loop's other parts
/// needn't be borrowed during a wait.
#[derive(Debug)]
pub struct Reactor {
    backend: Chosen,
    /// Why the system's best backend isn't used, if that was forbidden.
    refusal: Mutex<Option<io::Error>>,
    /// The [`fork::count`] of the process that the backend's descriptors were made in.
    forks: AtomicU32,
    /// How many descriptors are registered, without the reactor's own. The loop's thread writes it.
    watched: AtomicUsize,
}

impl Reactor {
    /// An empty set. The best backend serves, or `poll` where that is forbidden, as in some sandboxes.
    ///
    /// # Errors
    ///
    /// The kernel's, when the process is out of descriptors.
    pub fn new() -> io::Result<Self> {
        match Self::of(Kind::Epoll) {
            Err(refusal) if matches!(refusal.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                Ok(Self { refusal: Mutex::new(Some(refusal)), ..Self::of(Kind::Poll)? })
            }
            outcome => outcome,
        }
    }

    /// An empty set of this kind.
    ///
    /// # Errors
    ///
    /// The kernel's, when the process is out of descriptors or the kind is forbidden.
    pub fn of(kind: Kind) -> io::Result<Self> {
        Ok(Self {
            backend: Chosen::new(kind)?,
            refusal: Mutex::new(None),
            forks: AtomicU32::new(fork::count()),
            watched: AtomicUsize::new(0),
        })
    }

    /// Like [`Reactor::of`] epoll, but as on a kernel without `epoll_pwait2`.
    ///
    /// # Errors
    ///
    /// Those of [`Reactor::of`].
    pub fn without_pwait2() -> io::Result<Self> {
        let reactor = Self::of(Kind::Epoll)?;
        if let Chosen::Epoll(epoll) = &reactor.backend {
            epoll.refuse_pwait2();
        }
        Ok(reactor)
    }

    /// Which backend serves.
    pub fn kind(&self) -> Kind {
        self.backend.kind()
    }

    /// The system's answer to the best backend, if that is forbidden and another one serves. Only the first call gets it.
    pub fn take_refusal(&self) -> Option<io::Error> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Watches `fd`. Its events carry `token`, which may be any number but `u64::MAX`.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` for a registered descriptor, `PermissionDenied` for one that can't be watched (a regular file), or
    /// another error of the kernel.
    pub fn register(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        if token == OWN_TOKEN {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the token u64::MAX is reserved for the reactor",
            ));
        }
        self.backend()?.add(fd, token, interest)?;
        self.watched.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Changes token and interest of a registered descriptor. Rearms an edge-triggered one.
    ///
    /// # Errors
    ///
    /// `NotFound` for a descriptor that isn't registered, or another error of the kernel.
    pub fn modify(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        if token == OWN_TOKEN {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the token u64::MAX is reserved for the reactor",
            ));
        }
        self.backend()?.modify(fd, token, interest)
    }

    /// Like [`Reactor::modify`], for a descriptor that may have been closed and its number reused without notice. Then it is
    /// registered again. The kernel removes a descriptor from the set when its last duplicate is closed.
    ///
    /// # Errors
    ///
    /// Those of [`Reactor::register`]. After an error the descriptor isn't registered any more.
    pub fn rearm(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        let outcome = match self.modify(fd, token, interest) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.backend()?.add(fd, token, interest),
            outcome => outcome,
        };
        if outcome.is_err() {
            self.watched.fetch_sub(1, Ordering::Relaxed);
        }
        outcome
    }

    /// Like [`Reactor::deregister`], for a registered descriptor that may have been closed. That isn't an error.
    pub fn forget(&self, fd: RawFd) {
        // ENOENT and EBADF mean that the kernel has removed it already; there is no other failure.
        let _ = self.backend().and_then(|backend| backend.remove(fd));
        self.watched.fetch_sub(1, Ordering::Relaxed);
    }

    /// Leaves a registered descriptor out of [`Reactor::watched`] (`false`), or counts it again (`true`). For a descriptor that
    /// only ends waits and gives the loop no work.
    pub fn count(&self, counted: bool) {
        if counted {
            self.watched.fetch_add(1, Ordering::Relaxed);
        } else {
            self.watched.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Stops watching `fd`.
    ///
    /// # Errors
    ///
    /// `NotFound` for a descriptor that isn't registered, or another error of the kernel.
    pub fn deregister(&self, fd: RawFd) -> io::Result<()> {
        self.backend()?.remove(fd)?;
        self.watched.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }

    /// How many descriptors are registered.
    #[inline]
    pub fn watched(&self) -> usize {
        self.watched.load(Ordering::Relaxed)
    }

    /// Waits for events and replaces the content of `events` with them.
    ///
    /// # Errors
    ///
    /// `Interrupted` if a signal came (then `events` is empty), or another error of the kernel.
    pub fn wait(&self, events: &mut Events, timeout: Wait) -> io::Result<()> {
        let room = events.room();
        let len = self.backend()?.wait(room, timeout)?;
        events.written(len);
        Ok(())
    }

    /// A handle that ends this reactor's waits from other threads.
    pub fn waker(&self) -> Waker {
        self.backend.waker().clone()
    }

    /// The backend. In a forked child its descriptors are replaced first.
    #[inline]
    fn backend(&self) -> io::Result<&Chosen> {
        if self.forks.load(Ordering::Relaxed) != fork::count() {
            self.renew()?;
        }
        Ok(&self.backend)
    }

    #[cold]
    fn renew(&self) -> io::Result<()> {
        self.backend.renew()?;
        self.forks.store(fork::count(), Ordering::Relaxed);
        Ok(())
    }
}
