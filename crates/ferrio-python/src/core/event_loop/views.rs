//! Copies of what the loop has queued, for what shows it.

use ferrio_engine::clock::Nanos;
use ferrio_engine::timer::TimerKey;
use pyo3::prelude::*;

use super::{Item, Loop};

impl Loop {
    /// What is ready, in order; without the events, which only the loop can act on.
    pub(crate) fn ready_items(&self, py: Python<'_>) -> Vec<Item> {
        self.owned
            .engine
            .with(py, |engine| engine.ready.iter().filter_map(|item| item.duplicate(py)).collect())
    }

    /// What waits for its time, the earliest first.
    pub(crate) fn timer_items(&self, py: Python<'_>) -> Vec<(Nanos, TimerKey, Item)> {
        let mut found: Vec<_> = self.owned.engine.with(py, |engine| {
            let entries = engine.timers.entries();
            entries.filter_map(|(when, key, item)| Some((when, key, item.duplicate(py)?))).collect()
        });
        found.sort_by_key(|(when, ..)| *when);
        found
    }

    /// The timer `key` and when it is due, if it still waits.
    pub(crate) fn timer_item(&self, py: Python<'_>, key: TimerKey) -> Option<(Nanos, Item)> {
        self.owned.engine.with(py, |engine| {
            let item = engine.timers.get(key)?.duplicate(py)?;
            Some((engine.timers.deadline(key)?, item))
        })
    }

    /// Takes the timer `key` out of the loop, if it still waits.
    pub(crate) fn take_timer(&self, py: Python<'_>, key: TimerKey) -> Option<Item> {
        self.owned.engine.with(py, |engine| engine.timers.cancel(key))
    }
}
