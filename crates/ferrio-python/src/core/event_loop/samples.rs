//! What a loop's thread and a sampler in another thread share: the number of tasks, and samples of what is ready.
//!
//! `sampled.rs` is the loop's side, `loop_api/sampler.rs` the sampler's.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use ferrio_engine::clock::Nanos;
use ferrio_engine::sampler::Seen;

/// At most this many samples are kept for a sampler that doesn't take them.
const KEPT: usize = 1 << 16;

/// The loop's side of a sampler.
#[derive(Default)]
pub(crate) struct Samples {
    /// How many tasks there have been.
    created: AtomicU64,
    /// How much time the next note of what is ready stands for.
    asked: AtomicU64,
    /// Never waited for: a sampler in another thread may have been in it when the process was forked.
    ready: Mutex<Vec<Seen>>,
}

impl Samples {
    /// Counts a new task. The caller holds the loop's registry.
    #[inline]
    pub(crate) fn count_one(&self) {
        self.created.store(self.created() + 1, Ordering::Relaxed);
    }

    /// The next task is the first one again. The caller holds a loop that no sampler looks at.
    pub(super) fn begin_again(&self) {
        self.created.store(0, Ordering::Relaxed);
    }

    /// How many tasks there have been; the number of the next one.
    #[inline]
    pub(crate) fn created(&self) -> u64 {
        self.created.load(Ordering::Relaxed)
    }

    /// Asks the loop's thread to note what is ready; the note stands for `time` more.
    pub(crate) fn ask(&self, time: Nanos) {
        self.asked.fetch_add(time, Ordering::Relaxed);
    }

    /// The time for which a sampler has asked and wasn't answered.
    #[inline]
    pub(super) fn asked(&self) -> Nanos {
        self.asked.load(Ordering::Relaxed)
    }

    /// The same; it counts as answered.
    pub(super) fn take_asked(&self) -> Nanos {
        self.asked.swap(0, Ordering::Relaxed)
    }

    /// Leaves what was seen for the sampler.
    pub(super) fn leave(&self, mut seen: Vec<Seen>) {
        if let Ok(mut ready) = self.ready.try_lock()
            && ready.len() < KEPT
        {
            ready.append(&mut seen);
        }
    }

    /// What was ready since the last call.
    pub(crate) fn take_ready(&self) -> Vec<Seen> {
        self.ready.try_lock().map(|mut ready| std::mem::take(&mut *ready)).unwrap_or_default()
    }
}
