//! Which of a queue's methods a Python subclass overrides. Only those are called through Python.

use pyo3::prelude::*;
use pyo3::types::PyType;

use super::ordered::{LifoQueue, PriorityQueue};
use super::{Order, Queue};
use crate::base::overrides::{self, Names};

const INIT: u8 = 1;
const PUT: u8 = 2;
const GET: u8 = 4;
const QSIZE: u8 = 8;
const EMPTY: u8 = 16;
const FULL: u8 = 32;
const PUT_NOWAIT: u8 = 64;
const GET_NOWAIT: u8 = 128;
const ANY: u8 = u8::MAX;

const NAMES: Names = &[
    ("_init", INIT),
    ("_put", PUT),
    ("_get", GET),
    ("qsize", QSIZE),
    ("empty", EMPTY),
    ("full", FULL),
    ("put_nowait", PUT_NOWAIT),
    ("get_nowait", GET_NOWAIT),
];

/// One bit for each method.
pub(super) struct Overrides(overrides::Overrides);

impl Overrides {
    /// What `class`, whose native base has this order, overrides.
    pub(super) fn of_class(class: &Bound<'_, PyType>, order: Order) -> PyResult<Self> {
        match order {
            Order::FirstIn => overrides::Overrides::of_class::<Queue>(class, NAMES),
            Order::LastIn => overrides::Overrides::of_class::<LifoQueue>(class, NAMES),
            Order::Lowest => overrides::Overrides::of_class::<PriorityQueue>(class, NAMES),
        }
        .map(Self)
    }

    /// Whether any method is overridden.
    #[inline]
    pub(super) fn any(&self) -> bool {
        self.0.has(ANY)
    }

    #[inline]
    pub(super) fn init(&self) -> bool {
        self.0.has(INIT)
    }

    #[inline]
    pub(super) fn put(&self) -> bool {
        self.0.has(PUT)
    }

    #[inline]
    pub(super) fn get(&self) -> bool {
        self.0.has(GET)
    }

    #[inline]
    pub(super) fn qsize(&self) -> bool {
        self.0.has(QSIZE)
    }

    #[inline]
    pub(super) fn empty(&self) -> bool {
        self.0.has(EMPTY)
    }

    #[inline]
    pub(super) fn full(&self) -> bool {
        self.0.has(FULL)
    }

    #[inline]
    pub(super) fn put_nowait(&self) -> bool {
        self.0.has(PUT_NOWAIT)
    }

    #[inline]
    pub(super) fn get_nowait(&self) -> bool {
        self.0.has(GET_NOWAIT)
    }
}
