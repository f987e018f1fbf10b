//! Plain futures: their class has no methods that a program can have replaced, so Rust code may act on their state
//! directly.
//!
//! These classes are `Future`, `Task`, and a class above this layer that registers itself here. That one is a future
//! for several others, which is cancelled part by part (`task/cancel.rs`).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::PyTypeInfo;
use pyo3::prelude::*;

use super::Future;
use crate::base::ffi::{Cast, interpreter};
use crate::core::task::Task;
use crate::core::task::cancel::AskPart;

/// The address of the registered class, 0 before it has registered itself.
static COMPOUND: AtomicUsize = AtomicUsize::new(0);
/// How its objects are cancelled; set before `COMPOUND`.
static ASK_PART: OnceLock<AskPart> = OnceLock::new();

/// Makes the class `T` a plain one, whose objects `ask_part` cancels. Must be called before the first of them is
/// made.
#[inline]
pub(crate) fn register_compound<T: PyTypeInfo>(py: Python<'_>, ask_part: AskPart) {
    let class = T::type_object_raw(py) as usize;
    if COMPOUND.load(Ordering::Relaxed) != class {
        ASK_PART.get_or_init(|| ask_part);
        let before = COMPOUND.swap(class, Ordering::Release);
        assert!(before == 0 || before == class, "one class of compound futures is supported");
    }
}

/// Whether `object` is exactly one of ferrio's own futures, whose methods can't have been overridden.
#[inline]
pub(crate) fn is_plain(object: &Bound<'_, PyAny>) -> bool {
    interpreter::is_exactly::<Task>(object)
        || interpreter::is_exactly::<Future>(object)
        || is_compound(object)
}

/// `object` as one of ferrio's own futures, if its methods can't have been replaced.
#[inline]
pub(crate) fn plain<'a, 'py>(object: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, Future>> {
    if is_plain(object) { object.as_instance::<Future>() } else { None }
}

/// How to cancel `object`, if it is a plain future that combines several others.
#[inline]
pub(crate) fn ask_part_of(object: &Bound<'_, PyAny>) -> Option<AskPart> {
    if is_compound(object) { ASK_PART.get().copied() } else { None }
}

#[inline]
fn is_compound(object: &Bound<'_, PyAny>) -> bool {
    object.get_type_ptr() as usize == COMPOUND.load(Ordering::Acquire)
}
