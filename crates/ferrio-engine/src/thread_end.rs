//! Threads that the host ends while this library is at work on them.
//!
//! A host that ends threads by `pthread_exit` makes libc unwind their stacks. Rust doesn't allow that: the process aborts in the
//! first frame that C called, and where it doesn't, what other threads still use is dropped. So such a thread is parked
//! for ever instead, as it stands. A thread without a frame of this library ends as before.

use std::ffi::c_void;
use std::sync::Once;

use crate::sys::{object, thread_end};

static INSTALLED: Once = Once::new();

/// Makes the object that contains the address `host` park a thread instead of ending it, where a frame of this library is on its
/// stack. Any number of calls are one.
///
/// What the host calls `pthread_exit` by is replaced, because nothing milder is certain to come before the first Rust frame
/// in every thread: neither landing pads (calls into the host are declared as ones that don't unwind, in code that isn't ours) nor
/// cleanup handlers (only the thread itself can register them, and threads enter this library through code that isn't ours).
/// If memory can't be made writable, threads end as before.
pub fn park_instead(host: *const c_void) {
    INSTALLED.call_once(|| {
        object::redirect(host, c"pthread_exit", thread_end::exit as *const c_void);
    });
}
