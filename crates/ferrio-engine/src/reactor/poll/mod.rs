//! The backend that every Unix has: `poll(2)`, which gets the whole list of descriptors with each wait.
//!
//! It serves where the kernel's own set is forbidden, as by some sandboxes, and where a program asks for it. A wait costs time
//! for each watched descriptor, ready or not: about 20 ns, so a thousand idle connections add 20 us to each turn.
//!
//! The list belongs to this process, so a forked child has its own. A thread that changes it during a wait ends that wait, and
//! the change counts from the next one on.

mod list;

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use self::list::{List, Look};
use super::backend::Backend;
use super::{Interest, Wait, Waker};
use crate::fork_lock::ForkLock;
use crate::inbox::Wake;
use crate::sys::events::RawEvent;
use crate::sys::poll::{self as calls, Asked, PollFlags};
use crate::sys::{pipe, replace};

/// A list of descriptors for `poll`.
pub(super) struct Poll {
    list: ForkLock<List>,
    waker: Waker,
}

impl Poll {
    /// Changes the list, and ends a wait that doesn't know of the change.
    fn change<R>(&self, change: impl FnOnce(&mut List) -> R) -> R {
        let (outcome, waits) = {
            let mut list = self.list.lock();
            (change(&mut list), list.begin_change())
        };
        if waits {
            self.waker.wake();
        }
        outcome
    }

    /// What to ask: the waker, then every entry of the list.
    fn ask(&self, asked: &mut Vec<Asked>, list: &List, look: Look) -> io::Result<()> {
        asked.clear();
        asked.try_reserve(list.len() + 1).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        asked.push(calls::ask(self.waker.watched().as_raw_fd(), PollFlags::IN));
        list.ask(asked, look);
        Ok(())
    }

    /// Asks the kernel, and writes the events. Returns their number, and whether the waker ended the wait.
    fn look(
        &self,
        asked: &mut Vec<Asked>,
        room: &mut [RawEvent],
        look: Look,
        timeout: Option<Duration>,
    ) -> io::Result<(usize, bool)> {
        let version = {
            let mut list = self.list.lock();
            list.close_gaps();
            self.ask(asked, &list, look)?;
            list.begin_wait()
        };
        let outcome = calls::wait(asked, timeout);
        let mut list = self.list.lock();
        list.end_wait();
        outcome?;
        let woken = !asked[0].revents().is_empty();
        if woken {
            self.waker.drain();
        }
        // Events on a list that has changed meanwhile are still there at the next wait.
        Ok((if list.is(version) { list.collect(&asked[1..], room, look) } else { 0 }, woken))
    }

    fn wait_with(&self, asked: &mut Vec<Asked>, room: &mut [RawEvent], timeout: Wait) -> io::Result<usize> {
        let timeout = match timeout {
            Wait::Now => Some(Duration::ZERO),
            Wait::Until(time) => Some(time),
            Wait::Forever => None,
        };
        if !self.list.lock().has_told() {
            return Ok(self.look(asked, room, Look::Whole, timeout)?.0);
        }
        // Edges: first see which of the ready ones no longer are, then wait for the others.
        let (count, woken) = self.look(asked, room, Look::Whole, Some(Duration::ZERO))?;
        if count > 0 || woken || timeout == Some(Duration::ZERO) {
            return Ok(count);
        }
        let pause = self.list.lock().pause();
        let short = pause.filter(|pause| timeout.is_none_or(|timeout| *pause < timeout));
        let (count, woken) = self.look(asked, room, Look::Untold, short.or(timeout))?;
        if count > 0 || woken || short.is_none() {
            return Ok(count);
        }
        Ok(self.look(asked, room, Look::Again, Some(Duration::ZERO))?.0)
    }
}

impl Backend for Poll {
    fn new() -> io::Result<Self> {
        Ok(Self { list: ForkLock::new(List::default()), waker: Waker::of_pipe(pipe::create()?) })
    }

    fn waker(&self) -> &Waker {
        &self.waker
    }

    fn add(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.change(|list| list.add(fd, token, interest))
    }

    fn modify(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.change(|list| list.modify(fd, token, interest))
    }

    fn remove(&self, fd: RawFd) -> io::Result<()> {
        self.change(|list| list.remove(fd))
    }

    fn wait(&self, room: &mut [RawEvent], timeout: Wait) -> io::Result<usize> {
        // Taken out meanwhile: the list isn't locked during a wait.
        let mut asked = self.list.lock().take_memory();
        let outcome = self.wait_with(&mut asked, room, timeout);
        self.list.lock().give_memory(asked);
        outcome
    }

    fn renew(&self) -> io::Result<()> {
        let (reader, writer) = pipe::create()?;
        replace(self.waker.watched(), &reader)?;
        replace(self.waker.as_fd(), &writer)
    }
}

impl std::fmt::Debug for Poll {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Poll").field("waker", &self.waker).finish_non_exhaustive()
    }
}
