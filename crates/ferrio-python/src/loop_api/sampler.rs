//! `_Sampler`: what a table of a loop's tasks shows, and samples of where the time goes.
//!
//! `ferrio.sight.agent` owns it, and the thread that calls `wait`. That takes the samples without the interpreter, a few
//! hundred a second, while somebody looks; otherwise it only notes now and then how many tasks there have been, from which
//! their ages follow. A table is made in pieces, so that the interpreter is held briefly.
//!
//! Invariants: a sampler keeps no loop alive, and its rows refer to no task. A forked child makes a sampler of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ferrio_engine::clock::{Clock, Nanos, seconds_from_nanos};
use ferrio_engine::pulse::Doing;
use ferrio_engine::sampler::{Birth, Births, Tally, wait_readable};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::base::class::Class;
use crate::base::error;
use crate::base::ffi::task_fields::look;
use crate::base::ffi::{Cast, coroutine};
use crate::core::event_loop::progress::Progress;
use crate::core::event_loop::{Loop, every_loop};
use crate::core::operation::Operation;
use crate::core::task::Task;

/// The time between two samples while somebody looks.
const OFTEN: Duration = Duration::from_millis(5);

/// The time between two looks at the number of tasks while nobody does.
const SELDOM: Duration = Duration::from_secs(1);

/// A sample stands for no more time than this: the process may have stood still.
const LONGEST: Nanos = 1_000_000_000;

/// Takes samples of loops and lists their tasks.
#[pyclass(frozen, name = "_Sampler", module = "ferrio._ferrio")]
pub(crate) struct Sampler {
    loops: Mutex<Vec<Sampled>>,
}

impl Class for Sampler {}

/// A loop, as a sampler knows it.
struct Sampled {
    progress: Arc<Progress>,
    tally: Tally,
    births: Births,
    attached: bool,
    looked: Nanos,
}

/// What a row needs, taken out of a task in one look.
struct Row {
    place: usize,
    number: u64,
    task: Py<Task>,
}

#[pymethods]
impl Sampler {
    #[new]
    fn new() -> Self {
        Self { loops: Mutex::default() }
    }

    /// Note the ages of the tasks of `loop` from now on.
    #[pyo3(signature = (r#loop, /))]
    fn add(&self, r#loop: &Bound<'_, Loop>) {
        let progress = r#loop.get().progress();
        let mut loops = self.sampled();
        // Loops that are gone make room.
        loops.retain(|known| Arc::strong_count(&known.progress) > 1);
        if loops.iter().any(|known| Arc::ptr_eq(&known.progress, progress)) {
            return;
        }
        let looked = Clock::monotonic().now();
        let mut births = Births::default();
        births.look(progress.samples().created(), looked);
        let (progress, tally) = (progress.clone(), Tally::default());
        loops.push(Sampled { progress, tally, births, attached: false, looked });
    }

    /// Return all loops.
    fn loops<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, Loop>>> {
        every_loop(py)
    }

    /// Take samples of every loop that exists, or of none.
    #[pyo3(signature = (attached, /))]
    fn attach(&self, py: Python<'_>, attached: bool) -> PyResult<()> {
        let every = every_loop(py)?;
        for native in &every {
            self.add(native);
        }
        let now = Clock::monotonic().now();
        for known in self.sampled().iter_mut().filter(|known| known.attached != attached) {
            known.attached = attached;
            known.looked = now;
            known.tally = Tally::default();
        }
        for native in &every {
            native.get().set_sampled(attached);
        }
        Ok(())
    }

    /// Take samples until the descriptor `fd` can be read.
    #[pyo3(signature = (fd, /))]
    fn wait(&self, py: Python<'_>, fd: i32) -> PyResult<()> {
        py.detach(|| self.sample_until(fd)).map_err(|failure| error::from_system(py, &failure))
    }

