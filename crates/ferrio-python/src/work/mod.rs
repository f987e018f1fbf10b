//! Blocking work that runs outside the loop's thread: calls in threads and processes, files.

pub(crate) mod executor;
pub(crate) mod files;

use std::sync::atomic::{AtomicBool, Ordering};

/// Set when the interpreter begins to exit: from then on no thread can be started.
static EXITING: AtomicBool = AtomicBool::new(false);

/// Whether the interpreter has begun to exit.
pub(crate) fn is_exiting() -> bool {
    EXITING.load(Ordering::Relaxed)
}

/// Called when the interpreter begins to exit.
pub(crate) fn begin_exit() {
    EXITING.store(true, Ordering::Relaxed);
}
