//! What ferrio's loop watches for Rust: times and descriptors; and wakers that only such watches hold.

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::task::{RawWaker, RawWakerVTable, Waker};

use pyo3::ffi;
use pyo3::prelude::*;

use super::{Api, LoopApi, RawBell, WAKER, api_at, drop_attached, non_null};
use crate::reactor::Called;

type Call = unsafe extern "C" fn(*mut c_void, *mut ffi::PyObject, u32) -> c_int;
type Release = unsafe extern "C" fn(*mut c_void);

/// `ferrio_loop_api` with what older ferrios don't have.
#[repr(C)]
struct WatchApi {
    older: LoopApi,
    waker_retain_here: unsafe extern "C" fn(NonNull<RawBell>) -> NonNull<RawBell>,
    waker_release_here: unsafe extern "C" fn(NonNull<RawBell>),
    loop_time: unsafe extern "C" fn(*mut ffi::PyObject, *mut u64) -> c_int,
    watch_time: unsafe extern "C" fn(*mut ffi::PyObject, u64, Call, Release, *mut c_void) -> *mut RawBell,
    watch_descriptor:
        unsafe extern "C" fn(*mut ffi::PyObject, c_int, u32, Call, Release, *mut c_void) -> *mut RawBell,
    watch_close: *const c_void,
    watch_retain: *const c_void,
    watch_release: unsafe extern "C" fn(NonNull<RawBell>),
    watch_cancel: unsafe extern "C" fn(NonNull<RawBell>),
    loop_running: unsafe extern "C" fn() -> *mut ffi::PyObject,
}

