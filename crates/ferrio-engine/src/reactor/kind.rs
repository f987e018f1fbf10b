//! The backends by name, and one of them chosen.

use std::io;
use std::os::fd::RawFd;

use super::backend::Backend;
use super::epoll::Epoll;
use super::poll::Poll;
use super::{Interest, Wait, Waker};
use crate::sys::events::RawEvent;

/// The backends that this system has.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Linux's own set of descriptors. A wait costs no time for a descriptor that isn't ready.
    Epoll,
    /// A list that the kernel gets with every wait, on every Unix.
    Poll,
}

impl Kind {
    /// All of them, the best one first.
    pub const ALL: [Kind; 2] = [Kind::Epoll, Kind::Poll];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Epoll => "epoll",
            Kind::Poll => "poll",
        }
    }

    /// The backend with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A backend of some kind.
#[derive(Debug)]
pub(super) enum Chosen {
    Epoll(Epoll),
    Poll(Poll),
}

/// What each kind does itself.
macro_rules! each {
    ($chosen:expr, $backend:ident => $call:expr) => {
        match $chosen {
            Chosen::Epoll($backend) => $call,
            Chosen::Poll($backend) => $call,
        }
    };
}

impl Chosen {
    pub(super) fn new(kind: Kind) -> io::Result<Self> {
        Ok(match kind {
            Kind::Epoll => Self::Epoll(Epoll::new()?),
            Kind::Poll => Self::Poll(Poll::new()?),
        })
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Epoll(_) => Kind::Epoll,
            Self::Poll(_) => Kind::Poll,
        }
    }

    pub(super) fn waker(&self) -> &Waker {
        each!(self, backend => backend.waker())
    }

    #[inline]
    pub(super) fn add(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        each!(self, backend => backend.add(fd, token, interest))
    }

    #[inline]
    pub(super) fn modify(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        each!(self, backend => backend.modify(fd, token, interest))
    }

    #[inline]
    pub(super) fn remove(&self, fd: RawFd) -> io::Result<()> {
        each!(self, backend => backend.remove(fd))
    }

    #[inline]
    pub(super) fn wait(&self, room: &mut [RawEvent], timeout: Wait) -> io::Result<usize> {
        each!(self, backend => backend.wait(room, timeout))
    }

    pub(super) fn renew(&self) -> io::Result<()> {
        each!(self, backend => backend.renew())
    }
}
