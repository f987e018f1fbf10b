//! The end of a thread: which frames are on its stack, and how it waits for ever.

use std::ffi::{c_int, c_void};

use super::object;

/// What a walk over the frames has found.
#[derive(Default)]
struct Walk {
    /// The frames that asked are behind.
    has_left: bool,
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

/// Stands in for `pthread_exit`: parks a thread that has frames of this library on its stack, and ends any other.
///
/// It drops nothing, so libc may unwind through it.
pub(crate) unsafe extern "C-unwind" fn exit(value: *mut c_void) -> ! {
    if is_below_ours() {
        park();
    }
    // SAFETY: the caller's own call; no frame of this library but this one, which has nothing to drop, is unwound.
    unsafe { pthread_exit(value) }
}

/// Whether frames of this library called, through others, those that ask.
fn is_below_ours() -> bool {
    let mut walk = Walk::default();
    // SAFETY: `visit` takes what is passed here, which outlives the call.
    unsafe { _Unwind_Backtrace(visit, (&raw mut walk).cast()) };
    walk.has_come_back
}

extern "C" fn visit(context: *mut c_void, walk: *mut c_void) -> c_int {
    // SAFETY: `is_below_ours` passes its own walk, which nobody else looks at meanwhile.
    let walk = unsafe { &mut *walk.cast::<Walk>() };
    // SAFETY: the context of the frame that is visited.
    let is_ours = object::is_ours(unsafe { _Unwind_GetIP(context) });
    walk.has_left |= !is_ours;
    walk.has_come_back = walk.has_left && is_ours;
    if walk.has_come_back { STOP } else { CONTINUE }
}

/// Waits for the end of the process.
fn park() -> ! {
    loop {
        // SAFETY: takes nothing; it returns after a signal was handled.
        unsafe { libc::pause() };
    }
}
