//! The operations behind `get`, `put` and `join`.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::Queue;
use super::nowait::{self, Refusal, try_get, try_put};
use crate::base::gc::gc;
use crate::core::operation::run::{Progress, Resume, Run};
use crate::core::operation::{Operation, Phase};
use crate::sync::locks::waiters::Ticket;
use crate::sync::locks::{bound, event};

/// `queue.get()`.
pub(crate) struct Get {
    queue: Py<Queue>,
    ticket: Ticket,
}

gc!(Get { queue } not { ticket });

impl Get {
    #[inline]
    pub(super) fn new(queue: &Bound<'_, Queue>) -> Self {
        Self { queue: queue.clone().unbind(), ticket: Ticket::NONE }
    }

    /// Leaves the list of waiters, and passes on a wake-up that it can't use.
    #[cold]
    fn give_up(&self, this: &Bound<'_, Operation>) -> PyResult<()> {
        let py = this.py();
        let queue = self.queue.bind(py);
        let gone = queue.get().state.with(py, |state| state.getters.remove(self.ticket));
        drop(gone);
        if this.get().resumed_from(py) == Phase::Woken && !nowait::is_empty(queue)? {
            nowait::wake_getter(queue)?;
        }
        Ok(())
    }

    /// The next item of a queue that overrides methods, or `None` if there is none yet.
    fn by_methods<'py>(queue: &Bound<'py, Queue>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = queue.py();
        let state = queue.get();
        let _inside = state.gate.enter(py);
        if nowait::is_empty(queue)? {
            if state.state.with(py, |state| state.shut_down) {
                return Err(nowait::shut_down(py));
            }
            return Ok(None);
        }
        if state.overrides.get_nowait() {
            return queue.call_method0(intern!(py, "get_nowait")).map(Some);
        }
        nowait::get_by_methods(queue).map(Some)
    }
}

impl Run for Get {
    #[inline]
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        if let Resume::Throw(exception) = resume {
            self.give_up(this)?;
            return Err(PyErr::from_value(exception));
        }
        let queue = self.queue.bind(py);
        loop {
            let found = if queue.get().is_plain() { try_get(queue) } else { Err(Refusal::Shown) };
            match found {
                Err(Refusal::Shown) => {
                    // Nobody else puts an item in before we have joined the waiters.
                    let _inside = queue.get().gate.enter(py);
                    if let Some(item) = Self::by_methods(queue)? {
                        return Ok(Progress::Ready(item));
                    }
                    bound::require_loop(queue.as_super())?;
                    let waiter = this.clone().unbind();
                    self.ticket = queue.get().state.with(py, |state| state.getters.push(py, waiter))?;
                    return Ok(Progress::Park);
                }
                Err(Refusal::NotNow) => {}
                Err(Refusal::ShutDown) => return Err(nowait::shut_down(py)),
                Err(Refusal::Failed(failure)) => return Err(failure),
                Ok(item) => return Ok(Progress::Ready(item)),
            }
            bound::require_loop(queue.as_super())?;
            let waiter = this.clone().unbind();
            let unneeded = queue.get().state.with(py, |state| {
                if !state.nothing_to_get() {
                    return Ok(Some(waiter));
                }
                self.ticket = state.getters.push(py, waiter)?;
                PyResult::Ok(None)
            })?;
            if unneeded.is_none() {
                return Ok(Progress::Park);
            }
            // Another thread has put something in.
        }
    }

    fn name(&self) -> &'static str {
        "Queue.get"
    }

    #[inline]
    fn discard(self, py: Python<'_>) {
        self.queue.drop_ref(py);
    }
}

/// `queue.put(item)`.
pub(crate) struct Put {
    queue: Py<Queue>,
    /// `None` after it has been put in.
    item: Option<Py<PyAny>>,
    ticket: Ticket,
}

gc!(Put { queue, item } not { ticket });

impl Put {
    #[inline]
    pub(super) fn new(queue: &Bound<'_, Queue>, item: Py<PyAny>) -> Self {
        Self { queue: queue.clone().unbind(), item: Some(item), ticket: Ticket::NONE }
    }

    /// Leaves the list of waiters, and passes on a wake-up that it can't use.
    #[cold]
    fn give_up(&self, this: &Bound<'_, Operation>) -> PyResult<()> {
        let py = this.py();
        let queue = self.queue.bind(py);
        let gone = queue.get().state.with(py, |state| state.putters.remove(self.ticket));
        drop(gone);
        if this.get().resumed_from(py) == Phase::Woken && !Self::is_full(queue)? {
            nowait::wake_putter(queue)?;
        }
        Ok(())
    }

