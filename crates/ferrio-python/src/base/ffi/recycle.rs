//! Reuses the memory of classes whose instances come and go by the million.
//!
//! `install::<T>()` sets `tp_alloc` and `tp_free` of a class: blocks of dropped direct instances are kept in a short
//! list, which the GIL guards. Python subclasses have their own slots and aren't affected. A block that went through
//! a finalizer of the collector isn't kept, because CPython's mark "finalized" would stay with the next object in it.
//!
//! Without a GIL nothing is kept here, because the allocator of a free-threaded build has a list for each thread.

use std::cell::UnsafeCell;
use std::mem::{self, ManuallyDrop};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::{PyClass, PyClassInitializer, PyTypeInfo};

use super::protect::protected;
use super::room::HandleRoom;

/// How many blocks a class keeps.
const KEPT: usize = 512;

/// The blocks that one class keeps.
pub(crate) struct Blocks {
    /// The class, after `install` has run: a class derived from it in Rust inherits its slots, but not its size.
    class: AtomicPtr<ffi::PyTypeObject>,
    /// The offset of the Rust value in a block; 0 until [`make`] has seen an instance.
    value: AtomicUsize,
    list: UnsafeCell<Vec<*mut ffi::PyObject>>,
    /// The general deallocator, after `install_end` has run.
    general_end: AtomicPtr<()>,
}

// SAFETY: only used by `tp_alloc` and `tp_free`, which CPython calls with the GIL held; both are straight-line code
// that can't be interrupted by another use. Without a GIL, `install` doesn't set them.
unsafe impl Sync for Blocks {}

impl Blocks {
    /// No blocks yet.
    pub(crate) const fn new() -> Self {
        Self {
            class: AtomicPtr::new(ptr::null_mut()),
            value: AtomicUsize::new(0),
            list: UnsafeCell::new(Vec::new()),
            general_end: AtomicPtr::new(ptr::null_mut()),
        }
    }
}

/// A class whose memory is reused.
pub(crate) trait Recycle: PyClass {
    /// The list of its blocks. `recycled!` writes it.
    const BLOCKS: &'static Blocks;
}

