//! What a loop notes in its journal (`base/journal`): what runs, in which order, and what it was told.
//!
//! An item is known by what is the same in each run of a program: the number of its task or job, or the name of a callback. What
//! has no effect isn't noted, such as a cancelled handle: whether it still lies somewhere depends on time.
//!
//! Besides the order, a program depends on answers: whether data is there, or whether something else is ready. They are noted
//! where the loop asks for them.

use std::time::Duration;

use ferrio_engine::journal::{Id, Step};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString};

use super::{Item, Loop, descriptors, modes};
use crate::base::ffi::task_fields::look;
use crate::base::ffi::{Cast, callee};
use crate::base::imports;
use crate::base::journal::Session;
use crate::base::recording::Named;
use crate::core::future::Future;
use crate::core::handle::Handle;
use crate::core::operation::Operation;
use crate::core::task::Task;
use crate::core::task::wakeup::Wakeup;

/// The modes in which a loop has a journal.
const WITH_JOURNAL: u8 = modes::JOURNALED | modes::ORDERED;

/// How long an attempt that succeeded in an earlier run is repeated, and the pause between two.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_micros(200);

impl Loop {
    /// A new loop: has a journal if there is a session.
    pub(super) fn begin_journal(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(session) = Session::current() {
            // It matters whether `asyncio.sleep` is ours.
            let installed = imports::IS_INSTALLED.get(py)?.call0()?.is_truthy()?;
            self.owned.journal.write_to(py, session, u64::from(installed));
            self.set_mode(modes::JOURNALED, true);
        }
        Ok(())
    }

    /// The end of the loop or of the session.
    pub(crate) fn end_journal(&self, py: Python<'_>) {
        if self.has_mode(modes::JOURNALED) {
            self.set_mode(modes::JOURNALED, false);
            self.owned.journal.leave(py);
        }
    }

    /// Notes the time of what runs next.
    #[cold]
    pub(super) fn note_time(&self, py: Python<'_>) {
        let now = self.owned.engine.with(py, |engine| engine.clock.now());
        self.owned.journal.time_is(py, now);
    }

    /// The loop is about to sleep.
    pub(super) fn write_old_journal(&self, py: Python<'_>) {
        if self.has_mode(modes::JOURNALED) {
            self.owned.journal.write_old(py);
        }
    }

    /// Notes an item that is about to run.
    pub(super) fn note_item(&self, py: Python<'_>, item: &Item) {
        if !self.has_mode(modes::JOURNALED) {
            return;
        }
        if let Some(step) = self.step_of(py, Some(item)) {
            self.owned.journal.ran(py, step);
        }
        self.forget_job(py, item);
    }

    /// Notes an event that is handled at once, on a descriptor of this watcher.
    pub(super) fn note_event(&self, py: Python<'_>, watcher: Id) {
        if self.has_mode(modes::JOURNALED) {
            self.note_time(py);
            self.owned.journal.ran(py, Step::Event(watcher));
        }
    }

    /// Notes the end of an operation's wait for a descriptor.
    pub(super) fn note_wake(&self, operation: &Bound<'_, Operation>) {
        let py = operation.py();
        if self.has_mode(modes::JOURNALED) && operation.get().is_parked(py) {
            self.note_time(py);
            self.owned.journal.ran(py, self.step_of_operation(operation));
        }
    }

    /// Notes a new task, or the new name of one.
    pub(crate) fn note_made(&self, task: &Bound<'_, Task>) {
        let py = task.py();
        if !self.has_mode(modes::JOURNALED) {
            return;
        }
        let Some(number) = self.number_of(task) else { return };
        let Some(label) = self.owned.journal.with_labels(py, |labels| Task::coroutine_label(labels, task))
        else {
            return;
        };
        let name = look(task, |_, fields| fields.name.as_ref().map(|name| name.clone_ref(py)));
        let name = name.map(|name| name.into_bound(py));
        // A default name may be a number.
        let text = name.filter(|name| !name.is_exact_instance_of::<PyInt>());
        let text = text.and_then(|name| name.cast_into::<PyString>().ok());
        let text = text.as_ref().map(|name| name.to_string_lossy());
        self.owned.journal.made(py, number, label, text.as_deref());
    }

    /// A job was handed out for which `waiter` waits. Its end is noted by number.
    pub(crate) fn note_job(&self, waiter: &Bound<'_, PyAny>) {
        if self.has_mode(WITH_JOURNAL) {
            self.owned.journal.job_begins(waiter);
        }
    }

    /// Forgets the job whose end an item tells.
    pub(super) fn forget_job(&self, py: Python<'_>, item: &Item) {
        if let Item::Watch(waiter, ..) = item {
            self.owned.journal.job_ends(waiter.bind(py));
        }
    }

