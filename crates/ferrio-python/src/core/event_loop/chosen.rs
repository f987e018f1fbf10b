//! Who chooses what a loop runs next: the order of a tester (`ordered.rs` asks it).

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
}

gc!(Chosen { tell } not { order, relaxed });
