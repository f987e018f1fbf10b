//! A loop that follows the journal of an earlier run (`base/journal`): it runs what ran then, in the same order.
//!
//! The loop's clock is virtual, and shows what it showed then, so the same timers are due. A timer that comes later now is due
//! when it was due then. If what ran next isn't ready, the
//! loop looks at its descriptors and at what other threads post, and asks its tester how long it may wait. It departs if that
//! doesn't come: from there on its order is asyncio's. The same holds after the end of the journal.

use std::time::Duration;

use ferrio_engine::journal::{Id, Journal, Step};
use pyo3::prelude::*;

use super::chosen::{Found, Guide};
use super::{Item, Loop};
use crate::base::ffi::Cast;
use crate::base::journal::Following;
use crate::core::operation::Operation;
use crate::core::task::Task;

/// So many items are looked at in one go.
const CHUNK: usize = 16;

/// Polls before a tester is asked, and between two questions; and the pause between two polls.
const POLLS: u32 = 500;
const PAUSE: Duration = Duration::from_micros(200);

/// What a tester learns of a departure.
const SHOWN: usize = 20;

/// What ran next in the earlier run: the number of the step; the number, name and coroutine of a task; the task itself,
/// if it is pending here; and what it waited for, or the name of anything else.
type Missing<'py> = (u64, Option<(Id, Option<String>, String)>, Option<Bound<'py, Task>>, Option<String>);

impl Loop {
    /// Follows the steps of a loop in `journal` from now on. Returns whether it has that loop.
    pub(crate) fn follow(&self, py: Python<'_>, journal: &Journal, number: u32) -> bool {
        let follows = self.owned.journal.follow(py, journal, number);
        if follows {
            self.owned.engine.with(py, |engine| engine.hold_clock(true));
        }
        follows
    }

    /// Follows a journal no longer. Returns how many steps have run as they did then.
    pub(crate) fn follow_no_longer(&self, py: Python<'_>) -> u64 {
        let ran = self.owned.journal.following(py).map_or(0, |(_, ran)| ran);
        self.owned.engine.with(py, |engine| engine.hold_clock(false));
        self.owned.journal.leave(py);
        ran
    }

