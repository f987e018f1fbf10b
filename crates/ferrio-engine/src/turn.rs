//! One turn of the loop: which items are ready, and whether to wait.
//!
//! The engine decides, the host acts: it pops and runs the items, waits on the reactor and runs the events. Nothing here
//! calls back into the host, so the host's items may use the engine freely between two calls. The invariant: while an
//! item is ready, no plan says `Sleep`; and while a descriptor is watched, every turn looks at the descriptors. Programs count
//! on that: they write, let two turns pass, and expect the other end to have it. The look is a system call without a
//! wait, some 120 ns; a loop that watches nothing is spared it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Nanos};
use crate::inbox::Inbox;
use crate::reactor::{Reactor, Wait};
use crate::ready::{OutOfMemory, ReadyQueue};
use crate::timer::Timers;

/// By how much the coarse clock may lag behind: two ticks of the slowest kernel. A timer further away can't be due, and most
/// turns have no other timers: these needn't read the dear clock.
const COARSE_LAG: Nanos = 20_000_000;

/// What to do at the end of a turn.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Plan {
    /// Begin the next turn: there is work, and no descriptor is watched.
    Skip,
    /// Look at the descriptors without waiting.
    Poll,
    /// Nothing is ready: wait, with the host's interpreter released. The inbox knows that the loop sleeps.
    Sleep(Wait),
}

impl Plan {
    /// How long to wait; `None` if not even to look.
    pub fn wait(self) -> Option<Wait> {
        match self {
            Plan::Skip => None,
            Plan::Poll => Some(Wait::Now),
            Plan::Sleep(wait) => Some(wait),
        }
    }
}

/// The loop without its host.
#[derive(Debug)]
pub struct Engine<T> {
    /// Items to run.
    pub ready: ReadyQueue<T>,
    /// Items to run later.
    pub timers: Timers<T>,
    /// The loop's time.
    pub clock: Clock,
    /// The time by which timers are due, if the host has a clock of its own.
    told: Option<Nanos>,
    reactor: Arc<Reactor>,
    inbox: Arc<Inbox<T>>,
    /// The last plan was to sleep, and [`Engine::finish_wait`] wasn't called yet.
    sleeping: bool,
    /// With a virtual clock: the last look at the descriptors brought nothing, so time may jump.
    looked: bool,
    /// With a virtual clock: since when (by the system's clock) jobs that are out keep it at the time it shows.
    held: Option<Held>,
}

/// A virtual clock that stands still for jobs.
#[derive(Copy, Clone, Debug)]
struct Held {
    at: Nanos,
    since: Nanos,
}

impl<T> Engine<T> {
    /// An engine without work.
    ///
    /// # Errors
    ///
    /// The kernel's, when the process is out of descriptors.
    pub fn new(clock: Clock) -> io::Result<Self> {
        let reactor = Arc::new(Reactor::new()?);
        let inbox = Arc::new(Inbox::new(reactor.waker()));
        Ok(Self {
            ready: ReadyQueue::new(),
            timers: Timers::new(),
            clock,
            told: None,
            reactor,
            inbox,
            sleeping: false,
            looked: false,
            held: None,
        })
    }

    /// The watched descriptors; wait on a clone of the `Arc` while the engine is unborrowed.
    #[inline]
    pub fn reactor(&self) -> &Arc<Reactor> {
        &self.reactor
    }

    /// Where other threads post items.
    #[inline]
    pub fn inbox(&self) -> &Arc<Inbox<T>> {
        &self.inbox
    }

    /// Lets timers be due by the host's own clock, which shows `time` now; from then on tell the time before each
    /// [`Engine::plan`] and [`Engine::begin_turn`]. `None`: by [`Engine::clock`] again.
    pub fn tell_time(&mut self, time: Option<Nanos>) {
        self.told = time;
    }

    /// Queues an item for the next turn, after all that other threads have posted before.
    ///
    /// # Errors
    ///
    /// Hands the item back if there is no memory for it.
    #[inline]
    pub fn push(&mut self, item: T) -> Result<(), OutOfMemory<T>> {
        if self.inbox.has_items() {
            self.take_inbox();
        }
        self.ready.push(item)
    }

