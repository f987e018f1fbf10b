//! Calls that run in the background, and how the loop sleeps meanwhile.
//!
//! Threads, processes and files carry out calls for the loop and post the results to its inbox. If a result comes
//! within microseconds, spinning is cheaper than being woken by the kernel. A result from another process takes
//! longer. Invariant: `Background` counts the calls that will wake the loop, and each is counted down in the loop's
//! own thread.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ferrio_engine::inbox::Inbox;
use ferrio_engine::meter::Meter;
use ferrio_engine::pulse::{Doing, Pulse};
use ferrio_engine::reactor::{Events, Reactor, Wait};
use ferrio_engine::recorder::{Ticker, Ticks};
use pyo3::prelude::*;

use super::executors::LetGo;

/// How long a loop spins for a result before it sleeps in the kernel: about as long as waking it would take.
const SPIN: Duration = Duration::from_micros(50);

/// After this many failed spins in a row, the spinning stops.
const MAX_FAILED_SPINS: u32 = 4;

/// After the spinning has stopped, one sleep in this many tries again.
const SLEEPS_PER_SPIN: u32 = 32;

/// The calls in progress, which will come back through the inbox.
#[derive(Default)]
pub(super) struct Background {
    /// Calls in progress.
    calls: AtomicUsize,
    /// Those for which spinning isn't worth it, because another process runs them.
    slow: AtomicUsize,
    /// Child processes that are being started or run.
    children: AtomicUsize,
    /// Calls and children that wait for the loop's own time.
    idle: AtomicUsize,
    /// The numbers of those children.
    standing: Mutex<Vec<i32>>,
    /// Failed spins in a row.
    failed_spins: AtomicU32,
    /// Sleeps since the last spin.
    sleeps: AtomicU32,
    /// The last sleep in the kernel was ended by a post.
    posted: AtomicBool,
}

/// What a loop needs to sleep.
pub(super) struct Bed<'a, T> {
    pub(super) inbox: &'a Inbox<T>,
    pub(super) reactor: &'a Reactor,
    /// Threads that may wait until this thread releases the interpreter.
    pub(super) threads: Option<Arc<dyn LetGo>>,
    /// Shows watchdogs that the loop waits.
    pub(super) pulse: &'a Pulse,
    /// Tells the time for a recording.
    pub(super) recorder: Option<Ticker>,
    /// Takes the time of the wait.
    pub(super) meter: Option<&'a Meter>,
}

impl Background {
    /// Whether calls are in progress.
    pub(super) fn has_calls(&self) -> bool {
        self.calls.load(Ordering::Relaxed) > 0
    }

    /// Whether something outside the loop's own queues works for it, so that a virtual clock must not jump.
    #[inline]
    pub(super) fn holds_clock(&self) -> bool {
        let out = self.calls.load(Ordering::Relaxed) + self.children.load(Ordering::Relaxed);
        out > self.idle.load(Ordering::Relaxed)
    }

    /// A child is being started, or runs.
    pub(super) fn child_began(&self) {
        self.children.fetch_add(1, Ordering::Relaxed);
    }

    /// A child has ended, or its start has.
    pub(super) fn child_ended(&self) {
        count_down(&self.children);
    }

    /// One of the calls waits for the loop's own time from now on, or no longer does.
    pub(super) fn idles(&self, begins: bool) {
        if begins {
            self.idle.fetch_add(1, Ordering::Relaxed);
        } else {
            count_down(&self.idle);
        }
    }

    /// A child stands still until the loop's own time has come, or no longer does.
    pub(super) fn stands_still(&self, pid: i32, begins: bool) {
        if !begins && self.idle.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let place = standing.iter().position(|known| *known == pid);
        match (place, begins) {
            (None, true) => standing.push(pid),
            (Some(place), false) => drop(standing.swap_remove(place)),
            _ => return,
        }
        self.idles(begins);
    }

