//! Children that change their user while they share this process's memory.

use std::sync::{Mutex, PoisonError};

use rustix::process::DumpableBehavior;

/// Exists while a child that changes its user shares our memory. The kernel then makes this process undumpable. That must stay
/// so while the child is there, and is undone after the last such child has left.
#[derive(Debug)]
pub(super) struct OtherUser;

/// How many such children there are, and whether the process was dumpable before the first.
static OTHER_USERS: Mutex<(usize, bool)> = Mutex::new((0, false));

impl OtherUser {
    pub(super) fn new() -> Self {
        let mut state = OTHER_USERS.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 == 0 {
            state.1 = is_dumpable();
        }
        state.0 += 1;
        Self
    }
}

impl Drop for OtherUser {
    fn drop(&mut self) {
        let mut state = OTHER_USERS.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 -= 1;
        if state.0 == 0 && state.1 && !is_dumpable() {
            make_dumpable();
        }
    }
}

/// Whether other processes of the same user may inspect this one, and a crash dumps its memory.
fn is_dumpable() -> bool {
    matches!(rustix::process::dumpable_behavior(), Ok(DumpableBehavior::Dumpable))
}

/// Makes this process dumpable.
fn make_dumpable() {
    // It can't fail with this argument.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable);
}
