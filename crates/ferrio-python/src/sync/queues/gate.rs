//! The gate of a queue: it lets one thread in while the queue runs Python code (comparisons, a subclass's methods).
//!
//! Without Python code a single look at the queue's state is enough.
//!
//! Invariant: a thread that waits at the gate is detached, and the thread that holds the mutex never waits for the
//! interpreter. So neither can block the other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use pyo3::prelude::*;

use crate::base::ffi::interpreter;

/// A lock that its owner may take again.
#[derive(Default)]
pub(super) struct Gate {
    /// The thread inside, 0 when there is none.
    owner: AtomicU64,
    /// How often the owner has entered.
    depth: AtomicU64,
    /// How many threads wait outside.
    waiting: AtomicU64,
    mutex: Mutex<()>,
    left: Condvar,
}

/// A thread is inside the gate until this is dropped.
pub(super) struct Inside<'a> {
    gate: &'a Gate,
}

impl Gate {
    /// Enters, after waiting for another thread to leave.
    pub(super) fn enter<'a>(&'a self, py: Python<'_>) -> Inside<'a> {
        let me = interpreter::thread_id(py);
        loop {
            let owner = self.owner.compare_exchange(0, me, Ordering::SeqCst, Ordering::SeqCst);
            if owner.is_ok() || owner == Err(me) {
                self.depth.fetch_add(1, Ordering::Relaxed);
                return Inside { gate: self };
            }
            self.waiting.fetch_add(1, Ordering::SeqCst);
            py.detach(|| {
                let guard = self.mutex.lock().unwrap_or_else(PoisonError::into_inner);
                let still = |(): &mut ()| self.owner.load(Ordering::SeqCst) != 0;
                drop(self.left.wait_while(guard, still).unwrap_or_else(PoisonError::into_inner));
            });
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if self.gate.depth.fetch_sub(1, Ordering::Relaxed) > 1 {
            return;
        }
        // Sequentially consistent: either a new waiter sees that the gate is free, or we see that it waits.
        self.gate.owner.store(0, Ordering::SeqCst);
        if self.gate.waiting.load(Ordering::SeqCst) > 0 {
            // Holding the mutex once ensures that no waiter is between its check of the owner and its wait.
            drop(self.gate.mutex.lock().unwrap_or_else(PoisonError::into_inner));
            self.gate.left.notify_one();
        }
    }
}
