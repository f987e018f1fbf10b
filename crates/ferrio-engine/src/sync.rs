//! Synchronisation primitives for what threads share: the standard library's, or loom's under the model checker.

#[cfg(not(loom))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic};

#[cfg(loom)]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard, atomic};

use std::sync::PoisonError;

/// Locks, even if poisoned: nothing that runs under our locks can panic in the middle of a change.
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
