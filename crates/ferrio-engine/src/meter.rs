//! What a metered loop counts of its turns.
//!
//! The loop's thread writes, and any thread reads. No clock is read per item. Invariant: only the thread that runs the loop
//! changes anything here, so the numbers are plain ones to it (see [`Counter`]).

use crate::counter::Counter;

/// The numbers of one loop, from the moment when metering was turned on.
#[derive(Debug, Default)]
pub struct Meter {
    turns: Counter,
    steps: Counter,
    callbacks: Counter,
}

impl Meter {
    /// With nothing counted.
    pub fn new() -> Self {
        Self::default()
    }

    /// A turn begins.
    #[inline]
    pub fn turn_begins(&self) {
        self.turns.add(1);
    }

    /// A step of a task begins.
    #[inline]
    pub fn step_begins(&self) {
        self.steps.add(1);
    }

    /// An item begins that isn't a step of a task.
    #[inline]
    pub fn callback_begins(&self) {
        self.callbacks.add(1);
    }

    /// How many turns there were.
    pub fn turns(&self) -> u64 {
        self.turns.get()
    }

    /// How many steps of tasks there were.
    pub fn steps(&self) -> u64 {
        self.steps.get()
    }

    /// How many other items there were.
    pub fn callbacks(&self) -> u64 {
        self.callbacks.get()
    }
}
