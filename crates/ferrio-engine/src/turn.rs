//! One turn of the loop: which items are ready, and whether to wait.
//!
//! The engine decides and the host acts: it pops and runs the items, waits on the reactor and handles the events. Nothing here
//! calls the host, so items may use the engine freely between two calls.
//!
//! Invariants: no plan says `Sleep` while an item is ready. While a descriptor is watched, every turn polls the descriptors.
//! Programs rely on that: they write, let two turns pass, and expect the data at the other end. A poll is a system call that
//! doesn't wait, about 120 ns; a loop that watches nothing skips it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Nanos};
use crate::inbox::Inbox;
use crate::meter::Meter;
use crate::reactor::{Reactor, Wait};
use crate::ready::{OutOfMemory, ReadyQueue};
use crate::timer::Timers;

/// How far the coarse clock may lag: two ticks of the slowest kernel. A timer further away can't be due. Most turns have only
/// such timers, and needn't read the expensive clock.
const COARSE_LAG: Nanos = 20_000_000;

/// What to do at the end of a turn.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Plan {
    /// Begin the next turn at once: there is work, and no descriptor is watched.
    Skip,
    /// Poll the descriptors without waiting.
    Poll,
    /// Nothing is ready: release the host's interpreter and wait. The inbox knows that the loop sleeps.
    Sleep(Wait),
}

impl Plan {
    /// How long to wait; `None` means not even to poll.
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
    /// The time by the host's own clock, if it has one. Then timers go by it.
    host_time: Option<Nanos>,
    reactor: Arc<Reactor>,
    inbox: Arc<Inbox<T>>,
    /// What counts and times, while that is wanted.
    meter: Option<Arc<Meter>>,
    /// The last plan was to sleep, and [`Engine::finish_wait`] hasn't been called yet.
    sleeping: bool,
    /// With a virtual clock: the last poll brought nothing, so time may jump.
    polled: bool,
    /// With a virtual clock: set while unfinished jobs stop it.
    stopped: Option<Stopped>,
    /// With a virtual clock: only the host moves it.
    held: bool,
}

