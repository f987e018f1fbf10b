//! Calls that run in the background, and how the loop sleeps meanwhile.
//!
//! Threads, processes and files carry out calls for the loop and post the results to its inbox. A result that comes within
//! microseconds is cheaper to spin for than to be woken for by the kernel; the result of another process is not.
//! Invariant: `Background` counts the calls that will wake the loop, and each is counted down in the loop's own thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ferrio_engine::inbox::Inbox;
use ferrio_engine::reactor::{Events, Reactor, Wait};
use pyo3::prelude::*;

use super::executors::LetGo;

/// How long a loop spins for a result before it sleeps in the kernel: about what waking it would cost.
const SPIN: Duration = Duration::from_micros(50);

/// How many failed spins in a row end the spinning.
const MAX_FAILED_SPINS: u32 = 4;

/// After the spinning has ended, one sleep in this many tries again.
const SLEEPS_PER_SPIN: u32 = 32;

/// The calls that are out and will come back through the inbox.
#[derive(Default)]
pub(super) struct Background {
    /// Calls that are out.
    calls: AtomicUsize,
    /// Those among them that no spinning is worth, because another process runs them.
    slow: AtomicUsize,
    /// Failed spins in a row.
    failed_spins: AtomicU32,
    /// Sleeps since the last spin.
    sleeps: AtomicU32,
    /// The last sleep in the kernel was ended by a post.
    posted: AtomicBool,
}

/// What a loop sleeps with.
pub(super) struct Bed<'a, T> {
    pub(super) inbox: &'a Inbox<T>,
    pub(super) reactor: &'a Reactor,
    /// Threads that may wait for this thread to let the interpreter go.
    pub(super) threads: Option<Arc<dyn LetGo>>,
}

impl Background {
    /// Whether something outside the loop's own queues works for it, so that a virtual clock must not jump.
    pub(super) fn has_calls(&self) -> bool {
        self.calls.load(Ordering::Relaxed) > 0
    }

    /// A call is out.
    pub(super) fn call_began(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// A call is back, or could not be handed out. In the loop's thread.
    pub(super) fn call_ended(&self) {
        count_down(&self.calls);
    }

    /// One of the calls that are out is a slow one.
    pub(super) fn slow_call_began(&self) {
        self.slow.fetch_add(1, Ordering::Relaxed);
    }

    /// A slow call has ended, or nothing waits for it any more.
    pub(super) fn slow_call_ended(&self) {
        count_down(&self.slow);
    }

    /// Waits for events without the interpreter. If other threads answered quickly of late it first spins for what they
    /// post, which arrives before the kernel could put this thread to sleep and wake it again.
    pub(super) fn sleep<T: Send>(
        &self,
        py: Python<'_>,
        bed: &Bed<'_, T>,
        events: &mut Events,
        timeout: Wait,
    ) -> io::Result<()> {
        let out = self.calls.load(Ordering::Relaxed);
        let calls = out > 0;
        // Spinning for another process would only take the CPU from it.
        let quick = !calls || out > self.slow.load(Ordering::Relaxed);
        let Bed { inbox, reactor, .. } = bed;
        py.detach(|| {
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
                // The poster holds the interpreter. Asking for it in the middle of a burst would stop both threads.
                inbox.settle(SPIN);
            }
            Ok(())
        })
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

    /// Spins for a post. Returns whether something is there, or the loop should not sleep for another reason.
    fn spin<T>(&self, inbox: &Inbox<T>, timeout: Wait) -> bool {
        let time = match timeout {
            Wait::Now => return false,
            Wait::Until(time) => time.min(SPIN),
            Wait::Forever => SPIN,
        };
        // Other threads see the loop awake: a post needn't write to the wake-up descriptor.
        inbox.finish_sleep();
        let posted = inbox.watch(time);
        self.spun(posted);
        posted || !inbox.prepare_sleep()
    }

    /// Whether to spin before the next sleep: if that has paid lately, and now and then while `calls` are out.
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

/// In the loop's thread. Not below zero: a forked child may have forgotten its parent's calls.
fn count_down(count: &AtomicUsize) {
    count.store(count.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
}
