//! What a loop does for a sampler: it says which tasks are ready, and when others will be.
//!
//! Only the loop's thread can look into its queue while it runs. So it does that when the sampler has asked, between two
//! items. A loop that nobody samples counts its tasks and no more (`samples.rs`).

use std::collections::{HashMap, HashSet};

use ferrio_engine::clock::Nanos;
use ferrio_engine::sampler::Seen;
use pyo3::prelude::*;

use super::{Item, Loop, modes};

/// At most this many ready items are looked at; each stands for others if there are more.
const LOOKED_AT: usize = 64;

impl Loop {
    /// From the next turn on, a sampler sees what the loop runs, or no longer does.
    pub(crate) fn set_sampled(&self, sampled: bool) {
        self.set_mode(modes::SAMPLED, sampled);
    }

    /// Notes what is ready, if a sampler has asked.
    #[inline]
    pub(super) fn show_ready(&self, py: Python<'_>) {
        if self.progress().samples().asked() != 0 {
            self.note_ready(py);
        }
    }

    /// The addresses of the tasks that are ready to go on.
    pub(crate) fn ready_tasks(&self, py: Python<'_>) -> HashSet<usize> {
        self.ready_items(py).iter().filter_map(|item| address_of_task(py, item)).collect()
    }

    /// When the timers are due that wake operations, by the operation's address.
    pub(crate) fn wake_times(&self, py: Python<'_>) -> HashMap<usize, Nanos> {
        self.owned.engine.with(py, |engine| {
            let wakes = engine.timers.entries().filter_map(|(when, _, item)| match item {
                Item::Wake(operation) => Some((operation.as_ptr() as usize, when)),
                _ => None,
            });
            wakes.collect()
        })
    }

    #[cold]
    fn note_ready(&self, py: Python<'_>) {
        let samples = self.progress().samples();
        let time = samples.take_asked();
        let created = samples.created();
        let (count, some) = self.owned.engine.with(py, |engine| {
            let count = engine.ready.len();
            let step = count.div_ceil(LOOKED_AT).max(1);
            // Not always the same places: samples of a regular queue would show the same tasks.
            let first = usize::try_from(time).unwrap_or_default() % step;
            let items = engine.ready.iter().skip(first).step_by(step);
            (count, items.filter_map(|item| item.duplicate(py)).collect::<Vec<_>>())
        });
        if some.is_empty() {
            return;
        }
        let each = time.saturating_mul(count as u64) / some.len() as u64;
        let mut seen = Vec::with_capacity(some.len());
        for item in some {
            if let Some(address) = address_of_task(py, &item) {
                seen.push(Seen { address, created, time: each });
            }
            item.release(py);
        }
        samples.leave(seen);
    }
}

/// The address of the task that an item is about to go on with.
fn address_of_task(py: Python<'_>, item: &Item) -> Option<usize> {
    match item {
        Item::Step(task) => Some(task.as_ptr() as usize),
        Item::Wake(operation) => operation
            .bind(py)
            .get()
            .state
            .with(py, |state| state.task.as_ref().map(|task| task.as_ptr() as usize)),
        _ => None,
    }
}