    /// Takes the inbox, expires timers, and returns how many items this turn runs.
    #[inline]
    pub fn begin_turn(&mut self) -> usize {
        if self.inbox.has_items() {
            self.take_inbox();
        }
        if let Some(now) = self.now_if_due() {
            self.timers.expire(now, &mut self.ready);
        }
        let batch = self.ready.len();
        if batch > 0 {
            self.looked = false;
        }
        batch
    }

    /// The time, if a timer may be due by now.
    #[inline]
    fn now_if_due(&mut self) -> Option<Nanos> {
        let deadline = self.timers.next_deadline()?;
        let latest = self.told.unwrap_or_else(|| self.clock.coarse().saturating_add(COARSE_LAG));
        (deadline <= latest).then(|| self.now())
    }

    #[cold]
    fn take_inbox(&mut self) {
        self.inbox.take(&mut self.ready);
    }

    /// Takes the next item to run.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.ready.pop()
    }

    /// Whether nothing is ready, so that the next plan may be to wait.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.ready.is_empty() && !self.inbox.has_items()
    }

    /// Whether this turn has more to run than what the look at the descriptors brought: items that were ready before, posts
    /// of other threads, timers that are due.
    #[inline]
    pub fn is_busy(&mut self) -> bool {
        !self.is_idle()
            || self
                .now_if_due()
                .is_some_and(|now| self.timers.next_deadline().is_some_and(|deadline| deadline <= now))
    }

    /// Says how the turn ends. After it, wait as it says, then call [`Engine::finish_wait`].
    ///
    /// `external_work`: jobs are out that will post to the inbox (threads, child processes). A virtual clock stands still
    /// while they are, but not for longer than the system's clock takes to the next deadline: a job may itself wait for
    /// what a timer does.
    #[inline]
    pub fn plan(&mut self, external_work: bool) -> Plan {
        self.finish_wait(); // in case that an exception kept the host from it
        if !self.ready.is_empty() || self.inbox.has_items() {
            self.plan_busy()
        } else {
            self.plan_idle(external_work)
        }
    }

    /// The wait, or the look, is over (or was left out, or failed).
    #[inline]
    pub fn finish_wait(&mut self) {
        if std::mem::take(&mut self.sleeping) {
            self.inbox.finish_sleep();
        }
    }

    /// The look brought events. What the host did for them without queueing anything may bring others, an answer from a
    /// socket of the same process: a virtual clock must not jump before another look.
    #[inline]
    pub fn saw_events(&mut self) {
        self.looked = false;
    }

    fn plan_busy(&mut self) -> Plan {
        // Nobody to look after: other threads announce themselves through the inbox's flag.
        if self.reactor.watched() == 0 {
            return Plan::Skip;
        }
        Plan::Poll
    }

    fn plan_idle(&mut self, external_work: bool) -> Plan {
        let left = self.timers.next_deadline().map(|deadline| deadline.saturating_sub(self.now()));
        let wait = match left {
            Some(left) if self.clock.is_virtual() => match self.left_for_jobs(left, external_work) {
                0 => return self.plan_jump(left),
                left => Wait::Until(Duration::from_nanos(left)),
            },
            Some(0) => return self.plan_busy(),
            Some(left) => Wait::Until(Duration::from_nanos(left)),
            None => Wait::Forever,
        };
        if !self.inbox.prepare_sleep() {
            return self.plan_busy();
        }
        self.sleeping = true;
        Plan::Sleep(wait)
    }

    /// The time by which timers are due.
    #[inline]
    fn now(&self) -> Nanos {
        self.told.unwrap_or_else(|| self.clock.now())
    }

    /// With a virtual clock: for how long it still stands still before it jumps to the next deadline, `left` from now.
    fn left_for_jobs(&mut self, left: Nanos, external_work: bool) -> Nanos {
        if !external_work {
            self.held = None;
            return 0;
        }
        let (at, now) = (self.clock.now(), Clock::monotonic().now());
        let since = match self.held {
            Some(held) if held.at == at => held.since,
            _ => now,
        };
        self.held = Some(Held { at, since });
        left.saturating_sub(now.saturating_sub(since))
    }

    /// With a virtual clock and all quiet: looks at the descriptors once, then moves the clock to the next deadline, `left` from
    /// now.
    fn plan_jump(&mut self, left: Nanos) -> Plan {
        if self.looked || self.reactor.watched() == 0 {
            self.looked = false;
            self.clock.advance_to(self.clock.now().saturating_add(left));
            return Plan::Skip;
        }
        self.looked = true;
        Plan::Poll
    }
}
