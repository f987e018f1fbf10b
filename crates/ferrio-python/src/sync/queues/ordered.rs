//! `PriorityQueue` and `LifoQueue`: queues whose next item is the lowest, or the newest.
//!
//! Both keep their items in a list, which `_queue` shows. The heap is the standard library's `heapq`, so equal items come
//! out in the same order as in asyncio.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::Queue;
use super::store::{self, Order};
use crate::base::class::{Class, Standard};
use crate::base::ffi::trashcan::chained;
use crate::base::functions::Functions;

/// A queue that returns the lowest item first; items are typically tuples `(priority, data)`.
///
/// Everything else is as in `Queue`. Meaning and methods are those of `asyncio.PriorityQueue`.
#[pyclass(extends = Queue, subclass, frozen, module = "ferrio")]
pub(crate) struct PriorityQueue;

impl Class for PriorityQueue {
    const BELOW: Option<Standard> = Some(("asyncio.queues", "PriorityQueue"));
    const SHORT_NAME: bool = true;
}

impl Functions for PriorityQueue {}

#[pymethods]
impl PriorityQueue {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(maxsize=0)")]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        Ok(Queue::without_items(class, Order::Lowest)?.add_subclass(Self))
    }

    /// Makes the empty `_queue`.
    fn _init(slf: &Bound<'_, Self>, maxsize: &Bound<'_, PyAny>) {
        let _ = maxsize;
        store::clear(slf.as_super());
    }

    /// Takes the lowest item out of `_queue`.
    fn _get<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        store::take(slf.as_super(), Order::Lowest)
    }

    /// Puts an item into `_queue`.
    fn _put(slf: &Bound<'_, Self>, item: Bound<'_, PyAny>) -> PyResult<()> {
        store::add(slf.as_super(), Order::Lowest, item)
    }
}

/// A queue that returns the newest item first.
///
/// Everything else is as in `Queue`. Meaning and methods are those of `asyncio.LifoQueue`.
#[pyclass(extends = Queue, subclass, frozen, module = "ferrio")]
pub(crate) struct LifoQueue;

chained!(LifoQueue, PriorityQueue);

impl Class for LifoQueue {
    const BELOW: Option<Standard> = Some(("asyncio.queues", "LifoQueue"));
    const SHORT_NAME: bool = true;
}

impl Functions for LifoQueue {}

#[pymethods]
impl LifoQueue {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(maxsize=0)")]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        Ok(Queue::without_items(class, Order::LastIn)?.add_subclass(Self))
    }

    /// Makes the empty `_queue`.
    fn _init(slf: &Bound<'_, Self>, maxsize: &Bound<'_, PyAny>) {
        let _ = maxsize;
        store::clear(slf.as_super());
    }

    /// Takes the last item out of `_queue`.
    fn _get<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        store::take(slf.as_super(), Order::LastIn)
    }

    /// Puts an item into `_queue`.
    fn _put(slf: &Bound<'_, Self>, item: Bound<'_, PyAny>) -> PyResult<()> {
        store::add(slf.as_super(), Order::LastIn, item)
    }
}
