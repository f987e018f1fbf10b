//! The C interface that extension modules see (`include/ferrio.h`): its structs, and the functions behind it.
//!
//! The structs here are the header's, field for field. `future.rs` and `waiter.rs` call what an extension brings, and
//! are safe to use; `posted.rs` is a call that it leaves for the loop, and `callback.rs` what it wants to be called for.
//! `functions.rs` and `watch.rs` are what it calls. The interface knows loops and awaitables only as a `Host`, which
//! `loop_api/c_interface` implements.
//!
//! Invariants: a struct of the extension's is read only as far as its `size` reaches. Whatever an extension hands over
//! is dropped by the extension's own function, once, and never while one of our states is borrowed.

mod callback;
mod functions;
mod future;
mod posted;
mod waiter;
mod watch;

use std::ffi::{c_char, c_int, c_void};
use std::sync::Arc;

use pyo3::ffi;
use pyo3::prelude::*;

pub(crate) use self::callback::Callback;
pub(crate) use self::functions::capsule;
pub(crate) use self::future::ForeignFuture;
pub(crate) use self::posted::Posted;
pub(crate) use self::waiter::Waiting;

const VERSION: u32 = 1;
const CAPSULE: &std::ffi::CStr = c"ferrio_loop_api";

/// `FERRIO_WOKEN_FROM_OUTSIDE`.
const WOKEN_FROM_OUTSIDE: u32 = 1;
/// `FERRIO_WOKEN_BY_WAKER`.
const WOKEN_BY_WAKER: u32 = 2;

/// `FERRIO_READABLE`.
pub(crate) const READABLE: u32 = 1;
/// `FERRIO_WRITABLE`.
pub(crate) const WRITABLE: u32 = 2;
/// `FERRIO_EDGE`.
pub(crate) const EDGE: u32 = 4;
const INTERESTS: u32 = READABLE | WRITABLE | EDGE;

const RAISED: c_int = -1;
const PENDING: c_int = 0;
const READY: c_int = 1;

/// What the interface needs of the loop.
pub(crate) trait Host: 'static {
    /// Wakes one awaiting operation.
    type Bell: Bell;
    /// Where threads post to one loop.
    type Mailbox: Mailbox;
    /// What the loop calls an extension for.
    type Watch: Watch;

    /// The loop that runs in this thread.
    fn running(py: Python<'_>) -> Option<Py<PyAny>>;

    /// An awaitable of `future` for the tasks of `event_loop`. Raises `TypeError` if that isn't ferrio's.
    fn future<'py>(event_loop: &Bound<'py, PyAny>, future: ForeignFuture) -> PyResult<Bound<'py, PyAny>>;

    /// An awaitable for what `waiting` receives, and the bell that wakes it.
    fn waiter<'py>(event_loop: &Bound<'py, PyAny>, waiting: Waiting) -> PyResult<Waiter<'py, Self::Bell>>;

    /// The mailbox of `event_loop`. Raises `TypeError` if that isn't ferrio's.
    fn mailbox(event_loop: &Bound<'_, PyAny>) -> PyResult<Self::Mailbox>;

    /// The time of the clock of `event_loop`, in nanoseconds. Raises `TypeError` if that isn't ferrio's.
    fn time(event_loop: &Bound<'_, PyAny>) -> PyResult<u64>;

    /// Lets `event_loop` call `callback` for what is watched. Raises `TypeError` if that isn't ferrio's; then, and after any
    /// other error, `callback` has ended.
    fn watch(
        event_loop: &Bound<'_, PyAny>,
        watched: Watched,
        callback: Callback,
    ) -> PyResult<Arc<Counted<Self::Watch>>>;
}

/// What an extension watches.
#[derive(Clone, Copy)]
pub(crate) enum Watched {
    /// A time of the loop's clock, in nanoseconds.
    Time(u64),
    /// A descriptor, for `READABLE`, `WRITABLE` and `EDGE`.
    Descriptor(c_int, u32),
    /// The loop's `close`.
    Close,
}

/// An awaitable and what completes it.
pub(crate) type Waiter<'py, B> = (Bound<'py, PyAny>, Arc<Counted<(Waiting, B)>>);

/// Wakes one awaiting operation, from any thread, attached or not.
pub(crate) trait Bell: Send + Sync + 'static {
    /// Wakes it.
    fn ring(&self);

    /// Something has a reference with which any thread may wake.
    fn is_held_outside(&self);

    /// It has given that reference up.
    fn is_released_outside(&self);
}

