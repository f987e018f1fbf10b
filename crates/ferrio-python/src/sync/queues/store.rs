//! The items of a queue.
//!
//! A plain first-in-first-out queue hides them from Python until somebody asks for `_queue`. From then on they live
//! in a `collections.deque`, as in asyncio. The other orders use a list from the beginning.

use std::collections::VecDeque;

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::Queue;
use crate::base::ffi::Cast;
use crate::base::gc::gc;
use crate::base::imports;
use crate::base::room::Room;

/// Which item comes out next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    FirstIn,
    LastIn,
    Lowest,
}

/// Where the items are.
pub(super) enum Store {
    /// Here, the next one in front.
    Native(VecDeque<Py<PyAny>>),
    /// In the object that `_queue` shows.
    Shown(Py<PyAny>),
}

gc!(match Store {
    Self::Native(items) => (items),
    Self::Shown(shown) => (shown),
});

impl Default for Store {
    fn default() -> Self {
        Self::Native(VecDeque::new())
    }
}

impl Store {}

/// Starts without items.
pub(super) fn clear(slf: &Bound<'_, Queue>) {
    let py = slf.py();
    let queue = slf.get();
    let empty = match queue.order {
        Order::FirstIn => Store::default(),
        Order::LastIn | Order::Lowest => Store::Shown(PyList::empty(py).into_any().unbind()),
    };
    let old = queue.state.with(py, |state| std::mem::replace(&mut state.store, empty));
    drop(old);
}

/// How many items there are.
#[inline]
pub(super) fn len(slf: &Bound<'_, Queue>) -> PyResult<usize> {
    match native_len(slf) {
        Ok(items) => Ok(items),
        Err(shown) => shown.len(),
    }
}

/// Whether there are none.
#[inline]
pub(super) fn is_empty(slf: &Bound<'_, Queue>) -> PyResult<bool> {
    match native_len(slf) {
        Ok(items) => Ok(items == 0),
        Err(shown) => Ok(!shown.is_truthy()?),
    }
}

/// How many items are here, or the object that has them.
#[inline]
fn native_len<'py>(slf: &Bound<'py, Queue>) -> Result<usize, Bound<'py, PyAny>> {
    let py = slf.py();
    slf.get().state.with(py, |state| match &state.store {
        Store::Native(items) => Ok(items.len()),
        Store::Shown(shown) => Err(shown.bind(py).clone()),
    })
}

/// Puts an item in, in the given order.
pub(super) fn add<'py>(slf: &Bound<'py, Queue>, order: Order, item: Bound<'py, PyAny>) -> PyResult<()> {
    let py = slf.py();
    let shown = match order {
        Order::FirstIn => {
            let entry = item.clone().unbind();
            let refused = slf.get().state.with(py, |state| match &mut state.store {
                Store::Native(items) => {
                    items.make_room(1)?;
                    items.push_back(entry);
                    PyResult::Ok(None)
                }
                Store::Shown(shown) => Ok(Some((shown.bind(py).clone(), entry))),
            })?;
            match refused {
                None => return Ok(()),
                Some((shown, _)) => shown,
            }
        }
        Order::LastIn | Order::Lowest => self::shown(slf)?,
    };
    match order {
        Order::Lowest => imports::HEAPPUSH.get(py)?.call1((shown, item)).map(drop),
        Order::FirstIn | Order::LastIn => match shown.as_exactly::<PyList>() {
            Some(list) => list.append(item),
            None => shown.call_method1(intern!(py, "append"), (item,)).map(drop),
        },
    }
}

/// Takes the next item out, in the given order. Raises what an empty `_queue` raises.
pub(super) fn take<'py>(slf: &Bound<'py, Queue>, order: Order) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    let shown = match order {
        Order::FirstIn => {
            let taken = slf.get().state.with(py, |state| match &mut state.store {
                Store::Native(items) => Ok(items.pop_front()),
                Store::Shown(shown) => Err(shown.bind(py).clone()),
            });
            match taken {
                Ok(Some(item)) => return Ok(item.into_bound(py)),
                Ok(None) => return Err(PyIndexError::new_err("pop from an empty deque")),
                Err(shown) => shown,
            }
        }
        Order::LastIn | Order::Lowest => self::shown(slf)?,
    };
    match order {
        Order::FirstIn => shown.call_method0(intern!(py, "popleft")),
        Order::LastIn => shown.call_method0(intern!(py, "pop")),
        Order::Lowest => imports::HEAPPOP.get(py)?.call1((shown,)),
    }
}

/// The object that `_queue` shows; the items live in it from now on.
pub(super) fn shown<'py>(slf: &Bound<'py, Queue>) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    if let Err(shown) = native_len(slf) {
        return Ok(shown);
    }
    // Made before the items are moved, because making it may run Python code that comes back here.
    let deque = imports::DEQUE.get(py)?.call0()?;
    let moved = slf.get().state.with(py, |state| match &mut state.store {
        Store::Native(items) => {
            let items = std::mem::take(items);
            state.store = Store::Shown(deque.clone().unbind());
            Ok(items)
        }
        Store::Shown(shown) => Err(shown.bind(py).clone()),
    });
    match moved {
        Ok(items) => {
            for item in items {
                deque.call_method1(intern!(py, "append"), (item,))?;
            }
            Ok(deque)
        }
        Err(shown) => Ok(shown),
    }
}
