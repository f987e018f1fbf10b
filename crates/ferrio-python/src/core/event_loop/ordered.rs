//! A loop that runs what is ready in an order that a tester chooses (`ferrio_engine::order`).
//!
//! Such a loop runs one item a turn, so each choice has all that is ready by then. What asyncio documents keeps its order:
//! callbacks run as they were scheduled. What it leaves open is varied: which task goes on first, and when results of threads
//! and events of descriptors are handled in between.
//!
//! Invariant: keys are made of numbers that are the same in each run of a program, never of addresses.

use std::thread;
use std::time::{Duration, Instant};

use ferrio_engine::order::{CANDIDATES, Choice, Key};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;

use super::chosen::{Chosen, Found, Room};
use super::{Item, Loop, modes};
use crate::base::ffi::Cast;
use crate::core::handle::Handle;
use crate::core::operation::Operation;
use crate::core::task::Task;
use crate::core::task::wakeup::Wakeup;

// Keys: classes of items that keep their order, then descriptors and tasks.
const CALLBACKS: Key = 0;
const RESULTS: Key = 1;
const OTHERS: Key = 2;
const DESCRIPTORS: Key = 1 << 62;
const TASKS: Key = 1 << 61;
const RELAXED: Key = 1 << 60;

/// How long a call in a thread may take before the loop goes on without its result, and how long the loop sleeps before it
/// looks for the first time.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_micros(10);

/// What is ready, as far as its key is concerned.
enum Ready {
    Task(Py<Task>),
    Operation(Py<Operation>),
    Handle(Py<Handle>),
    Keyed(Key),
}

impl Loop {
    /// From the next turn on, `chosen` says what runs; `None` ends that. Returns what said it before.
    ///
    /// What was queued by then runs one item a turn as before, so that its events don't come twice.
    pub(crate) fn set_order(&self, py: Python<'_>, chosen: Option<Chosen>) -> Option<Chosen> {
        let on = chosen.is_some() || !self.owned.engine.with(py, |engine| engine.is_idle());
        let old = self.owned.chosen.with(py, |place| std::mem::replace(place, chosen));
        self.set_mode(modes::ORDERED, on);
        old
    }

    /// What was chosen until now, and where a choice wasn't possible.
    pub(crate) fn choices(&self, py: Python<'_>) -> Option<(Vec<Choice>, Option<usize>)> {
        self.owned.chosen.with(py, |chosen| {
            chosen.as_ref().map(|chosen| (chosen.order.choices().to_vec(), chosen.order.departed()))
        })
    }

    /// Takes the item that is to run next.
    pub(super) fn pop_chosen(native: &Bound<'_, Self>) -> PyResult<Option<Item>> {
        let (py, this) = (native.py(), native.get());
        let guide = || this.of_chosen(py, |chosen| chosen.guide.as_ref().map(|guide| guide.duplicate(py)));
        match this.find_followed(py, guide)? {
            Some(Found::Nothing) => Ok(None),
            Some(Found::Item(place, shown)) => {
                if let Some(tell) =
                    this.of_chosen(py, |chosen| chosen.tell.as_ref().map(|tell| tell.clone_ref(py)))
                {
                    tell.call1(py, (shown, 0, 1))?;
                }
                Ok(this.owned.engine.with(py, |engine| engine.ready.take(place)))
            }
            None => this.choose(py),
        }
    }

    /// Queues what an event causes. A loop in a tester's order polls before each item, so the same event may come again.
    #[inline]
    pub(super) fn queue_event(&self, py: Python<'_>, item: Item) -> PyResult<()> {
        if self.has_mode(modes::ORDERED) && self.is_queued(py, &item) {
            item.release(py);
            return Ok(());
        }
        self.push_here(py, item)
    }

    #[cold]
    fn is_queued(&self, py: Python<'_>, item: &Item) -> bool {
        self.owned.engine.with(py, |engine| {
            engine.ready.iter().any(|queued| match (queued, item) {
                (Item::Event(queued), Item::Event(event)) => queued.token == event.token,
                (Item::Handle(queued), Item::Handle(handle)) => queued.is(handle),
                (Item::Watch(queued, ..), Item::Watch(owner, ..)) => queued.is(owner),
                _ => false,
            })
        })
    }

    /// Gives a call to a thread by `submit`. In a tester's order it lets the thread finish the call, so that results come in
    /// the order of the calls. A call that waits for the loop doesn't end; then the loop goes on after a while.
    #[inline]
    pub(crate) fn give_to_thread(
        &self,
        py: Python<'_>,
        submit: impl FnOnce() -> PyResult<()>,
    ) -> PyResult<()> {
        if self.has_mode(modes::ORDERED)
            && self.runs_here()
            && self
                .owned
                .chosen
                .with(py, |chosen| chosen.as_ref().is_some_and(|chosen| chosen.guide.is_none()))
        {
            return self.give_and_wait(py, submit);
        }
        submit()
    }

    #[cold]
    fn give_and_wait(&self, py: Python<'_>, submit: impl FnOnce() -> PyResult<()>) -> PyResult<()> {
        self.owned.engine.with(py, |engine| engine.take_posts());
        submit()?;
        let threads = self.owned.executors.with(py, |executors| executors.threads.clone());
        let inbox = &self.shared.inbox;
        py.detach(|| {
            if let Some(threads) = threads {
                threads.let_go();
            }
            let began = Instant::now();
            let mut pause = PAUSE;
            while !inbox.has_items() && began.elapsed() < PATIENCE {
                thread::sleep(pause);
                pause = (2 * pause).min(100 * PAUSE);
            }
        });
        self.owned.engine.with(py, |engine| engine.take_posts());
        Ok(())
    }

