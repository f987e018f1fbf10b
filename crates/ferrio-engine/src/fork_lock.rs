//! A lock that a forked child can take, whatever its parent's other threads were doing at that moment.
//!
//! A fork copies all memory but only one thread. A lock that another thread held stays locked in the child for ever, and its
//! value may be half changed. So a child gets a lock of its own. If the parent's lock was free, the child's takes over the
//! value; if not, the child's starts empty and the parent's value is leaked.
//!
//! Invariant: no code reads or drops a value that a thread of another process was changing.

use std::sync::{OnceLock, TryLockError};

use crate::fork;
use crate::sync::{Mutex, MutexGuard, lock};

/// A value for one thread at a time, separately in each process.
pub(crate) struct ForkLock<T: Default> {
    value: Mutex<T>,
    /// The [`fork::count`] of the process whose threads take `value`'s lock.
    forks: u32,
    /// The lock that a child of that process uses instead.
    child: OnceLock<Box<ForkLock<T>>>,
}

impl<T: Default> ForkLock<T> {
    /// A lock for this process.
    pub(crate) fn new(value: T) -> Self {
        Self::of(fork::count(), value)
    }

    /// Waits until no other thread of this process holds it.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.lock_in(fork::count())
    }

    #[inline]
    fn lock_in(&self, forks: u32) -> MutexGuard<'_, T> {
        if self.forks == forks { lock(&self.value) } else { self.lock_in_child(forks) }
    }

    #[cold]
    fn lock_in_child(&self, forks: u32) -> MutexGuard<'_, T> {
        let taken_over = || {
            // This is the only place in this process that takes the old lock, once.
            let value =
                if is_free(&self.value) { std::mem::take(&mut *lock(&self.value)) } else { T::default() };
            Box::new(Self::of(forks, value))
        };
        self.child.get_or_init(taken_over).lock_in(forks)
    }

    fn of(forks: u32, value: T) -> Self {
        Self { value: Mutex::new(value), forks, child: OnceLock::new() }
    }
}

fn is_free<T>(mutex: &Mutex<T>) -> bool {
    !matches!(mutex.try_lock(), Err(TryLockError::WouldBlock))
}

impl<T: Default> Drop for ForkLock<T> {
    fn drop(&mut self) {
        if !is_free(&self.value) {
            std::mem::forget(std::mem::replace(&mut self.value, Mutex::new(T::default())));
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn child_takes_over_an_unlocked_value() {
        let shared = ForkLock::of(0, vec![1]);
        shared.lock_in(0).push(2);
        assert_eq!(*shared.lock_in(1), [1, 2]);
        shared.lock_in(1).push(3);
        assert_eq!(*shared.lock_in(1), [1, 2, 3]);
        assert_eq!(*shared.lock_in(2), [1, 2, 3], "a child of the child");
    }

    #[test]
    fn child_starts_empty_if_its_parent_held_the_lock() {
        let shared = ForkLock::of(0, vec![1]);
        let parents = shared.lock_in(0);
        assert_eq!(*shared.lock_in(1), []);
        shared.lock_in(1).push(2);
        let childs = shared.lock_in(1);
        assert_eq!(*shared.lock_in(2), []);
        assert_eq!((&parents[..], &childs[..]), (&[1][..], &[2][..]));
    }

    #[test]
    fn value_that_stays_locked_is_not_dropped() {
        let (torn, whole) = (Arc::new(()), Arc::new(()));
        for (value, stays_locked) in [(&torn, true), (&whole, false)] {
            let shared = ForkLock::of(0, vec![value.clone()]);
            let guard = shared.lock_in(0);
            if stays_locked {
                std::mem::forget(guard);
            }
        }
        assert_eq!((Arc::strong_count(&torn), Arc::strong_count(&whole)), (2, 1));
    }
}
