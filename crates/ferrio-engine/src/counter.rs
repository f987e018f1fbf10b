//! A number that every thread may read.
//!
//! If only the loop's thread changes it, it needs no atomic addition: a load, an addition and a store are as cheap as those of
//! a plain number. `add_shared` and `take_shared` are for numbers that several threads change. A reader in another thread sees a value that the counter had a moment ago. Two counters may belong to
//! neighbouring moments.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts upwards.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// At zero.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds `amount`. Called in one thread at a time.
    #[inline]
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    /// Adds `amount`; other threads may do so at the same moment.
    #[inline]
    pub fn add_shared(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Takes `amount` away; other threads may change it at the same moment.
    #[inline]
    pub fn take_shared(&self, amount: u64) {
        self.0.fetch_sub(amount, Ordering::Relaxed);
    }

    /// The present value.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
