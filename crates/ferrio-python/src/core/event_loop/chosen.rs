//! Who chooses what a loop runs next: the order of a tester (`ordered.rs` asks it), or a journal (`followed.rs`).

use ferrio_engine::order::{Key, Order};
use pyo3::prelude::*;

use crate::base::gc::gc;

/// The order of a loop.
pub(crate) struct Chosen {
    pub(crate) order: Order,
    /// Whether callbacks are varied, too.
    pub(crate) relaxed: bool,
    /// Called with what runs next (a task, a handle, or whatever waits), which one of the candidates it is, and how many
    /// there were.
    pub(crate) tell: Option<Py<PyAny>>,
    /// Chooses in place of the order: called with a pair for each candidate, its key and the task that it is or `None`;
    /// returns which one runs next.
    pub(crate) ask: Option<Py<PyAny>>,
    /// Whom to ask while the order is that of a journal.
    pub(crate) guide: Option<Guide>,
    pub(super) room: Room,
}

gc!(Chosen { tell, ask, guide } not { order, relaxed, room });

impl Chosen {
    pub(crate) fn new(order: Order, relaxed: bool, tell: Option<Py<PyAny>>) -> Self {
        Self { order, relaxed, tell, ask: None, guide: None, room: Room::default() }
    }

    /// For a journal, which knows the order.
    pub(crate) fn guided(guide: Guide, tell: Option<Py<PyAny>>) -> Self {
        Self { guide: Some(guide), ..Self::new(Order::fixed(Vec::new()), false, tell) }
    }
}

/// Room for one choice, empty between choices.
#[derive(Default)]
pub(super) struct Room {
    pub(super) keys: Vec<Key>,
    /// Where in the ready queue each key was found first.
    pub(super) places: Vec<usize>,
}

/// Whom a loop asks while it follows a journal.
pub(crate) struct Guide {
    /// Called with the seconds in which nothing has come, how many descriptors are watched, and whether threads work for
    /// the loop: whether to go on waiting.
    pub(crate) may_come: Py<PyAny>,
    /// Called when the program departs, with what would have run, and what is ready instead.
    pub(crate) departs: Py<PyAny>,
}

gc!(Guide { may_come, departs });

impl Guide {
    /// Another reference to the same functions.
    pub(super) fn duplicate(&self, py: Python<'_>) -> Self {
        Self { may_come: self.may_come.clone_ref(py), departs: self.departs.clone_ref(py) }
    }
}

/// What a loop that follows a journal runs next.
pub(super) enum Found<'py> {
    /// The item in this place, and what a tester sees of it.
    Item(usize, Bound<'py, PyAny>),
    /// It isn't ready yet.
    Nothing,
}
