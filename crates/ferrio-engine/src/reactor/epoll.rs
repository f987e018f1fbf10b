//! The epoll backend. The head of [`super`] has the contract.
//!
//! Timed waits use `epoll_pwait2`, whose timeout is in nanoseconds. The kernel may lack it, before Linux 5.11 or
//! under an older seccomp filter. Then they use a timerfd in the epoll set and a plain `epoll_wait`.
//!
//! The kernel ends a timed wait between the timeout and the timeout plus its slack. If nothing else interrupts the
//! CPU, it ends at the very end of that span. The slack is the thread's timer slack (50 us by default), or a
//! thousandth of the timeout if that is more. For a niced process it is a two-hundredth. So the requested timeout is
//! shorter by that slack, and the span ends at the intended time. If an interrupt ends a wait early, the loop waits
//! again; it checks the clock anyway. A timerfd has no slack but costs one more system call per wait. It is used for
//! timeouts that are little longer than the slack, and for the rest of an interrupted wait.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use super::{Event, Interest, Wait, Waker, fork as reactor_fork};
use crate::fork;
use crate::sys;
use crate::sys::epoll::{self as epoll_calls, EventFlags};

/// The token of the reactor's own descriptors (eventfd and timerfd). No other descriptor may have it.
pub(super) const OWN_TOKEN: u64 = u64::MAX;

/// What these are watched for. Edge-triggered, so that a wake-up or an unused expiry costs no read.
const OWN_EVENTS: EventFlags = EventFlags::IN.union(EventFlags::ET);

/// The events of one wait, in a reusable buffer.
pub struct Events {
    /// The first `len` are the events of the last wait.
    buffer: epoll_calls::Buffer,
    len: usize,
    most: usize,
}

impl Events {
    /// Room for `capacity` events per wait (at least one). Further events stay in the kernel until the next wait.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { buffer: epoll_calls::Buffer::new(capacity.max(1)), len: 0, most: usize::MAX }
    }

    /// Forgets the events of the last wait, for a host that skips a wait.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Makes room for at least `capacity` events. If memory is short the room stays as it is; it always suffices for a wait.
    #[inline]
    pub fn make_room(&mut self, capacity: usize) {
        if capacity > self.buffer.len() {
            self.len = 0;
            self.buffer.grow(capacity);
        }
    }

    /// Limits the next waits to `most` events (at least one, and no more than there is room for). The kernel reports the oldest
    /// ones first.
    #[inline]
    pub fn limit(&mut self, most: usize) {
        self.most = most.max(1);
    }

    /// How many events the last wait brought.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the last wait brought no events.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Event number `index` of the last wait.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Event> {
        self.buffer[..self.len].get(index).map(event)
    }

    /// The events of the last wait.
    pub fn iter(&self) -> impl Iterator<Item = Event> {
        self.buffer[..self.len].iter().map(event)
    }

    /// The memory for the next wait.
    fn room(&mut self) -> &mut [epoll_calls::Event] {
        let most = self.most.min(self.buffer.len());
        &mut self.buffer[..most]
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

/// A set of watched file descriptors. Waiting takes `&self`: the reactor can be shared in an `Arc`, and the loop's other parts
/// needn't be borrowed during a wait.
#[derive(Debug)]
pub struct Reactor {
    epoll: OwnedFd,
    /// The [`fork::count`] of the process that `epoll` was made in.
    forks: AtomicU32,
    waker: Waker,
    /// How many descriptors are registered, without the reactor's own. The loop's thread writes it.
    watched: AtomicUsize,
    /// Set once the kernel has refused `epoll_pwait2`.
    lacks_pwait2: AtomicBool,
    /// Made with the reactor, since a wait can't report that the process is out of descriptors.
    timer: OwnedFd,
    slack: Slack,
}

impl Reactor {
    /// An empty set.
    ///
    /// # Errors
    ///
    /// The kernel's, when the process is out of descriptors.
    pub fn new() -> io::Result<Self> {
        let (epoll, waker, timer) = (epoll_calls::create()?, Waker::new()?, sys::timerfd()?);
        for own in [waker.as_fd(), timer.as_fd()] {
            epoll_calls::add(&epoll, own.as_raw_fd(), OWN_EVENTS, OWN_TOKEN)?;
        }
        Ok(Self {
            epoll,
            forks: AtomicU32::new(fork::count()),
            waker,
            watched: AtomicUsize::new(0),
            lacks_pwait2: AtomicBool::new(false),
            timer,
            slack: Slack::of_this_thread(),
        })
    }

    /// Like [`Reactor::new`], but as on a kernel without `epoll_pwait2`.
    ///
    /// # Errors
    ///
    /// Those of [`Reactor::new`].
    pub fn without_pwait2() -> io::Result<Self> {
        let reactor = Self::new()?;
        reactor.lacks_pwait2.store(true, Ordering::Relaxed);
        Ok(reactor)
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
        epoll_calls::add(self.epoll()?, fd, flags(interest), token)?;
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
        epoll_calls::modify(self.epoll()?, fd, flags(interest), token)
    }

    /// Like [`Reactor::modify`], for a descriptor that may have been closed and its number reused without notice. Then it is
    /// registered again. The kernel removes a descriptor from the set when its last duplicate is closed.
    ///
    /// # Errors
    ///
    /// Those of [`Reactor::register`]. After an error the descriptor isn't registered any more.
    pub fn rearm(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        let outcome = match self.modify(fd, token, interest) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                epoll_calls::add(self.epoll()?, fd, flags(interest), token)
            }
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
        let _ = self.epoll().and_then(|epoll| epoll_calls::delete(epoll, fd));
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
        epoll_calls::delete(self.epoll()?, fd)?;
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
        let epoll = self.epoll()?;
        events.len = 0;
        let room = events.room();
        let count = match timeout {
            Wait::Now => epoll_calls::wait(epoll, room, false)?,
            Wait::Forever => epoll_calls::wait(epoll, room, true)?,
            Wait::Until(duration) if duration.is_zero() => epoll_calls::wait(epoll, room, false)?,
            Wait::Until(duration) => self.wait_for(room, duration)?,
        };
        events.len = drop_own(&mut room[..count]);
        Ok(())
    }

    /// A handle that ends this reactor's waits from other threads.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// The epoll set. In a forked child it is replaced first.
    #[inline]
    fn epoll(&self) -> io::Result<BorrowedFd<'_>> {
        if self.forks.load(Ordering::Relaxed) != fork::count() {
            self.renew()?;
        }
        Ok(self.epoll.as_fd())
    }

    #[cold]
    fn renew(&self) -> io::Result<()> {
        reactor_fork::renew(self.epoll.as_fd(), self.waker.as_fd(), self.timer.as_fd(), OWN_EVENTS)?;
        self.forks.store(fork::count(), Ordering::Relaxed);
        Ok(())
    }

    fn wait_for(&self, room: &mut [epoll_calls::Event], timeout: Duration) -> io::Result<usize> {
        if !self.lacks_pwait2.load(Ordering::Relaxed) && !self.slack.dominates(timeout) {
            match epoll_calls::wait_for(self.epoll.as_fd(), room, self.slack.shorten(timeout)) {
                // Container sandboxes older than this call return EPERM for calls that they don't know.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    self.lacks_pwait2.store(true, Ordering::Relaxed);
                }
                result => return result,
            }
        }
        sys::timerfd_arm(self.timer.as_fd(), timeout)?;
        epoll_calls::wait(self.epoll.as_fd(), room, true)
    }
}