/// What the loop calls an extension for.
pub(crate) trait Watch: Send + Sync + Sized + 'static {
    /// Lets no further call begin, and ends the callback on the loop's thread. Callable from any thread.
    fn cancel(&self);
}

/// Where threads post to one loop, attached or not.
pub(crate) trait Mailbox: Send + Sync + 'static {
    /// Leaves the call there. Hands it back if the loop is closed.
    fn post(&self, posted: Posted) -> Result<(), Posted>;
}

/// What an extension holds by counted references: our value, behind the field that the header shows.
#[repr(C)]
pub(crate) struct Counted<T> {
    api: &'static LoopApi,
    pub(crate) value: T,
}

impl<T> Counted<T> {
    /// Wraps `value` for extensions of `H`.
    pub(crate) fn new<H: Host>(value: T) -> Arc<Self> {
        Arc::new(Self { api: functions::table::<H>(), value })
    }
}

type Poll = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut *mut ffi::PyObject) -> c_int;
type Release = unsafe extern "C" fn(*mut c_void);
type Convert = unsafe extern "C" fn(*mut c_void, *mut c_void) -> *mut ffi::PyObject;
type Discard = unsafe extern "C" fn(*mut c_void, *mut c_void);
type Call = unsafe extern "C" fn(*mut c_void, *mut ffi::PyObject, u32) -> c_int;
type Run = unsafe extern "C" fn(*mut c_void, *mut ffi::PyObject) -> c_int;

/// `ferrio_future_type`.
#[repr(C)]
pub(crate) struct FutureType {
    size: usize,
    name: *const c_char,
    name_length: usize,
    flags: u32,
    poll: Option<Poll>,
    drop: Option<Release>,
}

/// `ferrio_waiter_type`.
#[repr(C)]
pub(crate) struct WaiterType {
    size: usize,
    name: *const c_char,
    name_length: usize,
    flags: u32,
    convert: Option<Convert>,
    discard: Option<Discard>,
    cancelled: Option<Release>,
    drop: Option<Release>,
}

/// `ferrio_loop_api`.
#[repr(C)]
pub(crate) struct LoopApi {
    version: u32,
    size: u32,
    future_new:
        unsafe extern "C" fn(*mut ffi::PyObject, *const FutureType, *mut c_void) -> *mut ffi::PyObject,
    waker_retain: unsafe extern "C" fn(*mut c_void) -> *mut c_void,
    waker_release: Release,
    waker_wake: Release,
    waiter_new: unsafe extern "C" fn(
        *mut ffi::PyObject,
        *const WaiterType,
        *mut c_void,
        *mut *mut c_void,
    ) -> *mut ffi::PyObject,
    waiter_retain: unsafe extern "C" fn(*mut c_void) -> *mut c_void,
    waiter_release: Release,
    waiter_complete: unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int,
    loop_of: unsafe extern "C" fn(*mut ffi::PyObject) -> *mut c_void,
    loop_retain: unsafe extern "C" fn(*mut c_void) -> *mut c_void,
    loop_release: Release,
    loop_post: unsafe extern "C" fn(*mut c_void, Option<Run>, Option<Release>, *mut c_void) -> c_int,
    waker_retain_here: unsafe extern "C" fn(*mut c_void) -> *mut c_void,
    waker_release_here: Release,
    loop_time: unsafe extern "C" fn(*mut ffi::PyObject, *mut u64) -> c_int,
    watch_time: unsafe extern "C" fn(
        *mut ffi::PyObject,
        u64,
        Option<Call>,
        Option<Release>,
        *mut c_void,
    ) -> *mut c_void,
    watch_descriptor: unsafe extern "C" fn(
        *mut ffi::PyObject,
        c_int,
        u32,
        Option<Call>,
        Option<Release>,
        *mut c_void,
    ) -> *mut c_void,
    watch_close:
        unsafe extern "C" fn(*mut ffi::PyObject, Option<Call>, Option<Release>, *mut c_void) -> *mut c_void,
    watch_retain: unsafe extern "C" fn(*mut c_void) -> *mut c_void,
    watch_release: Release,
    watch_cancel: Release,
    loop_running: unsafe extern "C" fn() -> *mut ffi::PyObject,
}
