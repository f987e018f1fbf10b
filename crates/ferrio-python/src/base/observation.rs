//! Whether operations may be under observation: then they get Python frames of their own (`core/operation/unawaited.rs`).
//!
//! A program turns it on for itself, and a loop in debug mode for its thread. While nobody has done so, the only cost is
//! one look at a counter.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How many reasons there are, in the whole process: loops that run in debug mode, and the program's own wish.
static REASONS: AtomicUsize = AtomicUsize::new(0);

/// The program's own wish.
static WANTED: AtomicBool = AtomicBool::new(false);

/// Whether there is any reason, maybe in another thread.
#[inline]
pub(crate) fn is_possible() -> bool {
    REASONS.load(Ordering::Relaxed) != 0
}

/// Whether the program wants it.
pub(crate) fn is_wanted() -> bool {
    WANTED.load(Ordering::Relaxed)
}

/// Notes the program's wish.
pub(crate) fn want(wanted: bool) {
    match (WANTED.swap(wanted, Ordering::Relaxed), wanted) {
        (false, true) => begin(),
        (true, false) => end(),
        _ => {}
    }
}

/// Another reason.
pub(crate) fn begin() {
    REASONS.fetch_add(1, Ordering::Relaxed);
}

/// One reason less.
pub(crate) fn end() {
    REASONS.fetch_sub(1, Ordering::Relaxed);
}