/// A virtual clock that waits for jobs: the time that it shows, and since when by the system's clock.
#[derive(Copy, Clone, Debug)]
struct Stopped {
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
        Ok(Self::on(Reactor::new()?, clock))
    }

    /// An engine without work that waits on this reactor.
    pub fn on(reactor: Reactor, clock: Clock) -> Self {
        let reactor = Arc::new(reactor);
        let inbox = Arc::new(Inbox::new(reactor.waker()));
        Self {
            ready: ReadyQueue::new(),
            timers: Timers::new(),
            clock,
            host_time: None,
            reactor,
            inbox,
            meter: None,
            sleeping: false,
            polled: false,
            stopped: None,
            held: false,
        }
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

    /// Makes timers go by the host's own clock, which shows `time` now. From then on, call this before each
    /// [`Engine::plan`] and [`Engine::begin_turn`]. `None` returns to [`Engine::clock`].
    pub fn tell_time(&mut self, time: Option<Nanos>) {
        self.host_time = time;
    }

    /// From now on, only the host moves a virtual clock, and a loop with nothing to do polls. Or it jumps again.
    pub fn hold_clock(&mut self, held: bool) {
        self.held = held;
    }

    /// Queues an item for the next turn, after everything that other threads posted before.
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

    /// Empties the inbox, expires timers, and returns how many items this turn runs.
    #[inline]
    pub fn begin_turn(&mut self) -> usize {
        if self.inbox.has_items() {
            self.take_inbox();
        }
        if let Some(now) = self.now_if_due() {
            match &self.meter {
                None => self.timers.expire(now, &mut self.ready),
                Some(meter) => {
                    let note = |delay| meter.timer_delay.record(delay);
                    self.timers.expire_and_note(now, &mut self.ready, note);
                }
            }
        }
        let batch = self.ready.len();
        if batch > 0 {
            self.polled = false;
        }
        batch
    }

    /// The time, if a timer may be due by now.
    #[inline]
    fn now_if_due(&mut self) -> Option<Nanos> {
        let deadline = self.timers.next_deadline()?;
        let latest = self.host_time.unwrap_or_else(|| self.clock.coarse().saturating_add(COARSE_LAG));
        (deadline <= latest).then(|| self.now())
    }

    #[cold]
    fn take_inbox(&mut self) {
        self.inbox.take(&mut self.ready);
    }

    /// From now on, `meter` counts and times; `None` ends that.
    pub fn set_meter(&mut self, meter: Option<Arc<Meter>>) {
        self.ready.forget_mark();
        self.meter = meter;
    }

    /// For a metered loop, when a batch begins and [`Meter::turn_begins`] says so: after how many of its items to call
    /// [`Engine::note_delay`]. `None` if that isn't needed.
    #[cold]
    pub fn sample(&mut self, batch: usize) -> Option<usize> {
        let meter = self.meter.as_ref()?;
        let wants_sample = meter.wants_sample();
        if let Some(before) = self.ready.before_mark() {
            return Some(before.min(batch));
        }
        if wants_sample || self.ready.wants_mark() {
            // About as many items are likely to become ready as are in this batch.
            self.ready.mark_one_after(meter.random_below(batch.max(1)));
            meter.look_again();
        }
        None
    }

    /// Notes how long the next item has waited, which is the marked one.
    #[cold]
    pub fn note_delay(&mut self) {
        if let (Some(queued_at), Some(meter)) = (self.ready.take_mark(), &self.meter) {
            meter.ready_delay.record(Clock::monotonic().now().saturating_sub(queued_at));
        }
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

    /// Whether this turn has more to run than the descriptors' events: items that were ready before, posts of other threads,
    /// or timers that are due.
    #[inline]
    pub fn is_busy(&mut self) -> bool {
        !self.is_idle()
            || self
                .now_if_due()
                .is_some_and(|now| self.timers.next_deadline().is_some_and(|deadline| deadline <= now))
    }

    /// Queues what other threads have posted.
    pub fn take_posts(&mut self) {
        if self.inbox.has_items() {
            self.take_inbox();
        }
    }

    /// Says how the turn ends. Wait accordingly, then call [`Engine::finish_wait`].
    ///
    /// `external_work` says that unfinished jobs (threads, child processes) will post to the inbox. A virtual clock stops for
    /// them, but never longer than the real time to the next deadline: a job may itself wait for a timer's effect.
    #[inline]
    pub fn plan(&mut self, external_work: bool) -> Plan {
        self.finish_wait(); // in case an exception kept the host from calling it
        if !self.ready.is_empty() || self.inbox.has_items() {
            self.plan_busy()
        } else {
            self.plan_idle(external_work)
        }
    }

    /// Call this when the wait or poll is over, was skipped, or failed.
    #[inline]
    pub fn finish_wait(&mut self) {
        if std::mem::take(&mut self.sleeping) {
            self.inbox.finish_sleep();
        }
    }

    /// Call this when a poll brought events. Handling them may cause others without queueing anything, such as an answer from a
    /// socket of the same process. So a virtual clock must not jump before the next poll.
    #[inline]
    pub fn saw_events(&mut self) {
        self.polled = false;
    }

    fn plan_busy(&mut self) -> Plan {
        // Nothing to poll: other threads announce themselves by the inbox's flag.
        if self.reactor.watched() == 0 {
            return Plan::Skip;
        }
        Plan::Poll
    }

    fn plan_idle(&mut self, external_work: bool) -> Plan {
        if self.held {
            return self.plan_busy();
        }
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

    /// The time that timers go by.
    #[inline]
    fn now(&self) -> Nanos {
        self.host_time.unwrap_or_else(|| self.clock.now())
    }

    /// With a virtual clock: how much longer it waits for jobs before it jumps to the next deadline, `left` from now.
    fn left_for_jobs(&mut self, left: Nanos, external_work: bool) -> Nanos {
        if !external_work {
            self.stopped = None;
            return 0;
        }
        let (at, now) = (self.clock.now(), Clock::monotonic().now());
        let since = match self.stopped {
            Some(stopped) if stopped.at == at => stopped.since,
            _ => now,
        };
        self.stopped = Some(Stopped { at, since });
        left.saturating_sub(now.saturating_sub(since))
    }

    /// With a virtual clock and nothing to do: polls the descriptors once, then moves the clock to the next deadline, `left`
    /// from now.
    fn plan_jump(&mut self, left: Nanos) -> Plan {
        if self.polled || self.reactor.watched() == 0 {
            self.polled = false;
            self.clock.advance_to(self.clock.now().saturating_add(left));
            return Plan::Skip;
        }
        self.polled = true;
        Plan::Poll
    }
}
