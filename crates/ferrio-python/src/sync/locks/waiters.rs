//! Who waits for a lock, an event, a queue: operations in the order of their arrival.
//!
//! Every entry has a ticket, so that one in the middle is found by a binary search and leaves a hole behind: a thousand
//! waiters that are cancelled at once cost no thousand searches through the list.
//!
//! Invariants: tickets grow from front to back; the front is never a hole; a list is touched by short looks only, so
//! what is taken out is returned, for the caller to drop outside.

use std::collections::VecDeque;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::base::imports;
use crate::core::operation::{Operation, Phase, view};

/// Fewer holes than this aren't worth a compaction.
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
    /// How many entries at the front are known to wait no more (woken or cancelled, not resumed yet): nobody comes
    /// back from there, so wakers needn't look at them again.
    settled: usize,
}

impl WaitList {
    /// Appends a waiter, which counts as parked from now on, and parks right after this.
    #[inline]
    pub(crate) fn push(&mut self, py: Python<'_>, operation: Py<Operation>) -> Ticket {
        operation.get().park_in_list(py);
        self.last += 1;
        let ticket = Ticket(self.last);
        self.entries.push_back((ticket, Some(operation)));
        ticket
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

    /// The first waiter, whatever its phase.
    #[inline]
    pub(crate) fn front<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Operation>> {
        self.entries.front().and_then(|(_, operation)| operation.as_ref()).map(|front| front.bind(py).clone())
    }

    /// The first waiter that waits to be woken.
    pub(crate) fn next_parked<'py>(&mut self, py: Python<'py>) -> Option<Bound<'py, Operation>> {
        while let Some((_, entry)) = self.entries.get(self.settled) {
            let phase = entry.as_ref().map_or(Phase::Finished, |operation| operation.get().phase_in_list(py));
            match phase {
                Phase::Woken | Phase::Cancelled | Phase::Finished => self.settled += 1,
                Phase::Parked => return entry.as_ref().map(|operation| operation.bind(py).clone()),
                // On its way out of the list, in another thread.
                Phase::Fresh | Phase::Running | Phase::Between => break,
            }
        }
        None
    }

    /// Whether every waiter was cancelled (and not resumed yet); true of an empty list.
    #[inline]
    pub(crate) fn all_cancelled(&self, py: Python<'_>) -> bool {
        self.entries
            .iter()
            .filter_map(|(_, operation)| operation.as_ref())
            .all(|operation| operation.get().phase_in_list(py) == Phase::Cancelled)
    }

    /// Takes all waiters out. Who still waits is forgotten, not woken.
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

    /// The waiters, to look at without holding the list.
    pub(crate) fn duplicate(&self, py: Python<'_>) -> Vec<Py<Operation>> {
        self.entries
            .iter()
            .filter_map(|(_, operation)| operation.as_ref().map(|known| known.clone_ref(py)))
            .collect()
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.entries.iter().try_for_each(|(_, operation)| visit.call(operation))
    }
}

/// The deque that `_waiters` and the like show: a copy, of futures.
pub(crate) fn shown<'py>(py: Python<'py>, waiters: Vec<Py<Operation>>) -> PyResult<Bound<'py, PyAny>> {
    let futures: Vec<_> = waiters.iter().map(|waiter| view::shown(waiter.bind(py))).collect();
    imports::DEQUE.get(py)?.call1((futures,))
}

/// What stands for one of them there.
pub(crate) fn shown_one<'py>(waiter: &Bound<'py, Operation>) -> Bound<'py, PyAny> {
    view::shown(waiter)
}

/// Refuses what is given for `_waiters`, unless it stands for nobody: a list is made anew by whoever waits.
pub(crate) fn require_nobody(value: &Bound<'_, PyAny>) -> PyResult<()> {
    if value.is_truthy()? {
        return Err(PyTypeError::new_err("_waiters can be emptied (None), and not be set to other waiters"));
    }
    Ok(())
}
