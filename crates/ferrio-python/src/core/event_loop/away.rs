//! Calls that are out, and how the loop sleeps meanwhile.
//!
//! Threads, processes and files carry calls out for the loop and post their ends to its inbox. An end that comes within
//! microseconds is watched for, which costs less than a way through the kernel; one of another process is not. Invariant:
//! `Away` counts the calls that are out and will wake the loop, each counted down in the loop's own thread.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ferrio_engine::reactor::{Events, Wait};
use pyo3::prelude::*;

use super::{Loop, running};

/// For how long a loop watches for a result before it sleeps in the kernel: about what waking it would cost.
const WATCH: Duration = Duration::from_micros(50);

/// How many vain watches in a row end the watching.
const HOPE: u32 = 4;

/// When watching has ended, one sleep in so many tries again.
const UNWATCHED: u32 = 32;

/// What is out of the loop's hands and will come back through the inbox.
#[derive(Default)]
pub(crate) struct Away {
    /// Calls that are out.
    calls: AtomicUsize,
    /// Those among them that no watching is worth: another process has them.
    slow: AtomicUsize,
    /// Vain watches in a row.
    vain: AtomicU32,
    /// Sleeps since the last watch.
    unwatched: AtomicU32,
    /// The last sleep in the kernel was ended by a post.
    posted: AtomicBool,
}

#[pymethods]
impl Loop {
    /// A call is out that will wake the loop: a virtual clock doesn't jump until `_work_came_back()`.
    fn _work_is_out(&self) {
        self.away.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// The call is back.
    fn _work_came_back(&self) {
        self.count_down();
    }
}

impl Loop {
    /// Whether something outside the loop's own queues is at work for it, so that a virtual clock must not jump.
    pub(super) fn external_work(&self) -> bool {
        self.away.calls.load(Ordering::Relaxed) > 0
    }

    /// A job is out that will post to the loop; [`job_came_back`] counts it down.
    pub(crate) fn job_goes_out(&self) {
        self._work_is_out();
    }

    /// One of the calls that are out is a slow one; [`Loop::slow_call_ended`] counts it down.
    pub(crate) fn slow_call_began(&self) {
        self.away.slow.fetch_add(1, Ordering::Relaxed);
    }

    /// A slow call has ended, or nobody waits for it any more.
    pub(crate) fn slow_call_ended(&self) {
        count_down(&self.away.slow);
    }

    /// A call is back, or could not be handed out. In the loop's thread.
    pub(crate) fn count_down(&self) {
        count_down(&self.away.calls);
    }

    /// Waits for events without the interpreter. If other threads answered quickly of late it first watches for what they
    /// post: that is there before the kernel has put this thread to sleep and woken it again.
    pub(super) fn sleep(&self, py: Python<'_>, events: &mut Events, timeout: Wait) -> io::Result<()> {
        let out = self.away.calls.load(Ordering::Relaxed);
        let calls = out > 0;
        // To watch for another process would only take the CPU from it.
        let quick = !calls || out > self.away.slow.load(Ordering::Relaxed);
        let threads =
            if calls { self.executors.with(py, |executors| executors.threads.clone()) } else { None };
        py.detach(|| {
            if let Some(threads) = &threads {
                threads.let_go();
            }
            if !quick {
                self.reactor.wait(events, timeout)?;
            } else if self.away.worth_watching(calls) && !self.inbox.poster_is_here() {
                if self.watch(timeout) {
                    events.clear();
                } else {
                    self.sleep_in_kernel(events, after_watching(timeout))?;
                }
            } else {
                self.sleep_in_kernel(events, timeout)?;
            }
            if !calls && self.inbox.has_items() && !self.inbox.poster_is_here() {
                // Who posts holds the interpreter. To ask for it in the midst of a burst would stop both threads.
                self.inbox.settle(WATCH);
            }
            Ok(())
        })
    }

    /// Waits in the reactor, and notes whether watching would have been better.
    fn sleep_in_kernel(&self, events: &mut Events, timeout: Wait) -> io::Result<()> {
        let away = &self.away;
        let began = away.posted.load(Ordering::Relaxed).then(Instant::now);
        let outcome = self.reactor.wait(events, timeout);
        let posted = self.inbox.has_items();
        if posted && began.is_some_and(|began| began.elapsed() < 2 * WATCH) {
            away.vain.store(0, Ordering::Relaxed);
        }
        away.posted.store(posted, Ordering::Relaxed);
        outcome
    }

    /// Watches the inbox; whether something is there, or the loop should not sleep for another reason.
    fn watch(&self, timeout: Wait) -> bool {
        let time = match timeout {
            Wait::Now => return false,
            Wait::Until(time) => time.min(WATCH),
            Wait::Forever => WATCH,
        };
        // Awake as far as others are concerned: who posts now need not write to the wake fd.
        self.inbox.finish_sleep();
        let posted = self.inbox.watch(time);
        self.away.watched(posted);
        posted || !self.inbox.prepare_sleep()
    }
}

impl Away {
    /// Whether to watch before the next sleep: if that has paid lately, and now and then while `calls` are out.
    fn worth_watching(&self, calls: bool) -> bool {
        if self.vain.load(Ordering::Relaxed) < HOPE {
            return true;
        }
        if !calls {
            return false;
        }
        let unwatched = self.unwatched.load(Ordering::Relaxed) + 1;
        self.unwatched.store(unwatched % UNWATCHED, Ordering::Relaxed);
        unwatched == UNWATCHED
    }

    fn watched(&self, posted: bool) {
        let vain = if posted { 0 } else { (self.vain.load(Ordering::Relaxed) + 1).min(HOPE) };
        self.vain.store(vain, Ordering::Relaxed);
    }
}

/// What is left of `timeout` once it was watched in vain: a timer must not wait for the watching besides.
fn after_watching(timeout: Wait) -> Wait {
    match timeout {
        Wait::Until(time) => Wait::Until(time.saturating_sub(WATCH)),
        other => other,
    }
}

/// In the loop's thread. Not below zero: a forked child may have forgotten its parent's calls.
fn count_down(count: &AtomicUsize) {
    count.store(count.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
}

/// Called in the loop's thread, by what a finished call has posted.
#[inline]
pub(crate) fn job_came_back(py: Python<'_>) {
    if let Some(native) = running(py) {
        native.get().count_down();
    }
}
