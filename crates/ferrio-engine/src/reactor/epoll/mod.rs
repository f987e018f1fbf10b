//! The epoll backend. The head of the directory above has the contract.
//!
//! Timed waits use `epoll_pwait2`, whose timeout is in nanoseconds. The kernel may lack it, before Linux 5.11 or
//! under an older seccomp filter. Then they use a timerfd in the epoll set and a plain `epoll_wait`. So do waits that are
//! little longer than the kernel's slack (`slack`).

mod fork;
mod slack;

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use self::slack::Slack;
use super::backend::Backend;
use super::{Interest, OWN_TOKEN, Wait, Waker};
use crate::sys::epoll::{self as calls, EventFlags};
use crate::sys::events::{self, RawEvent};
use crate::sys::{eventfd, timerfd};

/// What the eventfd and the timerfd are watched for. Edge-triggered, so that a wake-up or an unused expiry costs no read.
const OWN_EVENTS: EventFlags = EventFlags::IN.union(EventFlags::ET);

/// An epoll set.
#[derive(Debug)]
pub(super) struct Epoll {
    epoll: OwnedFd,
    waker: Waker,
    /// Set once the kernel has refused `epoll_pwait2`.
    lacks_pwait2: AtomicBool,
    /// Made with the reactor, since a wait can't report that the process is out of descriptors.
    timer: OwnedFd,
    slack: Slack,
}

impl Epoll {
    /// From now on as on a kernel without `epoll_pwait2`.
    pub(super) fn refuse_pwait2(&self) {
        self.lacks_pwait2.store(true, Ordering::Relaxed);
    }

    fn wait_for(&self, room: &mut [RawEvent], timeout: Duration) -> io::Result<usize> {
        if !self.lacks_pwait2.load(Ordering::Relaxed) && !self.slack.dominates(timeout) {
            match calls::wait_for(self.epoll.as_fd(), room, self.slack.shorten(timeout)) {
                // Container sandboxes older than this call return EPERM for calls that they don't know.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    self.refuse_pwait2();
                }
                result => return result,
            }
        }
        timerfd::arm(self.timer.as_fd(), timeout)?;
        calls::wait(self.epoll.as_fd(), room, true)
    }
}

impl Backend for Epoll {
    fn new() -> io::Result<Self> {
        let (epoll, waker, timer) =
            (calls::create()?, Waker::of_counter(eventfd::create()?), timerfd::create()?);
        for own in [waker.watched(), timer.as_fd()] {
            calls::add(&epoll, own.as_raw_fd(), OWN_EVENTS, OWN_TOKEN)?;
        }
        Ok(Self { epoll, waker, lacks_pwait2: AtomicBool::new(false), timer, slack: Slack::of_this_thread() })
    }

    fn waker(&self) -> &Waker {
        &self.waker
    }

    #[inline]
    fn add(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        calls::add(&self.epoll, fd, flags(interest), token)
    }

    #[inline]
    fn modify(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        calls::modify(&self.epoll, fd, flags(interest), token)
    }

    #[inline]
    fn remove(&self, fd: RawFd) -> io::Result<()> {
        calls::delete(&self.epoll, fd)
    }

    #[inline]
    fn wait(&self, room: &mut [RawEvent], timeout: Wait) -> io::Result<usize> {
        let count = match timeout {
            Wait::Now => calls::wait(self.epoll.as_fd(), room, false)?,
            Wait::Forever => calls::wait(self.epoll.as_fd(), room, true)?,
            Wait::Until(duration) if duration.is_zero() => calls::wait(self.epoll.as_fd(), room, false)?,
            Wait::Until(duration) => self.wait_for(room, duration)?,
        };
        Ok(drop_own(&mut room[..count]))
    }

    fn renew(&self) -> io::Result<()> {
        fork::renew(self.epoll.as_fd(), self.waker.watched(), self.timer.as_fd())
    }
}

/// Moves the reactor's own events (two at most) after the others, and returns how many others there are. Their order doesn't
/// matter.
#[inline]
fn drop_own(events: &mut [RawEvent]) -> usize {
    let mut len = events.len();
    while let Some(own) = events[..len].iter().position(is_own) {
        len -= 1;
        events.swap(own, len);
    }
    len
}

fn is_own(event: &RawEvent) -> bool {
    events::token(event) == OWN_TOKEN
}

fn flags(interest: Interest) -> EventFlags {
    let mut flags = EventFlags::empty();
    flags.set(EventFlags::IN, interest.readable);
    flags.set(EventFlags::OUT, interest.writable);
    flags.set(EventFlags::ET, interest.edge);
    flags.set(EventFlags::ONESHOT, interest.once);
    flags
}
