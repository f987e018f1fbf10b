//! What a queue does without waiting: `put_nowait`, `get_nowait`, `shutdown`; and the fast path of `put` and `get`.
//!
//! A plain queue does each in one look at its state. Other queues call method after method, inside the gate.
use pyo3::prelude::*;

use super::Queue;
use super::store::{self, Store};
use crate::base::ffi::raise::raise;
use crate::base::imports;
use crate::base::room::Room;
use crate::core::operation;
use crate::sync::locks::event;

/// `queue.put_nowait(item)`, if no subclass overrides it.
#[inline]
pub(super) fn put_nowait(slf: &Bound<'_, Queue>, item: Bound<'_, PyAny>) -> PyResult<()> {
    let py = slf.py();
    if !slf.get().is_plain() {
        return put_by_methods(slf, item);
    }
    match try_put(slf, item) {
        Ok(()) => Ok(()),
        Err((Refusal::ShutDown, _)) => Err(shut_down(py)),
        Err((Refusal::NotNow, _)) => Err(refusal(py, &imports::QUEUE_FULL)),
        Err((Refusal::Failed(failure), _)) => Err(failure),
        Err((Refusal::Shown, item)) => put_by_methods(slf, item),
    }
}

/// The same, one method after the other.
pub(super) fn put_by_methods(slf: &Bound<'_, Queue>, item: Bound<'_, PyAny>) -> PyResult<()> {
    let py = slf.py();
    let queue = slf.get();
    let _inside = queue.gate.enter(py);
    if queue.state.with(py, |state| state.shut_down) {
        return Err(shut_down(py));
    }
    let full = if queue.overrides.full() {
        slf.call_method0(intern!(py, "full"))?.is_truthy()?
    } else {
        queue.is_full(slf)?
    };
    if full {
        return Err(refusal(py, &imports::QUEUE_FULL));
    }
    if queue.overrides.put() {
        slf.call_method1(intern!(py, "_put"), (item,))?;
    } else {
        store::add(slf, queue.order, item)?;
    }
    queue.state.with(py, |state| state.count_in());
    wake_getter(slf)
}

/// `queue.get_nowait()`, if no subclass overrides it.
#[inline]
pub(super) fn get_nowait<'py>(slf: &Bound<'py, Queue>) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    if !slf.get().is_plain() {
        return get_by_methods(slf);
    }
    match try_get(slf) {
        Ok(item) => Ok(item),
        Err(Refusal::ShutDown) => Err(shut_down(py)),
        Err(Refusal::NotNow) => Err(refusal(py, &imports::QUEUE_EMPTY)),
        Err(Refusal::Failed(failure)) => Err(failure),
        Err(Refusal::Shown) => get_by_methods(slf),
    }
}

/// The same, one method after the other.
pub(super) fn get_by_methods<'py>(slf: &Bound<'py, Queue>) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    let queue = slf.get();
    let _inside = queue.gate.enter(py);
    if is_empty(slf)? {
        if queue.state.with(py, |state| state.shut_down) {
            return Err(shut_down(py));
        }
        return Err(refusal(py, &imports::QUEUE_EMPTY));
    }
    let item = take(slf)?;
    wake_putter(slf)?;
    Ok(item)
}

/// `empty()`, or the method of a subclass.
pub(super) fn is_empty(slf: &Bound<'_, Queue>) -> PyResult<bool> {
    if slf.get().overrides.empty() {
        return slf.call_method0(intern!(slf.py(), "empty"))?.is_truthy();
    }
    store::is_empty(slf)
}

/// `_get()`, or the method of a subclass.
pub(super) fn take<'py>(slf: &Bound<'py, Queue>) -> PyResult<Bound<'py, PyAny>> {
    if slf.get().overrides.get() {
        return slf.call_method0(intern!(slf.py(), "_get"));
    }
    store::take(slf, slf.get().order)
}

/// Wakes the first waiter of `get()`.
#[inline]
pub(super) fn wake_getter(slf: &Bound<'_, Queue>) -> PyResult<()> {
    let py = slf.py();
    while let Some(getter) = slf.get().state.with(py, |state| state.getters.pop_front()) {
        if operation::wake(getter.bind(py))? {
            break;
        }
    }
    Ok(())
}

