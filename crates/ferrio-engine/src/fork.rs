//! How often this process was forked: the one count for everything that a child must not share with its parent.

use std::sync::atomic::{AtomicU32, Ordering};

static FORKS: AtomicU32 = AtomicU32::new(0);

/// Counts a fork. Call it in the child, before anything of this crate is used there.
pub fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// How often this process was forked, counted in the child. What was made under another count belongs to the parent.
#[inline]
pub fn count() -> u32 {
    FORKS.load(Ordering::Relaxed)
}