    /// Whether something else is ready, and running something at once would change the order.
    pub(crate) fn is_busy(&self, py: Python<'_>) -> bool {
        let busy = self.has_company(py);
        if self.has_mode(WITH_JOURNAL) { self.owned.journal.answer(py, busy) } else { busy }
    }

    /// Tries something on a descriptor: `attempt` returns `None` if it would block. A loop that follows an earlier run
    /// gets what it got then: nothing, or what has to come.
    #[inline]
    pub(crate) fn try_on<R>(
        &self,
        py: Python<'_>,
        mut attempt: impl FnMut() -> PyResult<Option<R>>,
    ) -> PyResult<Option<R>> {
        if !self.has_mode(WITH_JOURNAL) {
            return attempt();
        }
        match self.owned.journal.earlier_answer(py) {
            None => {
                let outcome = attempt();
                self.owned.journal.answer(py, !matches!(outcome, Ok(None)));
                outcome
            }
            Some(false) => Ok(None),
            Some(true) => {
                let began = std::time::Instant::now();
                loop {
                    let outcome = attempt()?;
                    if outcome.is_some() || began.elapsed() > PATIENCE {
                        return Ok(outcome);
                    }
                    py.detach(|| std::thread::sleep(PAUSE));
                }
            }
        }
    }

    /// What `item`, or the call of an extension, is named in a journal; `None` if it has no effect.
    pub(super) fn step_of(&self, py: Python<'_>, item: Option<&Item>) -> Option<Step> {
        let Some(item) = item else {
            return Some(Step::Other(self.owned.journal.label(py, &Named::Text("extension"))));
        };
        Some(match item {
            Item::Step(task) => self.step_of_task(task.bind(py)),
            Item::Handle(handle) => {
                let handle = handle.bind(py).get();
                if handle.cancelled(py) {
                    return None;
                }
                let callback = handle._callback(py)?.into_bound(py);
                match callback.as_exactly::<Wakeup>().and_then(|wakeup| wakeup.get().task(py)) {
                    // A future that isn't ferrio's wakes a task by a callback.
                    Some(task) => self.step_of_task(task.bind(py)),
                    None => self.step_of_call(handle, &callback),
                }
            }
            Item::Wake(operation) => self.step_of_parked(operation.bind(py))?,
            Item::Alarm(sleeper) => self.step_of_parked(self.sleeper(py, *sleeper)?.bind(py))?,
            Item::Watch(watcher, ..) | Item::Done(watcher, ..) => {
                let watcher = watcher.bind(py);
                if let Some(job) = self.owned.journal.job_of(watcher) {
                    Step::Job(job)
                } else if let Some(operation) = watcher.as_exactly::<Operation>() {
                    self.step_of_operation(operation)
                } else {
                    Step::Other(self.owned.journal.label(py, &Named::Callable(watcher)))
                }
            }
            Item::Event(event) => Step::Event(self.watcher_number(py, descriptors::descriptor_of(event))?),
            Item::Foreign(_) => return self.step_of(py, None),
        })
    }

    /// A callback that ends a future is known by the task that waits for it, too: `loop.call_later(1, future.set_result, 5)`.
    fn step_of_call(&self, handle: &Handle, callback: &Bound<'_, PyAny>) -> Step {
        let py = callback.py();
        let label = self.owned.journal.label(py, &Named::callable(callback));
        let task = |object: Bound<'_, PyAny>| object.as_instance::<Future>()?.get().waiting_task(py);
        let waiting =
            callee::bound_to(callback).and_then(task).or_else(|| handle.first_argument(py).and_then(task));
        match waiting.and_then(|task| self.number_of(task.bind(py))) {
            Some(number) => Step::Wake(number, label),
            None => Step::Call(label),
        }
    }

    fn step_of_task(&self, task: &Bound<'_, Task>) -> Step {
        match self.number_of(task) {
            Some(number) => Step::Actor(number),
            None => Step::Other(self.owned.journal.label(task.py(), &Named::Text("task"))),
        }
    }

    fn step_of_parked(&self, operation: &Bound<'_, Operation>) -> Option<Step> {
        operation.get().is_parked(operation.py()).then(|| self.step_of_operation(operation))
    }

    fn step_of_operation(&self, operation: &Bound<'_, Operation>) -> Step {
        let py = operation.py();
        let label = self.owned.journal.label(py, &Named::Text(operation.get().name()));
        let task = operation.get().waiting_task(py);
        match task.and_then(|task| self.number_of(task.bind(py))) {
            Some(number) => Step::Wake(number, label),
            None => Step::Other(label),
        }
    }

    /// A number that no other task of the loop has, now or later.
    pub(super) fn number_of(&self, task: &Bound<'_, Task>) -> Option<u64> {
        let py = task.py();
        let place = task.get().task.with(py, |state| state.place)?;
        self.with_tasks(py, |tasks| tasks.number(place))
    }
}