    fn is_full(queue: &Bound<'_, Queue>) -> PyResult<bool> {
        if queue.get().overrides.full() {
            return queue.call_method0(intern!(queue.py(), "full"))?.is_truthy();
        }
        queue.get().is_full(queue)
    }

    /// Puts the item into a queue that overrides methods. `Err` gives it back if there is no place yet.
    fn by_methods<'py>(
        queue: &Bound<'py, Queue>,
        item: Bound<'py, PyAny>,
    ) -> PyResult<Result<Bound<'py, PyAny>, Bound<'py, PyAny>>> {
        let py = queue.py();
        let state = queue.get();
        let _inside = state.gate.enter(py);
        if Self::is_full(queue)? {
            if state.state.with(py, |state| state.shut_down) {
                return Err(nowait::shut_down(py));
            }
            return Ok(Err(item));
        }
        if state.overrides.put_nowait() {
            return queue.call_method1(intern!(py, "put_nowait"), (item,)).map(Ok);
        }
        nowait::put_by_methods(queue, item)?;
        Ok(Ok(py.None().into_bound(py)))
    }
}

impl Run for Put {
    #[inline]
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        if let Resume::Throw(exception) = resume {
            self.give_up(this)?;
            return Err(PyErr::from_value(exception));
        }
        let queue = self.queue.bind(py);
        let Some(item) = self.item.take() else {
            return Err(PyRuntimeError::new_err(
                "Queue.put() was resumed after the garbage collector cleared it",
            ));
        };
        let mut item = item.into_bound(py);
        loop {
            let refused =
                if queue.get().is_plain() { try_put(queue, item) } else { Err((Refusal::Shown, item)) };
            item = match refused {
                Ok(()) => return Ok(Progress::Ready(py.None().into_bound(py))),
                Err((Refusal::Shown, item)) => {
                    // Nobody else takes an item out before we have joined the waiters.
                    let _inside = queue.get().gate.enter(py);
                    let item = match Self::by_methods(queue, item)? {
                        Ok(value) => return Ok(Progress::Ready(value)),
                        Err(item) => item,
                    };
                    self.item = Some(item.unbind());
                    bound::require_loop(queue.as_super())?;
                    let waiter = this.clone().unbind();
                    self.ticket = queue.get().state.with(py, |state| state.putters.push(py, waiter))?;
                    return Ok(Progress::Park);
                }
                Err((Refusal::NotNow, item)) => item,
                Err((Refusal::ShutDown, _)) => return Err(nowait::shut_down(py)),
                Err((Refusal::Failed(failure), _)) => return Err(failure),
            };
            bound::require_loop(queue.as_super())?;
            let waiter = this.clone().unbind();
            let unneeded = queue.get().state.with(py, |state| {
                if !state.nowhere_to_put() {
                    return Ok(Some(waiter));
                }
                self.ticket = state.putters.push(py, waiter)?;
                PyResult::Ok(None)
            })?;
            if unneeded.is_none() {
                self.item = Some(item.unbind());
                return Ok(Progress::Park);
            }
            // Another thread has taken something out.
        }
    }

    fn name(&self) -> &'static str {
        "Queue.put"
    }

    #[inline]
    fn discard(self, py: Python<'_>) {
        self.queue.drop_ref(py);
        if let Some(item) = self.item {
            item.drop_ref(py);
        }
    }
}

/// `queue.join()`.
pub(crate) struct Join {
    queue: Py<Queue>,
    /// The wait for the event, if there is something to wait for.
    wait: Option<event::Wait>,
}

gc!(Join { queue, wait });

impl Join {
    pub(super) fn new(queue: &Bound<'_, Queue>) -> Self {
        Self { queue: queue.clone().unbind(), wait: None }
    }
}

impl Run for Join {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        if self.wait.is_none() {
            let queue = self.queue.bind(py).get();
            if queue.state.with(py, |state| state.unfinished) <= 0 {
                return Ok(Progress::Ready(py.None().into_bound(py)));
            }
            self.wait = Some(event::Wait::new(&queue.finished(py)?));
        }
        let Some(wait) = &mut self.wait else { return Ok(Progress::Ready(py.None().into_bound(py))) };
        match wait.resume(this, resume)? {
            Progress::Ready(_) => Ok(Progress::Ready(py.None().into_bound(py))),
            other => Ok(other),
        }
    }

    fn name(&self) -> &'static str {
        "Queue.join"
    }

    fn inner_names(&self) -> &'static [&'static str] {
        &["Event.wait"]
    }
}