unsafe extern "C" fn tp_alloc<T: Recycle>(
    class: *mut ffi::PyTypeObject,
    items: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: attached (CPython's call); the list is ours alone during `pop`. A block in it was an instance of
    // exactly this class (see `tp_free`), so its size is right. PyObject_Init gives it a type and one reference as
    // PyType_GenericAlloc would, and PyO3 writes every field before anything can read it. On 3.11 the collector can
    // (see `cell::Use`), and on a Python with assertions GC_Track does. They find zeroes there, `tp_basicsize` bytes
    // long, as in new memory.
    unsafe {
        let blocks = T::BLOCKS;
        if class == blocks.class.load(Ordering::Relaxed)
            && let Some(block) = (*blocks.list.get()).pop()
        {
            #[cfg(any(not(Py_3_12), py_sys_config = "Py_DEBUG"))]
            {
                let head = size_of::<ffi::PyObject>();
                let size = usize::try_from((*class).tp_basicsize).expect("a class has a size");
                ptr::write_bytes(block.cast::<u8>().add(head), 0, size - head);
            }
            track_memory(block, class);
            ffi::PyObject_Init(block, class);
            ffi::PyObject_GC_Track(block.cast());
            return block;
        }
        ffi::PyType_GenericAlloc(class, items)
    }
}

/// Tells tracemalloc, if it traces, that the block's memory is handed out here and now: warnings use that to show
/// where an object was made.
///
/// # Safety
/// `block` must have been allocated for an instance of `class`, whose instances have the collector's head and no
/// other.
#[inline]
unsafe fn track_memory(block: *mut ffi::PyObject, class: *mut ffi::PyTypeObject) {
    // What the collector keeps before an object: two words in every version with a GIL.
    const HEAD: usize = 2 * size_of::<usize>();
    // SAFETY: CPython's own (`cpython/tracemalloc.h`), exported by every version; PyO3 doesn't declare it.
    unsafe extern "C" {
        fn PyTraceMalloc_Track(domain: std::ffi::c_uint, address: usize, size: usize) -> std::ffi::c_int;
    }
    // SAFETY: by the contract; it only records an address and a size, and does nothing unless somebody traces.
    unsafe {
        let size = usize::try_from((*class).tp_basicsize).unwrap_or(0) + HEAD;
        PyTraceMalloc_Track(0, block.addr() - HEAD, size);
    }
}

unsafe extern "C" fn tp_free<T: Recycle>(block: *mut std::ffi::c_void) {
    // SAFETY: attached; the object is dead and untracked, its type field is still valid.
    unsafe {
        let class = ffi::Py_TYPE(block.cast());
        if class == T::BLOCKS.class.load(Ordering::Relaxed) {
            keep::<T>(block.cast(), class);
        } else {
            ffi::PyObject_GC_Del(block);
        }
    }
}

/// Keeps the memory of a dead object, if there is a place for it.
///
/// # Safety
/// As for `tp_free`, with an instance of exactly `class`, which must be the one that keeps its blocks here.
#[inline(always)]
unsafe fn keep<T: Recycle>(object: *mut ffi::PyObject, class: *mut ffi::PyTypeObject) {
    // SAFETY: by the contract; the list is ours alone for the length of `push`.
    unsafe {
        let list = &mut *T::BLOCKS.list.get();
        if list.len() < KEPT && ((*class).tp_finalize.is_none() || ffi::PyObject_GC_IsFinalized(object) == 0)
        {
            list.push(object);
        } else {
            ffi::PyObject_GC_Del(object.cast());
        }
    }
}

/// A base class whose part of an instance has nothing that the next owner of the memory would have to clear.
///
/// # Safety
/// If `is_bare` returns true, the base's part of the object must be the same as in a new one.
pub(crate) unsafe trait BeginsBare {
    /// Whether the base's part of a dropped object is fit for the next owner.
    ///
    /// # Safety
    /// `object` must begin with an instance of the base class, which nobody else uses.
    unsafe fn is_bare(object: *mut ffi::PyObject) -> bool;
}

// SAFETY: `object` has no fields.
unsafe impl BeginsBare for PyAny {
    unsafe fn is_bare(_object: *mut ffi::PyObject) -> bool {
        true
    }
}

// SAFETY: an empty room is like a new one.
unsafe impl BeginsBare for HandleRoom {
    #[inline]
    unsafe fn is_bare(object: *mut ffi::PyObject) -> bool {
        // SAFETY: by the contract.
        unsafe { Self::is_empty(object) }
    }
}

/// A new instance of exactly `T` that holds `value`, as from `Bound::new`. In a reused block only the value is
/// written, because `object.__new__` would have nothing to do.
#[inline(always)]
#[allow(clippy::inline_always, reason = "the value is built in place; a call would copy it")]
pub(crate) fn make<T>(py: Python<'_>, value: T) -> PyResult<Bound<'_, T>>
where
    T: Recycle + PyClass<Frozen = True, BaseType: BeginsBare> + Sync + Into<PyClassInitializer<T>>,
{
    let blocks = T::BLOCKS;
    let offset = blocks.value.load(Ordering::Relaxed);
    // SAFETY: attached, and the list is ours alone during `pop`: it is empty without a GIL. A block in it was an
    // instance of exactly this class, and the value of every instance is `offset` bytes from its start. In a frozen
    // class PyO3 also keeps the list of weak references and the dictionary. PyO3's deallocator leaves both null, and
    // ours only accepts instances that have neither. The block's last owner emptied the room before them (see
    // `room`). The value is written before the collector can see the object.
    unsafe {
        if offset != 0
            && let Some(block) = (*blocks.list.get()).pop()
        {
            let class = blocks.class.load(Ordering::Relaxed);
            ptr::write(block.cast::<u8>().add(offset).cast::<T>(), value);
            track_memory(block, class);
            ffi::PyObject_Init(block, class);
            ffi::PyObject_GC_Track(block.cast());
            return Ok(Bound::from_owned_ptr(py, block).cast_into_unchecked());
        }
    }
    let made = Bound::new(py, value)?;
    let offset = ptr::from_ref(made.get()).addr() - made.as_ptr().addr();
    blocks.value.store(offset, Ordering::Relaxed);
    Ok(made)
}

/// Sets the slots of `T`; called once, while the module is made.
pub(crate) fn install<T: Recycle + PyTypeInfo>(py: Python<'_>) {
    if cfg!(Py_GIL_DISABLED) {
        return;
    }
    let class = T::type_object_raw(py);
    // SAFETY: the type object was made by PyO3 for T, and no instance exists yet.
    unsafe {
        // The blocks of two classes must not mix.
        let before = T::BLOCKS.class.swap(class, Ordering::Relaxed);
        assert!(before.is_null() || before == class, "another class keeps its blocks there");
        (*class).tp_alloc = Some(tp_alloc::<T>);
        (*class).tp_free = Some(tp_free::<T>);
        ffi::PyType_Modified(class);
    }
}

/// A class whose instances usually have a simple end.
pub(crate) trait End: Recycle + PyClass<BaseType: BeginsBare> {
    /// Whether this dropped instance has a simple end: there is nothing to report, and `end` drops everything that it
    /// holds.
    fn ends_simply(&mut self) -> bool;

    /// Drops every reference with `drop_ref`, which unlike `drop` doesn't check the thread.
    fn end(value: Ending<'_, Self>, py: Python<'_>);
}

/// The value of a dead object. What its end leaves behind is forgotten, not dropped.
pub(crate) struct Ending<'a, T>(&'a mut ManuallyDrop<T>);

impl<'a, T> Ending<'a, T> {
    /// The value in place, to take things out of it.
    #[inline]
    pub(crate) fn in_place(self) -> &'a mut T {
        self.0
    }

    /// A copy of the value itself.
    #[inline]
    pub(crate) fn moved(self) -> T {
        // SAFETY: `self` was the only way to the value, and its maker doesn't use the value again.
        unsafe { ManuallyDrop::take(self.0) }
    }
}

