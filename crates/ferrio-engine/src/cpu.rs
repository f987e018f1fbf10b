//! Whether two threads run on the same CPU, for code that may wait by spinning.
//!
//! Spinning is a quick way to wait for a thread that runs on another CPU. On the same CPU it keeps that thread from running
//! at all, so waiting in the kernel is right there. Invariant: a [`CpuMark`] is a hint; only speed depends on it.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::sys;

/// The CPU on which a thread last ran; other threads compare theirs with it.
#[derive(Debug)]
pub struct CpuMark(AtomicU32);

impl CpuMark {
    /// A mark that matches no CPU.
    pub const fn new() -> Self {
        Self(AtomicU32::new(u32::MAX))
    }

    /// Records the calling thread's CPU.
    #[inline]
    pub fn set(&self) {
        self.0.store(sys::thread::current_cpu(), Ordering::Relaxed);
    }

    /// Whether the calling thread runs on the recorded CPU.
    #[inline]
    pub fn is_here(&self) -> bool {
        self.0.load(Ordering::Relaxed) == sys::thread::current_cpu()
    }
}

impl Default for CpuMark {
    fn default() -> Self {
        Self::new()
    }
}
