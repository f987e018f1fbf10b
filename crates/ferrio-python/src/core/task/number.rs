//! The numbers in the default names of tasks: `Task-1`, `Task-2`...
//!
//! Invariant: no two tasks of a process get the same number, and a thread's numbers ascend. With a GIL they count all
//! tasks, as in asyncio. Without one, each thread takes a block of numbers and counts within it. A single counter
//! would move from core to core with every new task.

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
        /// The last number that this thread used; a multiple of `BLOCK` if its block is used up.
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    let last = LAST.get();
    let before = if last % BLOCK == 0 { BLOCKS.fetch_add(1, Ordering::Relaxed) * BLOCK } else { last };
    LAST.set(before + 1);
    before + 1
}
