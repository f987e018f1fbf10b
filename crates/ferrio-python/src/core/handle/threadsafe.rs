//! What `call_soon_threadsafe` adds to a handle. If another thread cancels it, or asks whether it is cancelled, while
//! its callback runs, that thread waits for the callback's end. Then the answer is final: the callback has run, or
//! never will.
//!
//! As in asyncio from Python 3.14 on, but here on every Python. Invariant: a thread that waits is detached, so that
//! the callback can go on, and holds nothing that the callback's thread needs while attached.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use pyo3::prelude::*;

use crate::base::ffi::interpreter::thread_id;

/// How many threads wait for the end of some callback.
static WAITING: AtomicUsize = AtomicUsize::new(0);
/// One for all handles: waiting is rare, and short.
static LOCK: Mutex<()> = Mutex::new(());
static ENDED: Condvar = Condvar::new();

/// Which thread runs a handle's callback at this moment.
pub(crate) struct Runner {
    /// The identifier of the thread, `NOBODY`, or `UNSHARED`; no thread has the last two.
    thread: AtomicU64,
}

const NOBODY: u64 = 0;
/// For a handle that only its loop's thread may touch: nothing is recorded.
const UNSHARED: u64 = u64::MAX;

impl Runner {
    /// For a handle that only its loop's thread may touch.
    pub(crate) const fn unshared() -> Self {
        Self { thread: AtomicU64::new(UNSHARED) }
    }

    /// For a handle of `call_soon_threadsafe`.
    pub(crate) const fn shared() -> Self {
        Self { thread: AtomicU64::new(NOBODY) }
    }

    /// Whether other threads may touch the handle.
    #[inline]
    pub(crate) fn is_shared(&self) -> bool {
        self.thread.load(Ordering::Relaxed) != UNSHARED
    }

    /// Records that this thread runs the callback until the returned guard is dropped.
    #[inline]
    pub(crate) fn begin(&self, py: Python<'_>) -> Option<Running<'_>> {
        if !self.is_shared() {
            return None;
        }
        let before = self.thread.swap(thread_id(py), Ordering::SeqCst);
        Some(Running { runner: self, before })
    }

    /// Waits until no other thread runs the callback.
    #[inline]
    pub(crate) fn wait(&self, py: Python<'_>) {
        if self.is_shared() {
            self.wait_for_others(py);
        }
    }

    fn is_elsewhere(&self, here: u64) -> bool {
        let thread = self.thread.load(Ordering::SeqCst);
        thread != NOBODY && thread != UNSHARED && thread != here
    }

    #[cold]
    fn wait_for_others(&self, py: Python<'_>) {
        let here = thread_id(py);
        if !self.is_elsewhere(here) {
            return;
        }
        py.detach(|| {
            // Counted before the thread is checked: a callback that ends after that check sees the count, and wakes
            // us.
            WAITING.fetch_add(1, Ordering::SeqCst);
            let mut lock = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
            while self.is_elsewhere(here) {
                lock = ENDED.wait(lock).unwrap_or_else(PoisonError::into_inner);
            }
            drop(lock);
            WAITING.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// A callback that runs.
pub(crate) struct Running<'a> {
    runner: &'a Runner,
    /// What was recorded before: a program may call `_run` inside the callback.
    before: u64,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.runner.thread.store(self.before, Ordering::SeqCst);
        if WAITING.load(Ordering::SeqCst) > 0 {
            // Taken and released: a thread between its check and its wait holds the lock.
            drop(LOCK.lock().unwrap_or_else(PoisonError::into_inner));
            ENDED.notify_all();
        }
    }
}