    /// Count what the samples of `loop` show for its tasks. Call it before `rows`.
    #[pyo3(signature = (r#loop, /))]
    fn settle(&self, r#loop: &Bound<'_, Loop>) {
        let py = r#loop.py();
        let now = Clock::monotonic().now();
        let progress = r#loop.get().progress();
        let alive: Vec<_> = r#loop.get().with_tasks(py, |tasks| {
            tasks.entries(0, usize::MAX).map(|(_, number, task)| (task.as_ptr() as usize, number)).collect()
        });
        let ready = progress.samples().take_ready();
        self.with(progress, |known| {
            known.births.look(progress.samples().created(), now);
            known.tally.settle(&ready, alive.into_iter());
        });
    }

    /// Return rows about the pending tasks in at most `count` places of the registry of `loop`, from place `start` on,
    /// and whether there are more places.
    #[pyo3(signature = (r#loop, start, count, /))]
    fn rows<'py>(
        &self,
        r#loop: &Bound<'py, Loop>,
        start: usize,
        count: usize,
    ) -> PyResult<(Vec<Bound<'py, PyTuple>>, bool)> {
        let py = r#loop.py();
        let native = r#loop.get();
        let (found, more) = native.with_tasks(py, |tasks| {
            let found: Vec<_> = tasks
                .entries(start, count)
                .map(|(place, number, task)| Row { place, number, task: task.clone_ref(py) })
                .collect();
            (found, start.saturating_add(count) < tasks.places())
        });
        let current = native.with_current(py, |current| current.task.as_ref().map(Py::as_ptr));
        let (ready, due) = (native.ready_tasks(py), native.wake_times(py));
        let rows = found.into_iter().map(|row| {
            let task = row.task.bind(py);
            let waiter = task.get().task.with(py, |state| state.waiter.as_ref().map(Py::as_ptr));
            let state = match waiter {
                _ if current == Some(task.as_ptr().cast()) => intern!(py, "running"),
                Some(_) if !ready.contains(&(task.as_ptr() as usize)) => intern!(py, "waiting"),
                _ => intern!(py, "scheduled"),
            };
            let due = waiter.and_then(|waiter| due.get(&(waiter as usize)).copied());
            self.row(native, &row, state, due)
        });
        Ok((rows.collect::<PyResult<_>>()?, more))
    }

    /// Return the pending task of `loop` in this place of its registry, if it still has this number.
    #[pyo3(signature = (r#loop, place, number, /))]
    fn task<'py>(&self, r#loop: &Bound<'py, Loop>, place: usize, number: u64) -> Option<Bound<'py, Task>> {
        let py = r#loop.py();
        r#loop.get().with_tasks(py, |tasks| {
            let entry = tasks.entries(place, 1).find(|entry| entry.1 == number);
            entry.map(|(_, _, task)| task.bind(py).clone())
        })
    }

    /// Return the place and the number of a pending task, for `task`.
    #[pyo3(signature = (r#loop, task, /))]
    fn place(&self, r#loop: &Bound<'_, Loop>, task: &Bound<'_, Task>) -> Option<(usize, u64)> {
        let py = r#loop.py();
        let place = task.get().task.with(py, |state| state.place)? as usize;
        r#loop.get().with_tasks(py, |tasks| {
            let entry = tasks.entries(place, 1).find(|entry| entry.2.is(task));
            entry.map(|(place, number, _)| (place, number))
        })
    }

    /// Return what is known about `loop` itself.
    #[pyo3(signature = (r#loop, /))]
    fn numbers<'py>(&self, r#loop: &Bound<'py, Loop>) -> PyResult<Bound<'py, PyDict>> {
        let py = r#loop.py();
        let native = r#loop.get();
        let numbers = PyDict::new(py);
        let (ready, timers, descriptors) = native.queued(py);
        let pending = native.with_tasks(py, |tasks| tasks.len());
        numbers.set_item("running", native.is_running())?;
        numbers.set_item("pending", pending)?;
        numbers.set_item("created", native.progress().samples().created())?;
        numbers.set_item("ready", ready)?;
        numbers.set_item("timers", timers)?;
        numbers.set_item("descriptors", descriptors)?;
        let (time, busy) = self.with(native.progress(), |known| (known.tally.time, known.tally.busy));
        numbers.set_item("sampled", seconds_from_nanos(time))?;
        numbers.set_item("busy", seconds_from_nanos(busy))?;
        Ok(numbers)
    }
}

impl Sampler {
    fn sample_until(&self, fd: i32) -> std::io::Result<()> {
        loop {
            let attached = self.sampled().iter().any(|known| known.attached);
            if wait_readable(fd, if attached { OFTEN } else { SELDOM })? {
                return Ok(());
            }
            let now = Clock::monotonic().now();
            for known in self.sampled().iter_mut() {
                known.look(now);
            }
        }
    }

    fn row<'py>(
        &self,
        native: &Loop,
        row: &Row,
        state: &Bound<'py, PyString>,
        due: Option<Nanos>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let py = state.py();
        let now = Clock::monotonic().now();
        let task = row.task.bind(py);
        let (name, number, coroutine) = look(task, |state, fields| {
            let name = fields.name.as_ref().map(|name| name.clone_ref(py));
            (name, state.number, fields.coroutine.clone_ref(py))
        });
        let name = match name {
            Some(name) => name.into_bound(py),
            None => number.into_pyobject(py)?.into_any(),
        };
        let (polls, wakes) = task.get().task.with(py, |state| (state.polls, state.wakes));
        let (birth, spent) = self
            .with(native.progress(), |known| (known.births.of(row.number), known.tally.spent(row.number)));
        let (since, at_least) = match birth {
            Some(Birth::Until(time)) => (time, false),
            Some(Birth::Before(time)) => (time, true),
            None => (now, false),
        };
        (
            (row.place, row.number, name, name_of(coroutine.bind(py))?),
            (state, polls, wakes),
            (seconds_from_nanos(now.saturating_sub(since)), at_least),
            (seconds_from_nanos(spent.busy), seconds_from_nanos(spent.ready)),
            due.map(|due| seconds_from_nanos(due.saturating_sub(native.now(py)))),
        )
            .into_pyobject(py)
    }

    fn with<R: Default>(&self, progress: &Arc<Progress>, look: impl FnOnce(&mut Sampled) -> R) -> R {
        let mut loops = self.sampled();
        loops.iter_mut().find(|known| Arc::ptr_eq(&known.progress, progress)).map(look).unwrap_or_default()
    }

    fn sampled(&self) -> MutexGuard<'_, Vec<Sampled>> {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sampled {
    /// Takes a sample.
    fn look(&mut self, now: Nanos) {
        let samples = self.progress.samples();
        self.births.look(samples.created(), now);
        if !self.attached {
            return;
        }
        let time = now.saturating_sub(self.looked).min(LONGEST);
        self.looked = now;
        let (beat, object) = (self.progress.sample(), self.progress.shown_address());
        if beat.doing == Doing::Nothing {
            return;
        }
        self.tally.look(time, beat.is_busy(), object.map(|object| (object, samples.created())));
        if beat.is_busy() {
            samples.ask(time);
        }
    }
}

/// The name of a task's coroutine, found without calling Python code.
fn name_of<'py>(coroutine: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = coroutine.py();
    if coroutine::is_coroutine(coroutine) || coroutine.as_exactly::<Operation>().is_some() {
        return coroutine.getattr(intern!(py, "__qualname__"));
    }
    coroutine.get_type().qualname().map(Bound::into_any)
}
