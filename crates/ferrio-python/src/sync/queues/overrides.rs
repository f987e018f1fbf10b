//! Which of a queue's methods a Python subclass overrides. Only those are called through Python.

use pyo3::prelude::*;
use pyo3::types::PyType;

use super::ordered::{LifoQueue, PriorityQueue};
use super::{Order, Queue};

const NAMES: [&str; 8] = ["_init", "_put", "_get", "qsize", "empty", "full", "put_nowait", "get_nowait"];

/// One bit a method, in the order of `NAMES`.
#[derive(Clone, Copy)]
pub(super) struct Overrides(u8);

impl Overrides {
    /// What `class`, whose native base has this order, overrides.
    pub(super) fn of_class(class: &Bound<'_, PyType>, order: Order) -> PyResult<Self> {
        let py = class.py();
        let ours = match order {
            Order::FirstIn => py.get_type::<Queue>(),
            Order::LastIn => py.get_type::<LifoQueue>(),
            Order::Lowest => py.get_type::<PriorityQueue>(),
        };
        if class.is(&ours) {
            return Ok(Self(0));
        }
        let mut bits = 0;
        for (place, name) in NAMES.into_iter().enumerate() {
            if !class.getattr(name)?.is(&ours.getattr(name)?) {
                bits |= 1 << place;
            }
        }
        Ok(Self(bits))
    }

    /// Whether any method is overridden.
    #[inline]
    pub(super) fn any(self) -> bool {
        self.0 != 0
    }

    pub(super) fn init(self) -> bool {
        self.has(0)
    }

    pub(super) fn put(self) -> bool {
        self.has(1)
    }

    pub(super) fn get(self) -> bool {
        self.has(2)
    }

    pub(super) fn qsize(self) -> bool {
        self.has(3)
    }

    pub(super) fn empty(self) -> bool {
        self.has(4)
    }

    pub(super) fn full(self) -> bool {
        self.has(5)
    }

    pub(super) fn put_nowait(self) -> bool {
        self.has(6)
    }

    pub(super) fn get_nowait(self) -> bool {
        self.has(7)
    }

    #[inline]
    fn has(self, place: u8) -> bool {
        self.0 & (1 << place) != 0
    }
}