/// The longer table behind a shorter one, if this ferrio has it.
fn longer(api: &'static LoopApi) -> Option<&'static WatchApi> {
    if (api.size as usize) < size_of::<WatchApi>() {
        return None;
    }
    // SAFETY: the table is static, and says that it reaches as far as our struct. `api` came from a pointer to all of it.
    Some(unsafe { &*ptr::from_ref(api).cast::<WatchApi>() })
}

/// The functions by which a loop of ferrio's watches something.
#[derive(Clone, Copy)]
pub(crate) struct Watches(&'static WatchApi);

impl Api {
    /// Those of this loop's type; `None` if it's too old a ferrio.
    pub(crate) fn watches(self) -> Option<Watches> {
        longer(self.0).map(Watches)
    }

    /// The loop with this interface that runs in this thread; `None` also if it's too old a ferrio to know.
    #[inline]
    pub(super) fn running(self, py: Python<'_>) -> Option<Bound<'_, PyAny>> {
        let longer = longer(self.0)?;
        // SAFETY: attached; the result is a borrowed reference or null.
        unsafe { Bound::from_borrowed_ptr_or_opt(py, (longer.loop_running)()) }
    }
}

impl Watches {
    /// The time of the clock of `event_loop`, which has this interface, in nanoseconds.
    pub(crate) fn time(self, event_loop: &Bound<'_, PyAny>) -> PyResult<u64> {
        let mut nanos = 0;
        // SAFETY: attached, and there is a place for the number.
        match unsafe { (self.0.loop_time)(event_loop.as_ptr(), &raw mut nanos) } {
            0 => Ok(nanos),
            _ => Err(PyErr::fetch(event_loop.py())),
        }
    }

    /// Lets `event_loop` call `data` once, at `deadline`.
    pub(crate) fn watch_time<T: Called>(
        self,
        event_loop: &Bound<'_, PyAny>,
        deadline: u64,
        data: Arc<T>,
    ) -> PyResult<Watch> {
        let data = Arc::into_raw(data).cast_mut().cast();
        // SAFETY: attached; the functions belong to the data, which goes to the callee.
        let watch = unsafe { (self.0.watch_time)(event_loop.as_ptr(), deadline, call::<T>, end::<T>, data) };
        Watch::new(event_loop.py(), watch)
    }

    /// Lets `event_loop` call `data` when the descriptor becomes ready for `interest`.
    #[cfg(feature = "net")]
    pub(crate) fn watch_descriptor<T: Called>(
        self,
        event_loop: &Bound<'_, PyAny>,
        descriptor: c_int,
        interest: u32,
        data: Arc<T>,
    ) -> PyResult<Watch> {
        let data = Arc::into_raw(data).cast_mut().cast();
        // SAFETY: attached; the functions belong to the data, which goes to the callee.
        let watch = unsafe {
            (self.0.watch_descriptor)(event_loop.as_ptr(), descriptor, interest, call::<T>, end::<T>, data)
        };
        Watch::new(event_loop.py(), watch)
    }
}

unsafe extern "C" fn call<T: Called>(data: *mut c_void, _loop: *mut ffi::PyObject, events: u32) -> c_int {
    // SAFETY: the data is an `Arc<T>` that `end` drops after the last call.
    let data = unsafe { &*data.cast::<T>() };
    // What a waker panics about has no one to catch it.
    let _ = catch_unwind(AssertUnwindSafe(|| data.called(events)));
    0
}

unsafe extern "C" fn end<T: Called>(data: *mut c_void) {
    // SAFETY: the data is an `Arc<T>`, and this is the last call for it.
    let data = unsafe { Arc::from_raw(data.cast::<T>()) };
    let _ = catch_unwind(AssertUnwindSafe(|| data.ended()));
    drop_attached(data);
}

/// Something that ferrio's loop watches. It ends when this is dropped, by any thread.
pub(crate) struct Watch(NonNull<RawBell>);

// SAFETY: the header allows any thread to cancel and release a watch; nothing else is done with it.
unsafe impl Send for Watch {}
// SAFETY: as above.
unsafe impl Sync for Watch {}

impl Watch {
    fn new(py: Python<'_>, watch: *mut RawBell) -> PyResult<Self> {
        NonNull::new(watch).map(Self).ok_or_else(|| PyErr::fetch(py))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: the watch is alive, and this is its last use. Its table is as long as ours, or there were no watch.
        unsafe {
            let api = &*ptr::from_ref(self.0.as_ref().api).cast::<WatchApi>();
            (api.watch_cancel)(self.0);
            (api.watch_release)(self.0);
        }
    }
}

/// The same waker, for something that wakes only from the loop's own thread. A loop on virtual time doesn't wait for it.
pub(crate) fn here(waker: &Waker) -> Waker {
    if !ptr::eq(waker.vtable(), &raw const WAKER) {
        return waker.clone();
    }
    // SAFETY: by its functions, this is a waker of ours.
    let (bell, api) = unsafe { (non_null(waker.data()), api_at(waker.data())) };
    let Some(api) = longer(api) else { return waker.clone() };
    // SAFETY: the waker has a reference; the new one goes to the result, whose functions release it in the same way.
    unsafe {
        let bell = (api.waker_retain_here)(bell);
        Waker::from_raw(RawWaker::new(bell.as_ptr().cast_const().cast(), &HERE))
    }
}

/// Whether `known`, which [`here`] has made, wakes the same as `waker`.
pub(crate) fn wakes_same(known: &Waker, waker: &Waker) -> bool {
    let ours = ptr::eq(known.vtable(), &raw const HERE) && ptr::eq(waker.vtable(), &raw const WAKER);
    known.will_wake(waker) || ours && ptr::eq(known.data(), waker.data())
}

static HERE: RawWakerVTable = RawWakerVTable::new(
    // SAFETY: for all four: the pointer is a counted `ferrio_waker` with a table as long as ours, or `here` had made no
    // such waker. It has a reference by `waker_retain_here`.
    |bell| unsafe {
        let bell = (table_at(bell).waker_retain_here)(non_null(bell));
        RawWaker::new(bell.as_ptr().cast_const().cast(), &HERE)
    },
    // SAFETY: as above; this consumes the waker.
    |bell| unsafe {
        (api_at(bell).waker_wake)(non_null(bell));
        (table_at(bell).waker_release_here)(non_null(bell));
    },
    // SAFETY: as above.
    |bell| unsafe { (api_at(bell).waker_wake)(non_null(bell)) },
    // SAFETY: as above; this consumes the waker.
    |bell| unsafe { (table_at(bell).waker_release_here)(non_null(bell)) },
);

/// # Safety
///
/// A pointer of a waker that `here` has made, which is still counted.
unsafe fn table_at(bell: *const ()) -> &'static WatchApi {
    // SAFETY: by the contract its table is as long as ours.
    unsafe { &*ptr::from_ref(api_at(bell)).cast::<WatchApi>() }
}
