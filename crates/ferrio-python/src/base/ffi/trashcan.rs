//! Long chains of objects are dropped in a loop: deallocators that call each other too deep put the next object aside.
//!
//! CPython does this for its own containers and for classes written in Python ("trashcan"); PyO3's deallocators don't. A
//! future whose result is a future whose result is a future... would otherwise overflow the C stack.
//!
//! Invariant: an object that was put aside has no reference, is hidden from the collector, and is deallocated by this thread
//! before its outermost deallocator returns.

use std::cell::{Cell, RefCell};

use pyo3::ffi;

/// How deep deallocators may call each other; CPython's own limit.
const DEEPEST: u32 = 50;

/// The deallocators of one thread.
struct Nesting {
    /// How many run inside each other.
    depth: Cell<u32>,
    /// Whether they have put anything aside.
    aside: Cell<bool>,
}

thread_local! {
    // Apart from what they put aside: without a destructor it is cheap to reach.
    static NESTING: Nesting = const { Nesting { depth: Cell::new(0), aside: Cell::new(false) } };
    static ASIDE: RefCell<Vec<(*mut ffi::PyObject, ffi::destructor)>> = const { RefCell::new(Vec::new()) };
}

/// Calls `deallocate(object)`, now or when the deallocators further up the stack are done.
///
/// # Safety
/// As for a call of the deallocator: attached, and `object` has no reference. It must be a direct instance of a class that
/// the collector knows, not of a subclass, whose own deallocator isn't finished with it.
#[inline]
pub(super) unsafe fn deallocate(object: *mut ffi::PyObject, deallocate: ffi::destructor) {
    NESTING.with(|nesting| {
        let depth = nesting.depth.get();
        // SAFETY: by the contract.
        if depth >= DEEPEST && unsafe { put_aside(object, deallocate) } {
            nesting.aside.set(true);
            return;
        }
        nesting.depth.set(depth + 1);
        // SAFETY: by the contract.
        unsafe { deallocate(object) };
        if depth == 0 && nesting.aside.get() {
            empty(nesting);
        }
        nesting.depth.set(depth);
    });
}

/// Keeps an object for later. Returns `false` at the very end of a thread, which has dropped the place for that.
///
/// # Safety
/// As for `deallocate`.
#[cold]
unsafe fn put_aside(object: *mut ffi::PyObject, deallocate: ffi::destructor) -> bool {
    ASIDE
        .try_with(|aside| {
            // SAFETY: attached, and the object is whole until its deallocator is called.
            unsafe { ffi::PyObject_GC_UnTrack(object.cast()) };
            aside.borrow_mut().push((object, deallocate));
        })
        .is_ok()
}

/// Deallocates what was put aside, and what is put aside meanwhile.
#[cold]
fn empty(nesting: &Nesting) {
    while let Ok(Some((object, deallocate))) = ASIDE.try_with(|aside| aside.borrow_mut().pop()) {
        // SAFETY: attached still, as the outermost deallocator is. The object has no reference and was put aside once. Its
        // deallocator and finalizer want it as it was, known to the collector.
        unsafe {
            ffi::PyObject_GC_Track(object.cast());
            deallocate(object);
        }
    }
    nesting.aside.set(false);
}