/// Wakes the first waiter of `put()`.
#[inline]
pub(super) fn wake_putter(slf: &Bound<'_, Queue>) -> PyResult<()> {
    let py = slf.py();
    while let Some(putter) = slf.get().state.with(py, |state| state.putters.pop_front()) {
        if operation::wake(putter.bind(py))? {
            break;
        }
    }
    Ok(())
}

pub(super) fn shutdown(slf: &Bound<'_, Queue>, immediate: bool) -> PyResult<()> {
    let py = slf.py();
    let queue = slf.get();
    let _inside = queue.gate.enter(py);
    queue.state.with(py, |state| state.shut_down = true);
    if immediate {
        while !is_empty(slf)? {
            drop(take(slf)?);
            queue.state.with(py, |state| state.unfinished = (state.unfinished - 1).max(0));
        }
        let finished =
            queue.state.with(py, |state| if state.unfinished == 0 { state.all_done(py) } else { None });
        if let Some(finished) = finished {
            event::wake_all(&finished)?;
        }
    }
    // All waiters try again, and find the queue shut down.
    while let Some(getter) = queue.state.with(py, |state| state.getters.pop_front()) {
        operation::wake(getter.bind(py))?;
    }
    while let Some(putter) = queue.state.with(py, |state| state.putters.pop_front()) {
        operation::wake(putter.bind(py))?;
    }
    Ok(())
}

/// Why the fast path failed.
pub(super) enum Refusal {
    /// The queue is full, or empty.
    NotNow,
    ShutDown,
    /// The items live in a Python object.
    Shown,
    /// The item is in or out, but the waiter can't be woken: its loop is closed.
    Failed(PyErr),
}

/// Puts an item into a plain queue without a method call; otherwise gives it back.
#[inline]
pub(super) fn try_put<'py>(
    slf: &Bound<'py, Queue>,
    item: Bound<'py, PyAny>,
) -> Result<(), (Refusal, Bound<'py, PyAny>)> {
    let py = slf.py();
    let mut item = Some(item.unbind());
    let outcome = slf.get().state.with(py, |state| {
        if state.shut_down {
            return Err(Refusal::ShutDown);
        }
        let Store::Native(items) = &mut state.store else { return Err(Refusal::Shown) };
        if state.limit > 0 && i64::try_from(items.len()).is_ok_and(|items| items >= state.limit) {
            return Err(Refusal::NotNow);
        }
        items.make_room(1).map_err(Refusal::Failed)?;
        items.extend(item.take());
        state.count_in();
        Ok(state.getters.pop_front())
    });
    match (outcome, item) {
        (Err(refusal), Some(item)) => Err((refusal, item.into_bound(py))),
        (Ok(Some(getter)), _) => {
            let woken = operation::wake(getter.bind(py))
                .and_then(|woken| if woken { Ok(()) } else { wake_getter(slf) });
            woken.map_err(|failure| (Refusal::Failed(failure), py.None().into_bound(py)))
        }
        _ => Ok(()),
    }
}

/// Takes an item out of a plain queue without a method call.
#[inline]
pub(super) fn try_get<'py>(slf: &Bound<'py, Queue>) -> Result<Bound<'py, PyAny>, Refusal> {
    let py = slf.py();
    let (item, putter) = slf.get().state.with(py, |state| {
        let Store::Native(items) = &mut state.store else { return Err(Refusal::Shown) };
        match items.pop_front() {
            Some(item) => Ok((item, state.putters.pop_front())),
            None if state.shut_down => Err(Refusal::ShutDown),
            None => Err(Refusal::NotNow),
        }
    })?;
    if let Some(putter) = putter {
        let woken =
            operation::wake(putter.bind(py)).and_then(|woken| if woken { Ok(()) } else { wake_putter(slf) });
        woken.map_err(Refusal::Failed)?;
    }
    Ok(item.into_bound(py))
}

/// `QueueShutDown()`.
#[cold]
pub(super) fn shut_down(py: Python<'_>) -> PyErr {
    refusal(py, &imports::QUEUE_SHUT_DOWN)
}

#[cold]
pub(super) fn refusal(py: Python<'_>, class: &imports::Import) -> PyErr {
    match class.get(py).and_then(|class| class.call0()) {
        Ok(exception) => raise(exception),
        Err(failure) => failure,
    }
}
