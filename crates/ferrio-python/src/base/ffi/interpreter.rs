//! Small facts about the running interpreter: threads, signals, exact types.

use pyo3::ffi;
use pyo3::prelude::*;

/// The identifier of the calling thread, as in `threading.get_ident()`.
#[inline]
pub(crate) fn thread_id(_py: Python<'_>) -> u64 {
    // SAFETY: attached; the call has no other condition.
    unsafe { ffi::PyThread_get_thread_ident() as u64 }
}

/// Makes threads with Rust frames on their stacks wait for ever if the interpreter ends them at the end of the
/// program.
///
/// Up to Python 3.13, `pthread_exit` ends a thread that wants the GIL while the interpreter finalizes. From 3.14 on
/// it waits for ever (PyThread_hang_thread).
pub(crate) fn park_ended_threads() {
    #[cfg(not(Py_3_14))]
    ferrio_engine::thread_end::park_instead(ffi::Py_IsInitialized as *const std::ffi::c_void);
}

/// Lets PyO3 attach this thread again while the interpreter finalizes, which it does to complete an exception.
///
/// PyO3 panics there ("not initialized") unless it has once seen an initialized interpreter. The thread that
/// finalizes may attach; other threads never return from that.
pub(crate) fn let_attach_at_the_end(py: Python<'_>) {
    py.detach(|| Python::attach(|_py| ()));
}

/// Runs `body` if this thread is attached, whoever attached it; otherwise does nothing and returns `None`.
///
/// PyO3 counts what it has attached itself. An extension module with a PyO3 of its own may have detached the thread.
pub(crate) fn if_attached<R>(body: impl FnOnce(Python<'_>) -> R) -> Option<R> {
    // SAFETY: both may be called by any thread at any time. Until Python 3.11 the second names the thread that holds
    // the GIL, so it is compared with this thread's.
    let attached = unsafe {
        let current = ffi::compat::PyThreadState_GetUnchecked();
        !current.is_null() && current == ffi::PyGILState_GetThisThreadState()
    };
    // SAFETY: this thread is attached, and `body` ends before anybody could detach it behind its back.
    attached.then(|| body(unsafe { Python::assume_attached() }))
}

/// Whether `object` is an instance of exactly the class `T`, not of a subclass.
#[inline]
pub(crate) fn is_exactly<T: pyo3::PyTypeInfo>(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: `object` is a live reference, reading its type needs no more.
    unsafe { ffi::Py_TYPE(object.as_ptr()) == T::type_object_raw(object.py()) }
}

/// How many references to an object there are, as `sys.getrefcount` counts them.
pub(crate) fn count_references(object: &Bound<'_, PyAny>) -> isize {
    // SAFETY: the object is alive, and this thread is attached; the function only reads.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}

/// Whether the caller's reference to `object` is the only one.
///
/// Without a GIL this may be `false` for an object that another thread made; `true` is reliable there as well. A weak
/// reference may become a strong one right afterwards.
#[inline]
pub(crate) fn has_one_reference(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: attached, `object` is a live reference; reading its count needs no more.
    #[cfg(not(Py_GIL_DISABLED))]
    return unsafe { ffi::Py_REFCNT(object.as_ptr()) == 1 };
    // SAFETY: as above.
    #[cfg(Py_GIL_DISABLED)]
    return unsafe { ffi::PyUnstable_Object_IsUniquelyReferenced(object.as_ptr()) != 0 };
}

/// A number that no two running threads share; neither 0 nor 1.
#[cfg(Py_GIL_DISABLED)]
#[inline]
pub(super) fn thread_mark() -> usize {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        let mark: usize;
        // SAFETY: the ABI of x86-64 keeps the address of the thread's control block there, always readable.
        unsafe {
            std::arch::asm!("mov {}, fs:0", out(reg) mark, options(nostack, preserves_flags, readonly, pure));
        }
        mark
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    {
        thread_local! {
            static MARK: u64 = const { 0 };
        }
        MARK.with(|mark| std::ptr::from_ref(mark) as usize)
    }
}

/// Sets (or with `None` deletes) an attribute as `object.__setattr__` does, past a class's own `__setattr__`.
pub(crate) fn set_attribute(
    object: &Bound<'_, PyAny>,
    name: &Bound<'_, PyAny>,
    value: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let value = value.map_or(std::ptr::null_mut(), |value| value.as_ptr());
    // SAFETY: attached, all are live references; a null value means deletion.
    let outcome = unsafe { ffi::PyObject_GenericSetAttr(object.as_ptr(), name.as_ptr(), value) };
    if outcome == 0 { Ok(()) } else { Err(PyErr::fetch(object.py())) }
}
