//! An alarm: any thread may wake one sleeper of a loop with it, and rings no more than once until the sleeper has looked.
//!
//! The alarm is one atomic word, so that ringing takes no lock and touches nothing of the host's. It doesn't know the loop:
//! [`Alarm::ring`] says whom to wake, and the caller posts that to the loop's inbox.
//!
//! Invariants: whatever a thread wrote before it rang, the sleeper sees after the next [`Alarm::set`]. Between two calls of
//! `set`, at most one `ring` has to be delivered. A ring before the first `set` is never delivered, because the sleeper's
//! first look is still to come.

use crate::sleepers::SleeperKey;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Set from a ring until the sleeper looks. The other bits are the sleeper's key, 0 before the first look.
const RUNG: u64 = 1;

/// What wakes one sleeper; shared by the sleeper and those who wake it.
#[derive(Debug)]
pub struct Alarm {
    state: AtomicU64,
}

impl Alarm {
    /// An alarm that nobody waits for yet.
    #[must_use]
    pub fn new() -> Self {
        Self { state: AtomicU64::new(0) }
    }

    /// Rings. Returns the sleeper to wake; `None` if it will look anyway. Callable from any thread.
    #[inline]
    pub fn ring(&self) -> Option<SleeperKey> {
        // A read-modify-write even if it has rung already: the sleeper must see what was written before this ring too.
        let before = self.state.fetch_or(RUNG, Ordering::AcqRel);
        if before & RUNG != 0 { None } else { SleeperKey::from_bits(before >> 1) }
    }

    /// From now on a ring wakes `sleeper`. The sleeper calls it each time before it looks for what it waits for.
    #[inline]
    pub fn set(&self, sleeper: SleeperKey) {
        self.state.swap(sleeper.to_bits() << 1, Ordering::AcqRel);
    }
}

impl Default for Alarm {
    fn default() -> Self {
        Self::new()
    }
}
