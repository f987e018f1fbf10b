//! The end of a thread: which frames are on its stack, and how to park it for ever.

use std::ffi::{c_int, c_void};

use super::object;

/// The state of a walk over the frames.
#[derive(Default)]
struct Walk {
    /// The walk has left the frames that started it.
    has_left: bool,
    /// After that, it has met a frame of this library.
    has_come_back: bool,
}

const CONTINUE: c_int = 0; // _URC_NO_REASON
const STOP: c_int = 4; // _URC_NORMAL_STOP

type Visit = extern "C" fn(context: *mut c_void, walk: *mut c_void) -> c_int;

unsafe extern "C" {
    fn _Unwind_Backtrace(visit: Visit, walk: *mut c_void) -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
}

unsafe extern "C-unwind" {
    fn pthread_exit(value: *mut c_void) -> !;
}

/// Replaces `pthread_exit`: parks a thread that has frames of this library on its stack, and ends any other.
///
/// It has nothing to drop, so libc may unwind through it.
pub(crate) unsafe extern "C-unwind" fn exit(value: *mut c_void) -> ! {
    if is_below_ours() {
        park();
    }
    // SAFETY: the caller's own call. The only frame of this library that is unwound is this one, which has nothing to drop.
    unsafe { pthread_exit(value) }
}

/// Whether frames of this library are below the caller's, with others between them.
fn is_below_ours() -> bool {
    let mut walk = Walk::default();
    // SAFETY: `visit` takes what is passed here, which outlives the call.
    unsafe { _Unwind_Backtrace(visit, (&raw mut walk).cast()) };
    walk.has_come_back
}

extern "C" fn visit(context: *mut c_void, walk: *mut c_void) -> c_int {
    // SAFETY: `is_below_ours` passes its own walk, which no other code uses meanwhile.
    let walk = unsafe { &mut *walk.cast::<Walk>() };
    // SAFETY: the context of the frame that is visited.
    let is_ours = object::is_ours(unsafe { _Unwind_GetIP(context) });
    walk.has_left |= !is_ours;
    walk.has_come_back = walk.has_left && is_ours;
    if walk.has_come_back { STOP } else { CONTINUE }
}

/// Blocks until the process ends.
fn park() -> ! {
    loop {
        // SAFETY: takes nothing; it returns after a signal was handled.
        unsafe { libc::pause() };
    }
}
