//! Blocking jobs: a queue, and what its worker threads do.
//!
//! The pool makes no threads. [`Pool::submit`] tells the host when one more worker is worth starting, and the host's
//! thread spends its life in [`Pool::work`], or calls [`Pool::next`] in a loop of its own. A host that needs a lock of its
//! own to run a job (an interpreter's) takes `next` apart: [`Pool::rest`], [`Pool::wait`] without that lock, then
//! [`Pool::claim`] with it, and [`Pool::more`] for as long as it holds it.
//!
//! Invariants: a job is handed to exactly one worker or back to the host; no job is dropped or run under the lock; there
//! are never more workers than the limit allowed when they were asked for; while a job is queued, some worker is not
//! parked, or was notified.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, lock};
use crate::sys;

/// For how long an idle worker watches for the next job before it parks, unless the pool was told otherwise.
const SPIN_TIME: Duration = Duration::from_micros(20);

/// How many fruitless spins in a row end the spinning.
const HOPE: u32 = 4;

/// When spinning has ended, one idle period in so many tries again.
const UNSPUN: u32 = 32;

/// What became of a submitted job.
#[derive(Debug, PartialEq, Eq)]
pub enum Submit<J> {
    /// A worker that exists will take it.
    Queued,
    /// It is queued, and the host should start one more worker (which is counted already: see [`Pool::forget_worker`]).
    Spawn,
    /// The pool is closed; the job comes back.
    Closed(J),
    /// There is no memory for one more job; it comes back.
    OutOfMemory(J),
}

struct State<J> {
    queue: VecDeque<J>,
    /// Workers started, or asked for by `Submit::Spawn`, that did not end.
    workers: usize,
    /// Workers that have no job: between [`Pool::rest`] and [`Pool::claim`].
    idle: usize,
    /// Idle workers that are parked and were not notified. The other idle ones look at the queue before they park.
    parked: usize,
    /// Notifications that no parked worker has taken yet.
    notified: usize,
    /// One of the idle workers spins: it sees a job without being notified.
    spinning: bool,
    /// How well spinning went: 0 to [`HOPE`].
    hope: u32,
    /// Idle periods since the last one that spun.
    unspun: u32,
    limit: usize,
    closed: bool,
}

/// A queue of blocking jobs; shared in an `Arc`.
pub struct Pool<J> {
    state: Mutex<State<J>>,
    /// For how long to spin, in nanoseconds.
    spin: u64,
    /// Changes when a job is queued or the pool closes; the spinning worker watches it.
    signal: AtomicU32,
    /// What parked workers wait on.
    job: Condvar,
    /// The pool may have become idle.
    quiet: Condvar,
}

impl<J> Pool<J> {
    /// A pool of at most `limit` workers (at least one).
    pub fn new(limit: usize) -> Self {
        Self::with_spin(limit, SPIN_TIME)
    }

    /// As [`Pool::new`]; an idle worker watches for the next job for `spin` before it parks, if that has paid lately.
    /// Zero parks at once.
    pub fn with_spin(limit: usize, spin: Duration) -> Self {
        let state = State {
            queue: VecDeque::new(),
            workers: 0,
            idle: 0,
            parked: 0,
            notified: 0,
            spinning: false,
            hope: HOPE,
            unspun: 0,
            limit: limit.max(1),
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            spin: spin.as_nanos() as u64,
            signal: AtomicU32::new(0),
            job: Condvar::new(),
            quiet: Condvar::new(),
        }
    }

    /// Queues `job`.
    #[must_use = "Spawn asks for a worker, Closed hands the job back"]
    pub fn submit(&self, job: J) -> Submit<J> {
        let mut state = lock(&self.state);
        if state.closed {
            drop(state);
            return Submit::Closed(job);
        }
        if state.queue.try_reserve(1).is_err() {
            drop(state);
            return Submit::OutOfMemory(job);
        }
        state.queue.push_back(job);
        self.signal.fetch_add(1, Ordering::Release);
        if state.queue.len() > state.idle && state.workers < state.limit {
            state.workers += 1;
            return Submit::Spawn;
        }
        let notify = state.parked > 0 && state.queue.len() > state.idle - state.parked;
        if notify {
            state.parked -= 1;
            state.notified += 1;
        }
        drop(state);
        if notify {
            self.job.notify_one();
        }
        Submit::Queued
    }

    /// A worker's life: runs jobs until the pool shuts down.
    pub fn work(&self, mut run: impl FnMut(J)) {
        while let Some(job) = self.next() {
            run(job);
        }
    }

    /// Waits for a job. `None` ends the worker that asked, which must not ask again.
    pub fn next(&self) -> Option<J> {
        loop {
            self.rest();
            if !self.wait(true) {
                return None;
            }
            if let Some(job) = self.claim() {
                return Some(job);
            }
        }
    }

    /// The calling worker has no job and will call [`Pool::wait`]. To be called before the result of its last job can be
    /// seen: what is submitted in answer then finds the worker idle and needs neither a notification nor another worker.
    pub fn rest(&self) {
        lock(&self.state).idle += 1;
    }