    /// The place of the item that runs next according to a journal. `Ok(None)` if the order isn't that of a journal.
    pub(super) fn find_followed<'py>(
        &self,
        py: Python<'py>,
        guide: impl FnOnce() -> Option<Guide>,
    ) -> PyResult<Option<Found<'py>>> {
        if self.owned.journal.following(py).is_none_or(|(state, _)| state != Following::Still) {
            return Ok(None);
        }
        let Some((wanted, time)) = self.owned.journal.wanted(py) else {
            self.owned.engine.with(py, |engine| engine.hold_clock(false));
            return Ok(None);
        };
        self.owned.engine.with(py, |engine| {
            engine.clock.advance_to(time);
            engine.begin_turn();
        });
        if let Some(found) = self.find(py, wanted).or_else(|| self.find_by_time(py, wanted)) {
            return Ok(Some(found));
        }
        let Some((since, polls)) = self.owned.journal.misses(py) else { return Ok(None) };
        let Some(guide) = guide() else { return Ok(None) };
        if polls > 0 && polls % POLLS == 1 {
            let (seconds, watched) = (since.elapsed().as_secs_f64(), self.shared.reactor.watched());
            let calls = self.shared.background.has_calls();
            if !guide.may_come.call1(py, (seconds, watched, calls))?.is_truthy(py)? {
                return self.depart(py, wanted, &guide).map(|()| None);
            }
        }
        if polls > 0 {
            py.detach(|| std::thread::sleep(PAUSE));
        }
        Ok(Some(Found::Nothing))
    }

    fn find<'py>(&self, py: Python<'py>, wanted: Step) -> Option<Found<'py>> {
        let mut from = 0;
        loop {
            let items = self.owned.engine.with(py, |engine| {
                let items = engine.ready.iter().skip(from).take(CHUNK);
                items.map(|item| item.look(py)).collect::<Vec<_>>()
            });
            if items.is_empty() {
                return None;
            }
            for (place, item) in items.iter().enumerate() {
                let step = self.step_of(py, item.as_ref());
                if step == Some(wanted) && self.is_same(py, wanted, item.as_ref()) {
                    self.owned.journal.goes_on(py);
                    let shown = shown(py, item.as_ref());
                    if let Some(item) = item {
                        self.forget_job(py, item);
                    }
                    return Some(Found::Item(from + place, shown));
                }
                if step.is_none() {
                    return Some(Found::Item(from + place, shown(py, item.as_ref())));
                }
            }
            from += items.len();
        }
    }

    /// Finds it among the timers, and moves the clock until it is due. Its delay may be another one than before, such as
    /// a random one; the order counts.
    fn find_by_time<'py>(&self, py: Python<'py>, wanted: Step) -> Option<Found<'py>> {
        let timers = self
            .owned
            .engine
            .with(py, |engine| engine.timers.iter().map(|item| item.look(py)).collect::<Vec<_>>());
        if !timers.iter().any(|item| self.step_of(py, item.as_ref()) == Some(wanted)) {
            return None;
        }
        loop {
            self.owned.engine.with(py, |engine| {
                let deadline = engine.timers.next_deadline()?;
                engine.clock.advance_to(deadline);
                engine.begin_turn();
                Some(())
            })?;
            if let Some(found) = self.find(py, wanted) {
                return Some(found);
            }
        }
    }

    /// Whether a task runs the coroutine that it ran in the earlier run.
    fn is_same(&self, py: Python<'_>, wanted: Step, item: Option<&Item>) -> bool {
        let (Step::Actor(number), Some(Item::Step(task))) = (wanted, item) else { return true };
        let Some(actor) = self.owned.journal.actor(py, number) else { return true };
        let label = self.owned.journal.with_labels(py, |labels| Task::coroutine_label(labels, task.bind(py)));
        label == Some(actor.label)
    }

    /// The program does something else: says so, and goes on in asyncio's order.
    fn depart(&self, py: Python<'_>, wanted: Step, guide: &Guide) -> PyResult<()> {
        let missing = self.missing(py, wanted);
        self.owned.journal.departs(py);
        self.owned.engine.with(py, |engine| engine.hold_clock(false));
        let (ready, count) = self.owned.engine.with(py, |engine| {
            let shown = engine.ready.iter().take(SHOWN).map(|item| item.look(py)).collect::<Vec<_>>();
            (shown, engine.ready.len())
        });
        let ready: Vec<_> = ready.iter().map(|item| shown(py, item.as_ref())).collect();
        guide.departs.call1(py, (missing, ready, count)).map(drop)
    }

    fn missing<'py>(&self, py: Python<'py>, wanted: Step) -> Missing<'py> {
        let ran = self.owned.journal.following(py).map_or(0, |(_, ran)| ran);
        let text = |label: u32| {
            let texts = self.owned.journal.with_labels(py, |labels| labels.texts()).unwrap_or_default();
            texts.get(label as usize).cloned().unwrap_or_default()
        };
        let known = |number: Id| {
            let actor = self.owned.journal.actor(py, number);
            let (label, name) = actor.map_or((0, None), |actor| (actor.label, actor.name));
            (number, name, text(label))
        };
        let pending = |number: Id| {
            self.with_tasks(py, |tasks| {
                let mut all = tasks.entries(0, tasks.places());
                all.find(|(_, known, _)| *known == number).map(|(_, _, task)| task.bind(py).clone())
            })
        };
        match wanted {
            Step::Actor(number) => (ran, Some(known(number)), pending(number), None),
            Step::Wake(number, label) => (ran, Some(known(number)), pending(number), Some(text(label))),
            Step::Call(label) | Step::Other(label) => (ran, None, None, Some(text(label))),
            Step::Job(number) => {
                (ran, None, None, Some(format!("the result of job {number} of other threads")))
            }
            Step::Event(_) => (ran, None, None, Some("an event on a connection".to_owned())),
        }
    }
}

/// The task that goes on, or whatever runs.
fn shown<'py>(py: Python<'py>, item: Option<&Item>) -> Bound<'py, PyAny> {
    let Some(item) = item else { return py.None().into_bound(py) };
    let object = item.object(py);
    let task = object.as_exactly::<Operation>().and_then(|operation| operation.get().waiting_task(py));
    task.map_or(object, |task| task.into_bound(py).into_any())
}
