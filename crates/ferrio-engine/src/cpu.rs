//! Which CPU two threads run on, for those who wait by watching.
//!
//! Watching for what another thread does is quick while that thread runs on another CPU. On the same CPU the watcher keeps
//! the other from running at all, and only the kernel can help: then wait there. The invariant: a [`CpuMark`] is a hint,
//! nothing but speed depends on it.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::sys;

/// Where a thread was seen last; others compare their own place with it.
#[derive(Debug)]
pub struct CpuMark(AtomicU32);

impl CpuMark {
    /// A mark of no CPU.
    pub const fn new() -> Self {
        Self(AtomicU32::new(u32::MAX))
    }

    /// The calling thread is here.
    #[inline]
    pub fn set(&self) {
        self.0.store(sys::current_cpu(), Ordering::Relaxed);
    }

    /// Whether the calling thread runs on the CPU of the mark.
    #[inline]
    pub fn is_here(&self) -> bool {
        self.0.load(Ordering::Relaxed) == sys::current_cpu()
    }
}

impl Default for CpuMark {
    fn default() -> Self {
        Self::new()
    }
}
