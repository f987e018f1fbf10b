//! The pending tasks: each ferrio loop keeps strong references to its own until they are done.
//!
//! asyncio keeps weak references, so a pending task without other references may vanish. Here it doesn't. From Python
//! 3.14 on, `asyncio.all_tasks()` sees them because they are also linked into the interpreter's lists
//! (`ffi::task_list`). Before, the standard library's set of tasks gets a second source (`_pending_tasks`).

use ferrio_engine::recorder::End;
use pyo3::PyVisit;
use pyo3::prelude::*;

use super::Task;
use crate::base::ffi::{awaiters, task_list};
use crate::base::functions::{Declared, declared};
use crate::base::gc::{Traverse, Visited};
use crate::base::imports;
use crate::base::room::Room;
use crate::core::event_loop::{self, LoopRef};

/// The pending tasks of one loop, each in a slot whose place it knows, with a number that no other task gets. Not a `Slab`,
/// which aborts if it can't grow.
#[derive(Default)]
pub(crate) struct Registry {
    slots: Vec<Option<(Py<Task>, u64)>>,
    /// The places of the empty slots; there is room for all places.
    free: Vec<u32>,
    counts: TaskCounts,
}

/// How many tasks of a loop have ended.
#[derive(Clone, Copy, Default)]
pub(crate) struct TaskCounts {
    /// However they ended.
    pub(crate) finished: u64,
    /// Those of them that raised an exception.
    pub(crate) failed: u64,
    /// Those of them that were cancelled.
    pub(crate) cancelled: u64,
}

impl Traverse for Registry {
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        self.iter().try_for_each(|task| task.traverse(visit))
    }
}

impl Registry {
    /// Raises `MemoryError` if there is no room for the task.
    fn insert(&mut self, task: Py<Task>, number: u64) -> PyResult<u32> {
        if let Some(place) = self.free.pop() {
            self.slots[place as usize] = Some((task, number));
            return Ok(place);
        }
        let place = self.slots.len();
        self.slots.make_room(1)?;
        self.free.make_room(place + 1)?;
        self.slots.push(Some((task, number)));
        Ok(u32::try_from(place).expect("fewer than 2^32 pending tasks"))
    }

    fn remove(&mut self, place: u32, how: End) -> Option<Py<Task>> {
        let (task, _) = self.slots.get_mut(place as usize)?.take()?;
        self.free.push(place);
        self.counts.finished += 1;
        match how {
            End::Failed => self.counts.failed += 1,
            End::Cancelled => self.counts.cancelled += 1,
            End::Finished | End::Abandoned => {}
        }
        Some(task)
    }

    /// Takes out all tasks; the counts stay.
    pub(crate) fn take(&mut self) -> Self {
        let counts = self.counts;
        std::mem::replace(self, Self { counts, ..Self::default() })
    }

    /// The number of the task in this place.
    pub(crate) fn number(&self, place: u32) -> Option<u64> {
        self.slots.get(place as usize)?.as_ref().map(|(_, number)| *number)
    }

    /// How many are pending.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many have ended.
    pub(crate) fn counts(&self) -> TaskCounts {
        self.counts
    }

    /// The pending tasks.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Py<Task>> {
        self.slots.iter().flatten().map(|(task, _)| task)
    }

    /// The pending tasks in `count` places from `start` on, with their places and numbers.
    pub(crate) fn entries(
        &self,
        start: usize,
        count: usize,
    ) -> impl Iterator<Item = (usize, u64, &Py<Task>)> {
        let entries = self.slots.iter().enumerate().skip(start).take(count);
        entries.filter_map(|(place, slot)| slot.as_ref().map(|(task, number)| (place, *number, task)))
    }

    /// How many places there are, empty ones included.
    pub(crate) fn places(&self) -> usize {
        self.slots.len()
    }
}

/// Enters a new task into its loop's registry, or the standard library's for a foreign loop. Raises `MemoryError`.
#[inline]
pub(crate) fn remember(py: Python<'_>, home: &LoopRef, task: &Bound<'_, Task>) -> PyResult<()> {
    match home {
        LoopRef::Native(native) => {
            let entry = task.clone().unbind();
            let samples = native.get().progress().samples();
            let place = native.get().with_tasks(py, |tasks| {
                tasks.insert(entry, samples.created()).inspect(|_| samples.count_one())
            })?;
            task.get().task.with(py, |state| state.place = Some(place));
            task_list::link(task);
            if let Some(slot) = native.get().recorded() {
                slot.note_made(py, Task::recorded_id(task));
            }
            native.get().note_made(task);
            Ok(())
        }
        LoopRef::Foreign(_) => imports::REGISTER_TASK.get(py)?.call1((task,)).map(drop),
    }
}

/// Removes a task that is done, in this way, from the registry.
#[inline]
pub(crate) fn forget(py: Python<'_>, home: &LoopRef, task: &Bound<'_, Task>, how: End) -> PyResult<()> {
    let unlinked = task_list::unlink(task).and_then(|()| awaiters::clear(task.as_super()));
    let place = task.get().task.with(py, |state| state.place.take());
    if let (LoopRef::Native(native), Some(place)) = (home, place) {
        let entry = native.get().with_tasks(py, |tasks| tasks.remove(place, how));
        if let Some(entry) = entry {
            entry.drop_ref(py);
        }
    }
    unlinked
}

/// In C from 3.14 on.
pub(crate) const ALL_TASKS: Declared =
    if cfg!(Py_3_14) { declared!(all_tasks) } else { declared!(all_tasks).function("ferrio.tasks") };

/// Return the set of the tasks of `loop` (default: the running loop) that aren't done.
///
/// Raises `RuntimeError` if no loop is given and none runs.
#[pyfunction]
#[pyo3(signature = (r#loop = None))]
pub(crate) fn all_tasks<'py>(
    py: Python<'py>,
    r#loop: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let home = match r#loop.filter(|given| !given.is_none()) {
        Some(given) => given,
        None => event_loop::get_running_loop(py)?,
    };
    imports::STANDARD_ALL_TASKS.get(py)?.call1((home,))
}

/// Return the list of the pending tasks of every ferrio loop that is alive; the standard library's second source.
#[pyfunction]
pub(crate) fn _pending_tasks<'py>(py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let mut pending = Vec::new();
    for native in event_loop::every_loop(py)? {
        let some = native.get().with_tasks(py, |tasks| {
            tasks.iter().map(|task| task.bind(py).as_any().clone()).collect::<Vec<_>>()
        });
        pending.extend(some);
    }
    Ok(pending)
}
