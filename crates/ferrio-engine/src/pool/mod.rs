//! Blocking jobs: their queue, and the life of the worker threads.
//!
//! The pool starts no threads. [`Pool::submit`] tells the host when to start one more worker. The host's thread calls
//! [`Pool::work`], or [`Pool::next`] in a loop of its own. A host may need a lock of its own to run a job, such as an
//! interpreter's. It then calls the parts of `next`: [`Pool::rest`], [`Pool::wait`] without that lock, [`Pool::claim`] with
//! it, and [`Pool::more`] for as long as it holds it.
//!
//! Invariants: a job goes to exactly one worker or back to the host. No job is dropped or run under the lock. There are never
//! more workers than the limit allowed when they were requested. While a job is queued, some worker is awake or was
//! notified.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, lock};
use crate::sys;

/// How long an idle worker spins for the next job before it parks, by default.
const SPIN_TIME: Duration = Duration::from_micros(20);

/// After this many failed spins in a row, workers stop spinning.
const MAX_FAILED_SPINS: u32 = 4;

/// Workers that have stopped spinning try again in one of this many idle periods.
const RETRY_SPIN_EVERY: u32 = 32;

/// The result of submitting a job.
#[derive(Debug, PartialEq, Eq)]
pub enum Submit<J> {
    /// A worker that exists will take it.
    Queued,
    /// It is queued, and the host should start one more worker. That is already counted; see [`Pool::forget_worker`].
    Spawn,
    /// The pool is closed; the job comes back.
    Closed(J),
    /// There is no memory for one more job; it comes back.
    OutOfMemory(J),
}

struct State<J> {
    queue: VecDeque<J>,
    /// Workers that were started, or requested by `Submit::Spawn`, and haven't ended.
    workers: usize,
    /// Workers without a job: between [`Pool::rest`] and [`Pool::claim`].
    idle: usize,
    /// Idle workers that are parked and weren't notified. The other idle ones check the queue before they park.
    parked: usize,
    /// Notifications that no parked worker has taken yet.
    notified: usize,
    /// One of the idle workers spins: it sees a job without being notified.
    spinning: bool,
    /// How many spins in a row have failed, at most [`MAX_FAILED_SPINS`].
    failed_spins: u32,
    /// How many idle periods have passed since the last spin.
    idle_periods: u32,
    limit: usize,
    closed: bool,
}

/// A queue of blocking jobs; shared in an `Arc`.
pub struct Pool<J> {
    state: Mutex<State<J>>,
    /// How long to spin, in nanoseconds.
    spin: u64,
    /// Changes when a job is queued or the pool closes; the spinning worker reads it.
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

    /// Like [`Pool::new`]. An idle worker spins for `spin` before it parks, if that has paid lately. Zero parks at once.
    pub fn with_spin(limit: usize, spin: Duration) -> Self {
        let state = State {
            queue: VecDeque::new(),
            workers: 0,
            idle: 0,
            parked: 0,
            notified: 0,
            spinning: false,
            failed_spins: 0,
            idle_periods: 0,
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

    /// Waits for a job. After `None` the worker ends and must not call this again.
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

    /// Records that the calling worker has no job and will call [`Pool::wait`]. Call it before the result of the last job can
    /// be seen. A job submitted in response then finds the worker idle, and needs no notification and no other worker.
    pub fn rest(&self) {
        lock(&self.state).idle += 1;
    }

    /// Waits until a job is queued. The worker must then call [`Pool::claim`] soon; another worker may be quicker. After
    /// `false` the worker ends and must not call this again.
    ///
    /// Without `may_spin` an idle worker parks at once. Use this where spinning would keep the submitter from running.
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
                let seen = self.spin_for_signal(before);
                state = lock(&self.state);
                state.end_spin(seen);
            } else {
                state.parked += 1;
                // A wake-up without a notification is spurious.
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

    /// Takes a job after [`Pool::wait`] returned true. `None` means that another worker took it: rest again.
    pub fn claim(&self) -> Option<J> {
        let mut state = lock(&self.state);
        let job = state.queue.pop_front();
        state.idle -= 1;
        job
    }

    /// Takes one more job for a worker that has just finished one and hasn't rested since; never waits.
    pub fn more(&self) -> Option<J> {
        let mut state = lock(&self.state);
        if state.workers > state.limit { None } else { state.queue.pop_front() }
    }

    /// Uncounts a worker that [`Submit::Spawn`] counted but that couldn't be started, or that died in a job.
    pub fn forget_worker(&self) {
        self.end_worker(lock(&self.state));
    }

    /// How many workers wait for a job.
    pub fn idle(&self) -> usize {
        lock(&self.state).idle
    }

    /// How many workers were requested and haven't ended.
    pub fn workers(&self) -> usize {
        lock(&self.state).workers
    }

    /// How many jobs no worker has taken.
    pub fn queued(&self) -> usize {
        lock(&self.state).queue.len()
    }

    /// The greatest number of workers.
    pub fn limit(&self) -> usize {
        lock(&self.state).limit
    }

    /// Changes the greatest number of workers (at least one). Surplus workers end after their current job. Returns how many
    /// more the host should start for the queued jobs. These are already counted; see [`Pool::forget_worker`].
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

    /// Closes the pool and hands back the jobs that no worker has taken. Workers end after their current job.
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

    /// Waits until no job is queued and no worker is busy (in a closed pool, until all workers have ended), at most for
    /// `timeout`. Returns whether that happened.
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

    /// Spins until the signal changes; returns whether it did in time.
    fn spin_for_signal(&self, before: u32) -> bool {
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
    /// Whether a worker without a job should spin before it parks. One spins at a time, and only while spinning pays.
    fn begin_spin(&mut self) -> bool {
        if self.spinning || cfg!(loom) {
            return false;
        }
        self.idle_periods += 1;
        if self.failed_spins == MAX_FAILED_SPINS && self.idle_periods < RETRY_SPIN_EVERY {
            return false;
        }
        self.idle_periods = 0;
        self.spinning = true;
        true
    }

    fn end_spin(&mut self, seen: bool) {
        self.spinning = false;
        self.failed_spins = if seen { 0 } else { MAX_FAILED_SPINS.min(self.failed_spins + 1) };
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
