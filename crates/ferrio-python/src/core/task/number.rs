//! The numbers in the names that tasks get: `Task-1`, `Task-2`...
//!
//! Invariant: no two tasks of a process get the same, and those that one thread makes get ascending ones. With a GIL they
//! count all tasks, as asyncio's do. Without one each thread takes a block of numbers and counts in it: a single counter
//! would go from core to core with every task that is made.

/// The number of the task that is being made.
#[cfg(not(Py_GIL_DISABLED))]
pub(super) fn next() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};

    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The number of the task that is being made.
#[cfg(Py_GIL_DISABLED)]
pub(super) fn next() -> u64 {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// How many numbers a thread takes at a time.
    const BLOCK: u64 = 64;

    static BLOCKS: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        /// The number that this thread gave last; a multiple of `BLOCK` when its block is used up.
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    let last = LAST.get();
    let before = if last % BLOCK == 0 { BLOCKS.fetch_add(1, Ordering::Relaxed) * BLOCK } else { last };
    LAST.set(before + 1);
    before + 1
}
