//! The waiters of a lock, an event, a queue: operations in the order of their arrival.
//!
//! Each entry has a ticket. An entry in the middle is found by binary search and leaves a hole behind. So cancelling
//! a thousand waiters at once doesn't search the list a thousand times.
//!
//! Invariants: tickets grow from front to back, and the front is never a hole. A list is only touched in short looks, so
//! what is removed is returned for the caller to drop outside.

use std::collections::VecDeque;

use pyo3::PyVisit;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::base::gc::{Traverse, Visited};
use crate::base::imports;
use crate::base::room::Room;
use crate::core::operation::{Operation, Phase, view};

/// The list is only compacted when it has more holes than this.
const FEW_HOLES: usize = 32;

/// The place of one waiter in its list; `Ticket::NONE` is nobody's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

impl Ticket {
    pub(crate) const NONE: Self = Self(0);
}

/// Operations in the order of their arrival.
#[derive(Default)]
pub(crate) struct WaitList {
    entries: VecDeque<(Ticket, Option<Py<Operation>>)>,
    /// The ticket given last.
    last: u64,
    /// How many entries are empty.
    holes: usize,
    /// How many entries at the front no longer wait (they were woken or cancelled and not resumed yet). They never wait
    /// again, so wakers skip them.
    settled: usize,
}

impl Traverse for WaitList {
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        self.entries.iter().try_for_each(|(_, operation)| operation.traverse(visit))
    }
}

impl WaitList {
    /// Appends a waiter and marks it as parked; it must park right after this. Raises `MemoryError`.
    #[inline]
    pub(crate) fn push(&mut self, py: Python<'_>, operation: Py<Operation>) -> PyResult<Ticket> {
        self.entries.make_room(1)?;
        operation.get().park(py);
        self.last += 1;
        let ticket = Ticket(self.last);
        self.entries.push_back((ticket, Some(operation)));
        Ok(ticket)
    }

    /// Takes out the waiter with this ticket, if it is still there.
    #[inline]
    #[must_use = "to be dropped outside the look"]
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<Py<Operation>> {
        match self.entries.front() {
            Some((front, _)) if *front == ticket => self.pop_front(),
            _ => self.remove_inside(ticket),
        }
    }

    fn remove_inside(&mut self, ticket: Ticket) -> Option<Py<Operation>> {
        let index = self.entries.binary_search_by_key(&ticket, |(known, _)| *known).ok()?;
        let removed = self.entries[index].1.take()?;
        if index + 1 == self.entries.len() {
            self.entries.pop_back();
            self.settled = self.settled.min(self.entries.len());
            return Some(removed);
        }
        self.holes += 1;
        if self.holes > FEW_HOLES && self.holes > self.entries.len() / 2 {
            self.entries.retain(|(_, operation)| operation.is_some());
            self.holes = 0;
            self.settled = 0;
        }
        Some(removed)
    }

    /// Takes out the first waiter.
    #[inline]
    #[must_use = "to be dropped outside the look"]
    pub(crate) fn pop_front(&mut self) -> Option<Py<Operation>> {
        let (_, front) = self.entries.pop_front()?;
        self.settled = self.settled.saturating_sub(1);
        while self.holes > 0 && self.entries.front().is_some_and(|(_, operation)| operation.is_none()) {
            self.entries.pop_front();
            self.holes -= 1;
            self.settled = self.settled.saturating_sub(1);
        }
        front
    }

    /// The first waiter, in any phase.
    #[inline]
    pub(crate) fn front<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Operation>> {
        self.entries.front().and_then(|(_, operation)| operation.as_ref()).map(|front| front.bind(py).clone())
    }

    /// The first waiter that waits to be woken.
    #[inline]
    pub(crate) fn next_parked<'py>(&mut self, py: Python<'py>) -> Option<Bound<'py, Operation>> {
        while let Some((_, entry)) = self.entries.get(self.settled) {
            let phase = entry.as_ref().map_or(Phase::Finished, |operation| operation.get().phase(py));
            match phase {
                Phase::Woken | Phase::Cancelled | Phase::Finished => self.settled += 1,
                Phase::Parked => return entry.as_ref().map(|operation| operation.bind(py).clone()),
                // Another thread is removing it from the list.
                Phase::Fresh | Phase::Running | Phase::Between => break,
            }
        }
        None
    }

    /// Whether every waiter was cancelled and not resumed yet; true for an empty list.
    #[inline]
    pub(crate) fn all_cancelled(&self, py: Python<'_>) -> bool {
        self.entries
            .iter()
            .filter_map(|(_, operation)| operation.as_ref())
            .all(|operation| operation.get().phase(py) == Phase::Cancelled)
    }

    /// Takes all waiters out. Those that still wait are forgotten, not woken.
    #[must_use = "to be dropped outside the look"]
    pub(crate) fn clear(&mut self) -> VecDeque<(Ticket, Option<Py<Operation>>)> {
        (self.holes, self.settled) = (0, 0);
        std::mem::take(&mut self.entries)
    }

    /// How many wait.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.holes
    }

    /// A copy of the list, to use outside the look.
    pub(crate) fn duplicate(&self, py: Python<'_>) -> Vec<Py<Operation>> {
        self.entries
            .iter()
            .filter_map(|(_, operation)| operation.as_ref().map(|known| known.clone_ref(py)))
            .collect()
    }
}

/// The deque of futures that `_waiters` and the like show; a copy.
pub(crate) fn shown<'py>(py: Python<'py>, waiters: Vec<Py<Operation>>) -> PyResult<Bound<'py, PyAny>> {
    let futures: Vec<_> = waiters.iter().map(|waiter| view::shown(waiter.bind(py))).collect();
    imports::DEQUE.get(py)?.call1((futures,))
}

/// The future that stands for one waiter there.
pub(crate) fn shown_one<'py>(waiter: &Bound<'py, Operation>) -> Bound<'py, PyAny> {
    view::shown(waiter)
}

/// A class with a list of waiters, which `show_waiters!` shows as the attribute `_waiters`.
pub(super) trait HasWaiters {
    /// Looks at the list.
    fn with_waiters<R>(&self, py: Python<'_>, look: impl FnOnce(&mut WaitList) -> R) -> R;

    /// Replaces the list. Only an empty one is accepted: waiters make their own.
    fn replace_waiters(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if value.is_truthy()? {
            return Err(PyTypeError::new_err("_waiters can be emptied (None), but not set to other waiters"));
        }
        drop(self.with_waiters(value.py(), WaitList::clear));
        Ok(())
    }
}

/// Gives a class the attribute `_waiters`.
macro_rules! show_waiters {
    ($class:ident) => {
        #[pymethods]
        impl $class {
            /// The waiters in order: a copy of the list.
            #[getter]
            fn _waiters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                $crate::sync::locks::waiters::shown(
                    py,
                    self.with_waiters(py, |waiters| waiters.duplicate(py)),
                )
            }

            #[setter(_waiters)]
            fn set_waiters(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
                self.replace_waiters(value)
            }
        }
    };
}
pub(super) use show_waiters;
