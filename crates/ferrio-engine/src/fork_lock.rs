//! A lock that the child of a fork can take, whatever its parent's threads did at that moment.
//!
//! A fork copies all memory and one thread. What another thread had locked stays locked in the child, where nobody unlocks it, and
//! may be half changed. So a child has a lock of its own, which takes over what the parent's guards if that was free. If not, it
//! begins empty, and what the parent's guards is leaked.
//!
//! Invariant: nobody looks at a value, drops included, that a thread which is not in this process was about to change.

use std::sync::{OnceLock, TryLockError};

use crate::fork;
use crate::sync::{Mutex, MutexGuard, lock};

/// A value for one thread at a time, in each process by itself.
pub(crate) struct ForkLock<T: Default> {
    value: Mutex<T>,
    /// The [`fork::count`] of the process whose threads take `value`'s lock.
    forks: u32,
    /// What a child of that process has in its place.
    child: OnceLock<Box<ForkLock<T>>>,
}

impl<T: Default> ForkLock<T> {
    /// A lock of this process.
    pub(crate) fn new(value: T) -> Self {
        Self::of(fork::count(), value)
    }

    /// Waits until no other thread of this process has it.
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
            // Nobody in this process takes the old lock but here, once.
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
    fn child_takes_over_what_nobody_was_at() {
        let shared = ForkLock::of(0, vec![1]);
        shared.lock_in(0).push(2);
        assert_eq!(*shared.lock_in(1), [1, 2]);
        shared.lock_in(1).push(3);
        assert_eq!(*shared.lock_in(1), [1, 2, 3]);
        assert_eq!(*shared.lock_in(2), [1, 2, 3], "a child of the child");
    }

    #[test]
    fn child_begins_anew_where_a_thread_of_its_parents_was() {
        let shared = ForkLock::of(0, vec![1]);
        let parents = shared.lock_in(0);
        assert_eq!(*shared.lock_in(1), []);
        shared.lock_in(1).push(2);
        let childs = shared.lock_in(1);
        assert_eq!(*shared.lock_in(2), []);
        assert_eq!((&parents[..], &childs[..]), (&[1][..], &[2][..]));
    }

    #[test]
    fn what_is_locked_for_ever_is_not_dropped() {
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
