//! Who chooses what a loop runs next: the order of a tester (`ordered.rs` asks it), or a journal (`followed.rs`).

use ferrio_engine::order::Order;
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
    /// Whom to ask while the order is that of a journal.
    pub(crate) guide: Option<Guide>,
}

gc!(Chosen { tell, guide } not { order, relaxed });

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