/// Whether the reference at `offset` in an object is null; at 0 there is none.
///
/// # Safety
/// `offset` must be the offset of the object's list of weak references or its dictionary, according to its class, and
/// not negative.
#[inline]
unsafe fn is_null_at(object: *mut ffi::PyObject, offset: isize) -> bool {
    // SAFETY: by the contract.
    offset == 0 || unsafe { (*object.byte_offset(offset).cast::<*mut ffi::PyObject>()).is_null() }
}

unsafe extern "C" fn tp_dealloc<T: End>(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls the deallocator attached, with an instance to which nobody refers. The value is `offset`
    // bytes from its start; nothing uses it after its end, not even a drop. The collector stops seeing the object
    // before anything in it changes. There are no weak references to clear and no dictionary; the room is empty.
    // After the end of the value this does what PyO3 does: it frees the memory and drops the reference to the class.
    // The general end is the class's previous deallocator.
    unsafe {
        let blocks = T::BLOCKS;
        let class = ffi::Py_TYPE(object);
        let offset = blocks.value.load(Ordering::Relaxed);
        if offset != 0 && class == blocks.class.load(Ordering::Relaxed) {
            let value = object.cast::<u8>().add(offset).cast::<T>();
            if is_null_at(object, (*class).tp_weaklistoffset)
                && is_null_at(object, (*class).tp_dictoffset)
                && <T::BaseType as BeginsBare>::is_bare(object)
                && (*value).ends_simply()
            {
                ffi::PyObject_GC_UnTrack(object.cast());
                let py = Python::assume_attached();
                protected(py, (), || T::end(Ending(&mut *value.cast::<ManuallyDrop<T>>()), py));
                keep::<T>(object, class);
                ffi::Py_DECREF(class.cast());
                return;
            }
        }
        let general: ffi::destructor =
            mem::transmute::<*mut (), ffi::destructor>(blocks.general_end.load(Ordering::Relaxed));
        general(object);
    }
}

/// Sets the deallocator of `T`; called once, while the module is made, after `install` and everything else that sets
/// one.
pub(crate) fn install_end<T: End + PyTypeInfo>(py: Python<'_>) {
    if cfg!(Py_GIL_DISABLED) {
        return;
    }
    let class = T::type_object_raw(py);
    // SAFETY: the type object was made by PyO3 for T, and no instance exists yet.
    unsafe {
        let general = (*class).tp_dealloc.expect("a PyO3 class has a deallocator");
        if general as usize == tp_dealloc::<T> as *const () as usize {
            return;
        }
        T::BLOCKS.general_end.store(general as *mut (), Ordering::Relaxed);
        (*class).tp_dealloc = Some(tp_dealloc::<T>);
        ffi::PyType_Modified(class);
    }
}

/// Gives a class its list of blocks.
macro_rules! recycled {
    ($class:ty) => {
        impl $crate::base::ffi::recycle::Recycle for $class {
            const BLOCKS: &'static $crate::base::ffi::recycle::Blocks = {
                static BLOCKS: $crate::base::ffi::recycle::Blocks = $crate::base::ffi::recycle::Blocks::new();
                &BLOCKS
            };
        }
    };
}
pub(crate) use recycled;