    /// A call has begun.
    pub(super) fn call_began(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// A call has ended, or couldn't be started. Called in the loop's thread.
    pub(super) fn call_ended(&self) {
        count_down(&self.calls);
    }

    /// One of the calls in progress is a slow one.
    pub(super) fn slow_call_began(&self) {
        self.slow.fetch_add(1, Ordering::Relaxed);
    }

    /// A slow call has ended, or nothing waits for it any more.
    pub(super) fn slow_call_ended(&self) {
        count_down(&self.slow);
    }

    /// Detaches and waits for events. If other threads answered quickly of late, it first spins for their posts. They
    /// arrive before the kernel could put this thread to sleep and wake it again. Also returns when the wait was over, for
    /// a recording.
    pub(super) fn sleep<T: Send>(
        &self,
        py: Python<'_>,
        bed: &Bed<'_, T>,
        events: &mut Events,
        timeout: Wait,
    ) -> (io::Result<()>, Option<Ticks>) {
        let out = self.calls.load(Ordering::Relaxed);
        let calls = out > 0;
        // Spinning for another process would only take the CPU from it.
        let quick = !calls || out > self.slow.load(Ordering::Relaxed);
        bed.pulse.go_on(Doing::Waiting);
        if let Some(meter) = bed.meter {
            meter.wait_begins();
        }
        let outcome = py.detach(|| {
            let outcome = self.sleep_detached(bed, events, timeout, calls, quick);
            // Another thread may hold the interpreter for long.
            bed.pulse.go_on(Doing::Resuming);
            if let Some(meter) = bed.meter {
                meter.wait_ends();
            }
            (outcome, bed.recorder.map(Ticker::now))
        });
        bed.pulse.go_on(Doing::Turning);
        if let Some(meter) = bed.meter {
            meter.goes_on();
        }
        outcome
    }

    /// What `sleep` does while detached.
    fn sleep_detached<T>(
        &self,
        bed: &Bed<'_, T>,
        events: &mut Events,
        timeout: Wait,
        calls: bool,
        quick: bool,
    ) -> io::Result<()> {
        let Bed { inbox, reactor, .. } = bed;
        if let Some(threads) = bed.threads.as_ref().filter(|_| calls) {
            threads.let_go();
        }
        if !quick {
            reactor.wait(events, timeout)?;
        } else if self.worth_spinning(calls) && !inbox.poster_is_here() {
            if self.spin(inbox, timeout) {
                events.clear();
            } else {
                self.sleep_in_kernel(bed, events, after_spin(timeout))?;
            }
        } else {
            self.sleep_in_kernel(bed, events, timeout)?;
        }
        if !calls && inbox.has_items() && !inbox.poster_is_here() {
            // The poster holds the interpreter. Asking for it during a burst would stop both threads.
            inbox.settle(SPIN);
        }
        Ok(())
    }

    /// Waits in the reactor, and notes whether spinning would have been better.
    fn sleep_in_kernel<T>(&self, bed: &Bed<'_, T>, events: &mut Events, timeout: Wait) -> io::Result<()> {
        let began = self.posted.load(Ordering::Relaxed).then(Instant::now);
        let outcome = bed.reactor.wait(events, timeout);
        let posted = bed.inbox.has_items();
        if posted && began.is_some_and(|began| began.elapsed() < 2 * SPIN) {
            self.failed_spins.store(0, Ordering::Relaxed);
        }
        self.posted.store(posted, Ordering::Relaxed);
        outcome
    }

    /// Spins for a post. Returns whether there is one, or the loop shouldn't sleep for another reason.
    fn spin<T>(&self, inbox: &Inbox<T>, timeout: Wait) -> bool {
        let time = match timeout {
            Wait::Now => return false,
            Wait::Until(time) => time.min(SPIN),
            Wait::Forever => SPIN,
        };
        // Other threads see the loop awake, so a post needn't write to the wake-up descriptor.
        inbox.finish_sleep();
        let posted = inbox.watch(time);
        self.spun(posted);
        posted || !inbox.prepare_sleep()
    }

    /// Whether to spin before the next sleep: if that has paid off lately, and now and then while `calls` are in
    /// progress.
    fn worth_spinning(&self, calls: bool) -> bool {
        if self.failed_spins.load(Ordering::Relaxed) < MAX_FAILED_SPINS {
            return true;
        }
        if !calls {
            return false;
        }
        let sleeps = self.sleeps.load(Ordering::Relaxed) + 1;
        self.sleeps.store(sleeps % SLEEPS_PER_SPIN, Ordering::Relaxed);
        sleeps == SLEEPS_PER_SPIN
    }

    fn spun(&self, posted: bool) {
        let failed = self.failed_spins.load(Ordering::Relaxed);
        let failed = if posted { 0 } else { (failed + 1).min(MAX_FAILED_SPINS) };
        self.failed_spins.store(failed, Ordering::Relaxed);
    }
}

/// What remains of `timeout` after a failed spin, so that spinning doesn't delay timers.
fn after_spin(timeout: Wait) -> Wait {
    match timeout {
        Wait::Until(time) => Wait::Until(time.saturating_sub(SPIN)),
        other => other,
    }
}

/// Called in the loop's thread. It never goes below zero: a forked child may have forgotten its parent's calls.
fn count_down(count: &AtomicUsize) {
    count.store(count.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
}
