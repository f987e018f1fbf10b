//! The gate of a queue: one thread at a time while Python code runs inside it (comparisons, a subclass's methods).
//!
//! What runs no Python code needs no gate: it is one look at the queue's state.
//!
//! Invariant: a thread that waits at the gate is detached from the interpreter, and one that holds the mutex never
//! waits for the interpreter. So neither can keep the other from going on.

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

/// The stay of a thread inside the gate.
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
        // In one order with who begins to wait: either it sees that nobody is inside, or we see that it waits.
        self.gate.owner.store(0, Ordering::SeqCst);
        if self.gate.waiting.load(Ordering::SeqCst) > 0 {
            // With the mutex, so that nobody is between the look at the owner and the wait.
            drop(self.gate.mutex.lock().unwrap_or_else(PoisonError::into_inner));
            self.gate.left.notify_one();
        }
    }
}
