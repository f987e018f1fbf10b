//! Threads that the host ends while code of this library is on their stacks.
//!
//! A host that calls `pthread_exit` makes libc unwind the thread's stack. Rust doesn't allow that. The process aborts in the
//! first Rust frame that C called; without such a frame, values that other threads still use are dropped. So the thread is
//! parked for ever instead, as it is. A thread without a frame of this library ends as before.

use std::ffi::c_void;
use std::sync::Once;

use crate::sys::{object, thread_end};

static INSTALLED: Once = Once::new();

/// Makes the loaded object at the address `host` park threads instead of ending them, if they have a frame of this
/// library on their stacks. Calling it again has no effect.
///
/// It replaces the host's entry for `pthread_exit`, because nothing milder is sure to run before the first Rust frame. Landing
/// pads don't: calls into the host are declared as non-unwinding, in code that isn't ours. Cleanup handlers don't either:
/// only a thread itself can register them, and threads enter through code that isn't ours. If the entry can't be made
/// writable, threads end as before.
pub fn park_instead(host: *const c_void) {
    INSTALLED.call_once(|| {
        object::redirect(host, c"pthread_exit", thread_end::exit as *const c_void);
    });
}