    /// Copies a part of what says what runs.
    fn of_chosen<T>(&self, py: Python<'_>, copy: impl FnOnce(&Chosen) -> Option<T>) -> Option<T> {
        self.owned.chosen.with(py, |chosen| chosen.as_ref().and_then(copy))
    }

    fn choose(&self, py: Python<'_>) -> PyResult<Option<Item>> {
        let Some((relaxed, tell, ask, mut room)) = self.owned.chosen.with(py, |chosen| {
            chosen.as_mut().map(|chosen| {
                let tell = chosen.tell.as_ref().map(|tell| tell.clone_ref(py));
                let ask = chosen.ask.as_ref().map(|ask| ask.clone_ref(py));
                (chosen.relaxed, tell, ask, std::mem::take(&mut chosen.room))
            })
        }) else {
            return Ok(self.owned.engine.with(py, |engine| engine.pop()));
        };
        let ready = self.owned.engine.with(py, |engine| {
            engine.ready.iter().take(4 * CANDIDATES).map(|item| Ready::of(py, item)).collect::<Vec<_>>()
        });
        if ready.is_empty() || (ready.len() == 1 && tell.is_none() && ask.is_none()) {
            self.give_back_room(py, room);
            return Ok(self.owned.engine.with(py, |engine| engine.pop()));
        }
        for (place, ready) in ready.into_iter().enumerate() {
            let key = self.key_of(py, ready, place, relaxed);
            if !room.keys.contains(&key) && room.keys.len() < CANDIDATES {
                room.keys.push(key);
                room.places.push(place);
            }
        }
        let of = room.keys.len();
        let at = match ask {
            Some(ask) => self.ask(py, &ask, &room)?,
            None => self
                .owned
                .chosen
                .with(py, |chosen| chosen.as_mut().map_or(0, |it| it.order.choose(&room.keys))),
        };
        let place = room.places[at];
        self.give_back_room(py, room);
        if let Some(tell) = tell {
            // Before it is taken, so that an error loses nothing.
            let ready = self.owned.engine.with(py, |engine| {
                engine.ready.iter().nth(place).map(|item| (Ready::of(py, item), item.object(py).unbind()))
            });
            let shown = ready.map(|(ready, object)| match ready.into_task(py) {
                Ok(task) => task.into_any(),
                Err(_) => object,
            });
            tell.call1(py, (shown, at, of))?;
        }
        Ok(self.owned.engine.with(py, |engine| engine.ready.take(place)))
    }

    /// Lets Python choose, and notes it.
    #[cold]
    fn ask(&self, py: Python<'_>, ask: &Py<PyAny>, room: &Room) -> PyResult<usize> {
        let of = room.keys.len();
        let candidates: Vec<_> = room
            .keys
            .iter()
            .zip(&room.places)
            .map(|(key, place)| {
                let ready = self
                    .owned
                    .engine
                    .with(py, |engine| engine.ready.iter().nth(*place).map(|item| Ready::of(py, item)));
                (*key, ready.and_then(|ready| ready.into_task(py).ok()))
            })
            .collect();
        let at: usize = ask.call1(py, (candidates,))?.extract(py)?;
        if at >= of {
            return Err(PyIndexError::new_err(format!("{at} was chosen of {of}")));
        }
        self.owned.chosen.with(py, |chosen| {
            if let Some(chosen) = chosen {
                chosen.order.note(at, of);
            }
        });
        Ok(at)
    }

    /// Keeps the room for the next choice.
    fn give_back_room(&self, py: Python<'_>, mut room: Room) {
        room.keys.clear();
        room.places.clear();
        self.owned.chosen.with(py, |chosen| {
            if let Some(chosen) = chosen {
                chosen.room = room;
            }
        });
    }

    fn key_of(&self, py: Python<'_>, ready: Ready, place: usize, relaxed: bool) -> Key {
        match ready.into_task(py) {
            Ok(task) => {
                let key = self.key_of_task(py, &task);
                task.drop_ref(py);
                key
            }
            Err(Some(key)) => key,
            Err(None) if relaxed => RELAXED | place as Key,
            Err(None) => CALLBACKS,
        }
    }

    /// A number that no other task of the loop has, now or later.
    fn key_of_task(&self, py: Python<'_>, task: &Py<Task>) -> Key {
        self.number_of(task.bind(py)).map_or(OTHERS, |number| TASKS | number)
    }
}

impl Ready {
    fn of(py: Python<'_>, item: &Item) -> Self {
        match item {
            Item::Step(task) => Self::Task(task.clone_ref(py)),
            Item::Wake(operation) => Self::Operation(operation.clone_ref(py)),
            Item::Handle(handle) => Self::Handle(handle.clone_ref(py)),
            Item::Watch(..) => Self::Keyed(RESULTS),
            Item::Event(event) => Self::Keyed(DESCRIPTORS | event.token as Key),
            Item::Done(..) => Self::Keyed(CALLBACKS),
            Item::Alarm(_) | Item::Foreign(_) => Self::Keyed(OTHERS),
        }
    }

    /// The task that goes on, if it is one; or the key, unless it is a callback.
    fn into_task(self, py: Python<'_>) -> Result<Py<Task>, Option<Key>> {
        match self {
            Self::Task(task) => Ok(task),
            Self::Operation(operation) => operation
                .bind(py)
                .get()
                .state
                .with(py, |state| state.task.as_ref().map(|task| task.clone_ref(py)))
                .ok_or(None),
            // A future that isn't ferrio's wakes a task by a callback.
            Self::Handle(handle) => {
                let callback = handle.bind(py).get()._callback(py).ok_or(None)?.into_bound(py);
                callback.as_exactly::<Wakeup>().and_then(|wakeup| wakeup.get().task(py)).ok_or(None)
            }
            Self::Keyed(key) => Err(Some(key)),
        }
    }
}
