//! How the garbage collector finds Python references.
//!
//! Everything that may hold one implements `Traverse`. `gc!` writes the implementation from a list of all fields. So
//! a new field doesn't compile until somebody decides whether it is visited. `collected!` gives a class
//! `__traverse__` and, from a list of what is cleared, `__clear__`.
//!
//! Invariant: an object that isn't written yet has nothing to visit. CPython 3.11 may run the collector while it
//! makes an instance's dictionary, when the rest of the object is zeroed memory. A `Guarded` field knows that (see
//! `ffi/lock.rs`). So `collected!` asks one first, in a class whose instances have a dictionary.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::ffi::{Exclusive, StateCell};

/// The result of a traversal: an error ends it, and belongs to the collector.
pub(crate) type Visited = Result<(), PyTraverseError>;

/// A value that may hold Python references.
pub(crate) trait Traverse {
    /// Visits each of them.
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited;
}

impl<T> Traverse for Py<T> {
    #[inline]
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        visit.call(self)
    }
}

impl<T: Traverse + ?Sized> Traverse for &T {
    #[inline]
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        (**self).traverse(visit)
    }
}

impl<T: Traverse + ?Sized> Traverse for Box<T> {
    #[inline]
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        (**self).traverse(visit)
    }
}

impl<T: Traverse> Traverse for Option<T> {
    #[inline]
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        self.as_ref().map_or(Ok(()), |value| value.traverse(visit))
    }
}

impl<T: Traverse> Traverse for [T] {
    #[inline]
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        self.iter().try_for_each(|value| value.traverse(visit))
    }
}

impl<T: Traverse, const N: usize> Traverse for [T; N] {
    #[inline]
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        self.as_slice().traverse(visit)
    }
}

impl<T: Traverse> Traverse for Vec<T> {
    #[inline]
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        self.as_slice().traverse(visit)
    }
}

impl<T: Traverse> Traverse for VecDeque<T> {
    #[inline]
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        self.iter().try_for_each(|value| value.traverse(visit))
    }
}

/// Visits the values; our keys aren't objects.
impl<K, V: Traverse, S> Traverse for HashMap<K, V, S> {
    #[inline]
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        self.values().try_for_each(|value| value.traverse(visit))
    }
}

/// Visits the values; our keys aren't objects.
impl<K, V: Traverse> Traverse for BTreeMap<K, V> {
    #[inline]
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        self.values().try_for_each(|value| value.traverse(visit))
    }
}

/// Threads and jobs share it. Only its last owner visits its content, so that no reference is counted twice.
impl<T: Traverse> Traverse for Arc<T> {
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        if Arc::strong_count(self) == 1 { (**self).traverse(visit) } else { Ok(()) }
    }
}

impl<A: Traverse, B: Traverse> Traverse for (A, B) {
    #[inline]
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        self.0.traverse(visit)?;
        self.1.traverse(visit)
    }
}

impl<A: Traverse, B: Traverse, C: Traverse> Traverse for (A, B, C) {
    #[inline]
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        self.0.traverse(visit)?;
        self.1.traverse(visit)?;
        self.2.traverse(visit)
    }
}

impl<T: Traverse, const DEPTH: u8> Traverse for StateCell<T, DEPTH> {
    #[inline]
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        self.visit(visit, |value| value.traverse(visit))
    }
}

impl<T: Traverse> Traverse for Exclusive<T> {
    #[inline]
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        self.visit(visit, |value| value.traverse(visit))
    }
}

/// `Traverse` for a struct: `gc!(Parts { visited, fields } not { other, fields })`, or for an enum: `gc!(match Stage
/// { Self::Fresh => (), Self::Waiting(future, _) => (future) })`.
macro_rules! gc {
    (match $type:ty { $($pattern:pat => ($($shown:ident),*)),+ $(,)? }) => {
        impl $crate::base::gc::Traverse for $type {
            #[allow(unused_variables, reason = "a type may hold no reference at present")]
            fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> $crate::base::gc::Visited {
                match self {
                    $($pattern => { $($crate::base::gc::Traverse::traverse($shown, visit)?;)* })+
                }
                Ok(())
            }
        }
    };
    ($type:ty { $($shown:ident),* $(,)? } $(not { $($other:ident),* $(,)? })?) => {
        impl $crate::base::gc::Traverse for $type {
            #[allow(unused_variables, reason = "a type may hold no reference at present")]
            fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> $crate::base::gc::Visited {
                let Self { $($shown,)* $($($other: _,)*)? } = self;
                $($crate::base::gc::Traverse::traverse($shown, visit)?;)*
                Ok(())
            }
        }
    };
}
pub(crate) use gc;

/// `__traverse__` for a class, which visits the fields of a `gc!` list: `collected!(Class { visited } not { others
/// })`.
///
/// `written by field` names the `Guarded` field that knows whether the object has been written, in a class whose
/// instances have a dictionary. `clear { field { a, b } }` makes a `__clear__` that takes `a` and `b` out of the
/// `Guarded` field, and drops them when nothing is borrowed; `clear { field }` takes everything. `clear_by method`
/// calls a method.
macro_rules! collected {
    ($class:ident { $($shown:ident),* $(,)? } $(not { $($other:ident),* $(,)? })? $(, $($rest:tt)*)?) => {
        $crate::base::gc::gc!($class { $($shown),* } $(not { $($other),* })?);
        $crate::base::gc::collected!($class $(, $($rest)*)?);
    };
    (
        $class:ident
        $(, written by $guard:ident)?
        $(, clear_by $method:ident)?
        $(, clear { $($cell:ident $({ $($part:ident),+ $(,)? })?),+ $(,)? })?
    ) => {
        #[pyo3::pymethods]
        impl $class {
            fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
                $(if !self.$guard.is_idle() {
                    return Ok(());
                })?
                $crate::base::gc::Traverse::traverse(self, &visit)
            }

            $(fn __clear__(&self, py: pyo3::Python<'_>) {
                self.$method(py);
            })?

            $(fn __clear__(&self, py: pyo3::Python<'_>) {
                $($crate::base::gc::taken!(self, py, $cell $({ $($part),+ })?);)+
            })?
        }
    };
}
pub(crate) use collected;

/// Takes a cell's content, or the named parts of it, and drops it after leaving the cell.
macro_rules! taken {
    ($object:expr, $py:expr, $cell:ident) => {
        let taken = $object.$cell.with($py, std::mem::take);
        drop(taken);
    };
    ($object:expr, $py:expr, $cell:ident { $($part:ident),+ }) => {
        let taken = $object.$cell.with($py, |cell| ($(std::mem::take(&mut cell.$part),)+));
        drop(taken);
    };
}
pub(crate) use taken;