/// What the kernel adds to a timed wait. It is read once, in the thread that makes the reactor: a loop seldom moves to another
/// thread, and a wrong value costs only microseconds or one more wait.
#[derive(Debug)]
struct Slack {
    least: u64,
    /// The kernel adds this fraction of the timeout.
    divisor: u64,
}

impl Slack {
    /// The kernel never adds more than this.
    const GREATEST: u64 = 100_000_000;

    fn of_this_thread() -> Self {
        Self { least: sys::timer_slack().unwrap_or(0), divisor: if sys::is_niced() { 200 } else { 1000 } }
    }

    /// Whether `timeout` is too short to subtract the slack.
    fn dominates(&self, timeout: Duration) -> bool {
        timeout < Duration::from_nanos(self.least.saturating_mul(2))
    }

    /// The timeout to request so that the kernel's slack ends with `timeout`. Never zero, which would mean no wait.
    fn shorten(&self, timeout: Duration) -> Duration {
        let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        // asked + asked / divisor = nanos
        let slack = (nanos / (self.divisor + 1)).clamp(self.least, Self::GREATEST.max(self.least));
        Duration::from_nanos(nanos.saturating_sub(slack).max(1))
    }
}

/// Moves the reactor's own events (two at most) after the others, and returns how many others there are. Their order doesn't
/// matter.
#[inline]
fn drop_own(events: &mut [epoll_calls::Event]) -> usize {
    let mut len = events.len();
    while let Some(own) = events[..len].iter().position(is_own) {
        len -= 1;
        events.swap(own, len);
    }
    len
}

fn is_own(event: &epoll_calls::Event) -> bool {
    event.data.u64() == OWN_TOKEN
}

fn flags(interest: Interest) -> EventFlags {
    let mut flags = EventFlags::empty();
    flags.set(EventFlags::IN, interest.readable);
    flags.set(EventFlags::OUT, interest.writable);
    flags.set(EventFlags::ET, interest.edge);
    flags.set(EventFlags::ONESHOT, interest.once);
    flags
}

fn event(raw: &epoll_calls::Event) -> Event {
    let flags = raw.flags;
    Event {
        token: raw.data.u64(),
        readable: flags.contains(EventFlags::IN),
        writable: flags.contains(EventFlags::OUT),
        hangup: flags.contains(EventFlags::HUP),
        error: flags.contains(EventFlags::ERR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortened_timeout_and_its_slack_end_where_the_timeout_ends() {
        let (normal, niced) =
            (Slack { least: 50_000, divisor: 1_000 }, Slack { least: 50_000, divisor: 200 });
        for nanos in [
            100_000,
            1_300_000,
            50_050_000,
            300_000_000,
            10_000_000_000,
            99_000_000_000,
            1_000_000_000_000_000,
        ] {
            for slack in [&normal, &niced] {
                let asked = slack.shorten(Duration::from_nanos(nanos)).as_nanos() as u64;
                let added = (asked / slack.divisor).clamp(slack.least, Slack::GREATEST);
                assert!(
                    (nanos..nanos + 1_000).contains(&(asked + added + 1)),
                    "{asked} + {added} for {nanos}"
                );
            }
        }
        assert_eq!(normal.shorten(Duration::from_nanos(10)), Duration::from_nanos(1));
        let centuries = normal.shorten(Duration::MAX);
        assert_eq!(centuries, Duration::from_nanos(u64::MAX - Slack::GREATEST));
    }
}
