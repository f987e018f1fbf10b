//! Copies of what the loop has queued, for views, and the replacement of the queues by a program.

use ferrio_engine::OutOfMemory;
use ferrio_engine::clock::{Nanos, nanos_from_seconds};
use ferrio_engine::timer::TimerKey;
use pyo3::prelude::*;

use super::{Item, Loop, no_room};
use crate::core::handle::{Handle, TimerHandle};

impl Loop {
    /// The ready items, in order; without the events, which only the loop itself can handle.
    pub(crate) fn ready_items(&self, py: Python<'_>) -> Vec<Item> {
        self.owned
            .engine
            .with(py, |engine| engine.ready.iter().filter_map(|item| item.duplicate(py)).collect())
    }

    /// How many items are ready, timers wait, and descriptors are watched.
    pub(crate) fn queued(&self, py: Python<'_>) -> (usize, usize, usize) {
        let (ready, timers) = self.owned.engine.with(py, |engine| (engine.ready.len(), engine.timers.len()));
        (ready, timers, self.shared.reactor.watched())
    }

    /// The timers, the earliest first.
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

    /// Replaces the ready queue by `handles`.
    pub(crate) fn replace_ready(&self, py: Python<'_>, handles: Vec<Py<Handle>>) -> PyResult<()> {
        let old = self.owned.engine.with(py, |engine| engine.ready.drain());
        drop(old);
        handles.into_iter().try_for_each(|handle| self.push_here(py, Item::Handle(handle)))
    }

    /// Replaces the timers by `handles`. If a handle stands for an existing timer, that timer stays as it is.
    pub(crate) fn replace_timers(&self, py: Python<'_>, handles: &[Bound<'_, TimerHandle>]) -> PyResult<()> {
        let kept: Vec<_> = handles.iter().map(|handle| handle.get().key(py)).collect();
        let old: Vec<Item> = self.owned.engine.with(py, |engine| {
            // A program doesn't see those that only the loop itself can handle, so they stay.
            let shown = engine.timers.entries().filter(|(_, _, item)| !item.is_ours_alone());
            let gone: Vec<_> =
                shown.map(|(_, key, _)| key).filter(|key| !kept.contains(&Some(*key))).collect();
            gone.into_iter().filter_map(|key| engine.timers.cancel(key)).collect()
        });
        drop(old);
        for (handle, key) in handles.iter().zip(kept) {
            if key.is_some_and(|key| self.has_timer(py, key)) {
                continue;
            }
            let deadline = nanos_from_seconds(handle.get().seconds()).unwrap_or(0);
            let item = Item::Handle(handle.as_super().clone().unbind());
            let inserted = self.owned.engine.with(py, |engine| engine.timers.insert(deadline, item));
            handle.get().scheduled(py, inserted.map_err(|OutOfMemory(item)| no_room(py, item))?);
        }
        Ok(())
    }
}