    /// Waits until a job is queued; then the worker must call [`Pool::claim`], soon, and may find that another was quicker.
    /// `false` ends the worker that asked, which must not ask again.
    ///
    /// Without `may_spin` an idle worker parks at once, as it should where it would keep the submitter from running.
    pub fn wait(&self, mut may_spin: bool) -> bool {
        let mut state = lock(&self.state);
        loop {
            if state.workers > state.limit {
                break;
            }
            if !state.queue.is_empty() {
                return true;
            }
            if state.closed {
                break;
            }
            if state.idle == state.workers {
                self.quiet.notify_all();
            }
            if std::mem::take(&mut may_spin) && self.spin > 0 && state.begin_spin() {
                let before = self.signal.load(Ordering::Relaxed);
                drop(state);
                let seen = self.watch(before);
                state = lock(&self.state);
                state.end_spin(seen);
            } else {
                state.parked += 1;
                // A wake-up without a notification is the system's, not ours.
                while state.notified == 0 {
                    state = self.job.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                state.notified -= 1;
            }
        }
        state.idle -= 1;
        self.end_worker(state);
        false
    }

    /// Takes a job after [`Pool::wait`] has seen one. `None` if there is none any more: rest again.
    pub fn claim(&self) -> Option<J> {
        let mut state = lock(&self.state);
        let job = state.queue.pop_front();
        state.idle -= 1;
        job
    }

    /// Takes one more job, for a worker that has just finished one and did not rest since; never waits.
    pub fn more(&self) -> Option<J> {
        let mut state = lock(&self.state);
        if state.workers > state.limit { None } else { state.queue.pop_front() }
    }

    /// Takes back a worker that [`Submit::Spawn`] counted and that could not be started, or that died in a job.
    pub fn forget_worker(&self) {
        self.end_worker(lock(&self.state));
    }

    /// Workers that wait for a job.
    pub fn idle(&self) -> usize {
        lock(&self.state).idle
    }

    /// Workers that were asked for and did not end.
    pub fn workers(&self) -> usize {
        lock(&self.state).workers
    }

    /// Jobs that no worker has taken.
    pub fn queued(&self) -> usize {
        lock(&self.state).queue.len()
    }

    /// The greatest number of workers.
    pub fn limit(&self) -> usize {
        lock(&self.state).limit
    }

    /// Changes the greatest number of workers (at least one). Workers in excess end after their present job. How many more
    /// the host should start for the jobs that wait (they are counted already: see [`Pool::forget_worker`]).
    #[must_use = "the workers are counted: start them, or take them back"]
    pub fn set_limit(&self, limit: usize) -> usize {
        let mut state = lock(&self.state);
        state.limit = limit.max(1);
        let waiting = if state.closed { 0 } else { state.queue.len().saturating_sub(state.idle) };
        let wanted = waiting.min(state.limit.saturating_sub(state.workers));
        state.workers += wanted;
        self.wake_all(state);
        wanted
    }

    /// Closes the pool and hands back the jobs that no worker has taken. Workers end after their present job.
    #[must_use = "nobody else will run or cancel these jobs"]
    pub fn shutdown(&self) -> Vec<J> {
        let mut state = lock(&self.state);
        state.closed = true;
        let jobs = std::mem::take(&mut state.queue);
        self.wake_all(state);
        jobs.into()
    }

    /// Closes the pool; the queued jobs still run, then the workers end.
    pub fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        self.wake_all(state);
    }

    /// Waits until no job is queued and no worker is busy (in a closed pool: until all workers ended), at most for
    /// `timeout`. Whether it came to that.
    pub fn wait_idle(&self, timeout: Option<Duration>) -> bool {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = lock(&self.state);
        loop {
            let busy = if state.closed { state.workers } else { state.workers - state.idle };
            if busy == 0 && state.queue.is_empty() {
                return true;
            }
            state = match deadline {
                None => self.quiet.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    let waited = self.quiet.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn wake_all(&self, mut state: MutexGuard<'_, State<J>>) {
        state.notified += std::mem::take(&mut state.parked);
        self.signal.fetch_add(1, Ordering::Release);
        drop(state);
        self.job.notify_all();
    }

    /// Watches the signal for as long as spinning lasts; whether it changed.
    fn watch(&self, before: u32) -> bool {
        let deadline = sys::monotonic_nanos() + self.spin;
        while self.signal.load(Ordering::Acquire) == before {
            if sys::monotonic_nanos() >= deadline {
                return false;
            }
            std::hint::spin_loop();
        }
        true
    }

    fn end_worker(&self, mut state: MutexGuard<'_, State<J>>) {
        state.workers = state.workers.saturating_sub(1);
        drop(state);
        self.quiet.notify_all();
    }
}

impl<J> State<J> {
    /// Whether the worker that found no job should spin before it parks. One spins at a time, and only while spinning pays.
    fn begin_spin(&mut self) -> bool {
        if self.spinning || cfg!(loom) {
            return false;
        }
        self.unspun += 1;
        if self.hope == 0 && self.unspun < UNSPUN {
            return false;
        }
        self.unspun = 0;
        self.spinning = true;
        true
    }

    fn end_spin(&mut self, seen: bool) {
        self.spinning = false;
        self.hope = if seen { HOPE } else { self.hope.saturating_sub(1) };
    }
}

impl<J> std::fmt::Debug for Pool<J> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = lock(&self.state);
        formatter
            .debug_struct("Pool")
            .field("queued", &state.queue.len())
            .field("workers", &state.workers)
            .field("idle", &state.idle)
            .field("limit", &state.limit)
            .field("closed", &state.closed)
            .finish()
    }
}
