//! The only unsafe code: ferrio's C interface (`ferrio.h`), and futures that stay in their thread. What the loop watches is
//! in `ffi/watch.rs`.
//!
//! Everything here is safe to call. The structs are the header's, field for field.
#![allow(unsafe_code, reason = "this file is where raw C lives; the rest of the crate denies it")]

mod watch;

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void};
use std::future::Future;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::thread::ThreadId;

use futures_core::Stream;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use pyo3::{ffi, intern};

use crate::convert::Name;
use crate::home::running_loop;
use crate::panic::caught;

pub(crate) use self::watch::{Watch, Watches, here, wakes_same};

const VERSION: u32 = 1;
const RAISED: c_int = -1;
const PENDING: c_int = 0;
const READY: c_int = 1;
const WOKEN_FROM_OUTSIDE: u32 = 1;
/// Only while something holds the waker that isn't the loop's own ([`here`]). Older ferrios don't know it.
const WOKEN_BY_WAKER: u32 = 2;

/// `ferrio_future_type`.
#[repr(C)]
struct FutureType {
    size: usize,
    name: *const c_char,
    name_length: usize,
    flags: u32,
    poll: unsafe extern "C" fn(*mut c_void, NonNull<RawBell>, *mut *mut ffi::PyObject) -> c_int,
    drop: unsafe extern "C" fn(*mut c_void),
}

/// `ferrio_waker` and `ferrio_loop`, which begin alike.
#[repr(C)]
struct RawBell {
    api: &'static LoopApi,
}

/// `ferrio_loop_api`.
#[repr(C)]
struct LoopApi {
    version: u32,
    size: u32,
    future_new:
        unsafe extern "C" fn(*mut ffi::PyObject, *const FutureType, *mut c_void) -> *mut ffi::PyObject,
    waker_retain: unsafe extern "C" fn(NonNull<RawBell>) -> NonNull<RawBell>,
    waker_release: unsafe extern "C" fn(NonNull<RawBell>),
    waker_wake: unsafe extern "C" fn(NonNull<RawBell>),
    waiter_new: *const c_void,
    waiter_retain: *const c_void,
    waiter_release: *const c_void,
    waiter_complete: *const c_void,
    loop_of: unsafe extern "C" fn(*mut ffi::PyObject) -> *mut RawBell,
    loop_retain: unsafe extern "C" fn(NonNull<RawBell>) -> NonNull<RawBell>,
    loop_release: unsafe extern "C" fn(NonNull<RawBell>),
    loop_post: unsafe extern "C" fn(
        NonNull<RawBell>,
        unsafe extern "C" fn(*mut c_void, *mut ffi::PyObject) -> c_int,
        unsafe extern "C" fn(*mut c_void),
        *mut c_void,
    ) -> c_int,
}

/// The interface of a type of loops.
#[derive(Clone, Copy)]
pub(crate) struct Api(&'static LoopApi);

// SAFETY: the header says that any thread may use the table, and how; the methods here keep to it.
unsafe impl Send for Api {}
// SAFETY: as above.
unsafe impl Sync for Api {}

/// The type of the first loop, and its interface. Nearly all programs have loops of one type.
static KNOWN: PyOnceLock<(Py<PyType>, Option<Api>)> = PyOnceLock::new();

/// The loop that runs in this thread, with its interface if it is ferrio's.
pub(crate) fn running(py: Python<'_>) -> PyResult<Option<(Bound<'_, PyAny>, Option<Api>)>> {
    if let Some((_, Some(api))) = KNOWN.get(py)
        && let Some(event_loop) = api.running(py)
    {
        return Ok(Some((event_loop, Some(*api))));
    }
    let Some(event_loop) = running_loop(py)? else { return Ok(None) };
    let api = api_of(&event_loop)?;
    Ok(Some((event_loop, api)))
}

/// The interface of the loop's type; `None` if it isn't ferrio's, or a ferrio of another kind.
pub(crate) fn api_of(event_loop: &Bound<'_, PyAny>) -> PyResult<Option<Api>> {
    let (py, class) = (event_loop.py(), event_loop.get_type());
    let known = KNOWN.get_or_try_init(py, || Ok::<_, PyErr>((class.clone().unbind(), look_up(&class)?)))?;
    if known.0.is(&class) { Ok(known.1) } else { look_up(&class) }
}

fn look_up(class: &Bound<'_, PyType>) -> PyResult<Option<Api>> {
    let Some(capsule) = class.getattr_opt(intern!(class.py(), "__ferrio_loop_api__"))? else {
        return Ok(None);
    };
    // SAFETY: attached, and `capsule` is a live object; any other than our capsule gives an error.
    let api = unsafe { ffi::PyCapsule_GetPointer(capsule.as_ptr(), c"ferrio_loop_api".as_ptr()) };
    let Some(api) = NonNull::new(api.cast::<LoopApi>()) else { return Err(PyErr::fetch(class.py())) };
    // SAFETY: the header says that the table is static and begins with these two numbers.
    let (version, size) = unsafe { ((*api.as_ptr()).version, (*api.as_ptr()).size) };
    if version != VERSION || (size as usize) < size_of::<LoopApi>() {
        return Ok(None);
    }
    // SAFETY: it is static and reaches as far as our struct.
    Ok(Some(Api(unsafe { api.as_ref() })))
}

impl Api {
    /// An awaitable for the tasks of `event_loop`, which has this interface.
    pub(crate) fn awaitable<'py, N: Name, F>(
        self,
        event_loop: &Bound<'py, PyAny>,
        future: F,
    ) -> PyResult<Bound<'py, PyAny>>
    where
        F: Future<Output = PyResult<Py<PyAny>>> + Send + 'static,
    {
        self.future_new::<N, F>(event_loop, Place { future: Some(future), thread: None })
    }

    /// As `awaitable`, for a future that only this thread may poll and drop; others leak it.
    pub(crate) fn local_awaitable<'py, N: Name, F>(
        self,
        event_loop: &Bound<'py, PyAny>,
        future: F,
    ) -> PyResult<Bound<'py, PyAny>>
    where
        F: Future<Output = PyResult<Py<PyAny>>> + 'static,
    {
        self.future_new::<N, F>(event_loop, Place { future: Some(future), thread: Some(this_thread()) })
    }

    fn future_new<'py, N: Name, F>(
        self,
        event_loop: &Bound<'py, PyAny>,
        place: Place<F>,
    ) -> PyResult<Bound<'py, PyAny>>
    where
        F: Future<Output = PyResult<Py<PyAny>>> + 'static,
    {
        let data = Box::into_raw(Box::new(place)).cast();
        // SAFETY: attached; the type belongs to the data, which goes to the callee.
        unsafe {
            let made = (self.0.future_new)(event_loop.as_ptr(), FutureFunctions::<N, F>::TYPE, data);
            Bound::from_owned_ptr_or_err(event_loop.py(), made)
        }
    }

    /// The handle of `event_loop`, which has this interface.
    pub(crate) fn handle(self, event_loop: &Bound<'_, PyAny>) -> PyResult<Handle> {
        // SAFETY: attached; the result is a new reference, or null with an error.
        let handle = unsafe { (self.0.loop_of)(event_loop.as_ptr()) };
        NonNull::new(handle).map(Handle).ok_or_else(|| PyErr::fetch(event_loop.py()))
    }
}

/// A future in the box that ferrio has. It never moves.
struct Place<F> {
    /// `None` after its end.
    future: Option<F>,
    /// The only one that may touch it, if it isn't `Send`.
    thread: Option<ThreadId>,
}

impl<F> Place<F> {
    fn is_at_home(&self) -> bool {
        self.thread.is_none_or(|thread| thread == this_thread())
    }
}

/// What ferrio calls for a future in its place.
struct FutureFunctions<N, F>(PhantomData<(N, F)>);

impl<N: Name, F: Future<Output = PyResult<Py<PyAny>>> + 'static> FutureFunctions<N, F> {
    const TYPE: &'static FutureType = &FutureType {
        size: size_of::<FutureType>(),
        name: N::NAME.as_ptr().cast(),
        name_length: N::NAME.len(),
        flags: WOKEN_FROM_OUTSIDE | WOKEN_BY_WAKER,
        poll: Self::poll,
        drop: Self::drop,
    };

    unsafe extern "C" fn poll(
        data: *mut c_void,
        bell: NonNull<RawBell>,
        result: *mut *mut ffi::PyObject,
    ) -> c_int {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            // PyO3 must know that this thread is attached, so that it drops references at once.
            Python::attach(|py| {
                // SAFETY: the data is what `future_new` boxed, and only this thread uses it.
                let place = unsafe { &mut *data.cast::<Place<F>>() };
                if !place.is_at_home() {
                    not_at_home("future").restore(py);
                    return RAISED;
                }
                // SAFETY: the box is dropped with the future in it, or leaked.
                let mut place = unsafe { Pin::new_unchecked(&mut place.future) };
                // SAFETY: the reference is borrowed for this call, so the waker isn't dropped.
                let waker = ManuallyDrop::new(unsafe { Waker::from_raw(raw_waker(bell)) });
                let polled = caught(|| match place.as_mut().as_pin_mut() {
                    Some(future) => match future.poll(&mut Context::from_waker(&waker)) {
                        Poll::Ready(outcome) => outcome.map(Some),
                        Poll::Pending => Ok(None),
                    },
                    None => Err(PyRuntimeError::new_err("this future has ended")),
                });
                if let Ok(None) = polled {
                    return PENDING;
                }
                // While this thread is known to be attached.
                let _ = catch_unwind(AssertUnwindSafe(|| place.set(None)));
                match polled {
                    Ok(Some(value)) => {
                        // SAFETY: the caller gives a place for a new reference.
                        unsafe { *result = value.into_ptr() };
                        READY
                    }
                    Ok(None) => PENDING,
                    Err(failure) => {
                        failure.restore(py);
                        RAISED
                    }
                }
            })
        }));
        // A panic of PyO3's own, when the interpreter ends. ferrio says that there is no exception.
        outcome.unwrap_or(RAISED)
    }

    unsafe extern "C" fn drop(data: *mut c_void) {
        // SAFETY: the data is what `future_new` boxed, and this is the last call for it.
        let place = unsafe { Box::from_raw(data.cast::<Place<F>>()) };
        if place.future.is_none() {
            return;
        }
        if place.is_at_home() {
            drop_attached(place);
        } else {
            std::mem::forget(place);
        }
    }
}

/// Drops a value of the user's in an attached thread; nothing unwinds from here.
fn drop_attached<T>(value: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let mut value = Some(value);
        // So that references are dropped at once; at the interpreter's end it isn't possible.
        Python::try_attach(|py| undisturbed(py, || drop(value.take())));
    }));
}

/// Runs `body` without the exception that may be set, as a destructor must: Python code must not run with one. It is set
/// again afterwards.
pub(crate) fn undisturbed<R>(_py: Python<'_>, body: impl FnOnce() -> R) -> R {
    struct Kept([*mut ffi::PyObject; 3]);

    impl Drop for Kept {
        fn drop(&mut self) {
            let [class, value, traceback] = self.0;
            // SAFETY: attached, as `undisturbed` is; the references are those that it was given.
            #[allow(deprecated, reason = "Python 3.11 has nothing newer")]
            unsafe {
                ffi::PyErr_Restore(class, value, traceback);
            }
        }
    }

    // SAFETY: attached; the places are ours.
    let kept = unsafe {
        (!ffi::PyErr_Occurred().is_null()).then(|| {
            let mut kept = [std::ptr::null_mut(); 3];
            let [class, value, traceback] = &mut kept;
            #[allow(deprecated, reason = "Python 3.11 has nothing newer")]
            ffi::PyErr_Fetch(class, value, traceback);
            Kept(kept)
        })
    };
    let result = body();
    drop(kept);
    result
}

static WAKER: RawWakerVTable = RawWakerVTable::new(
    // SAFETY: for all four: the pointer is a counted `ferrio_waker`, of which this waker has a reference. Any thread may
    // retain, wake and release it.
    |bell| unsafe { raw_waker((api_at(bell).waker_retain)(non_null(bell))) },
    // SAFETY: as above; this consumes the waker.
    |bell| unsafe {
        (api_at(bell).waker_wake)(non_null(bell));
        (api_at(bell).waker_release)(non_null(bell));
    },
    // SAFETY: as above.
    |bell| unsafe { (api_at(bell).waker_wake)(non_null(bell)) },
    // SAFETY: as above; this consumes the waker.
    |bell| unsafe { (api_at(bell).waker_release)(non_null(bell)) },
);

fn raw_waker(bell: NonNull<RawBell>) -> RawWaker {
    RawWaker::new(bell.as_ptr().cast_const().cast(), &WAKER)
}

/// # Safety
///
/// A pointer of `raw_waker`.
unsafe fn non_null(bell: *const ()) -> NonNull<RawBell> {
    // SAFETY: by the contract it came from one.
    unsafe { NonNull::new_unchecked(bell.cast_mut().cast()) }
}

/// # Safety
///
/// A pointer of `raw_waker` that is still counted.
unsafe fn api_at(bell: *const ()) -> &'static LoopApi {
    // SAFETY: by the contract it is alive; the table is its first field.
    unsafe { (*bell.cast::<RawBell>()).api }
}

/// A loop of ferrio's, for any thread.
pub(crate) struct Handle(NonNull<RawBell>);

// SAFETY: the header allows any thread to use and release the handle.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Handle {
    /// Calls `run` on the loop's thread. If the loop is closed, `run` is dropped, by any thread.
    pub(crate) fn post(&self, run: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<()> + Send + 'static) {
        self.post_boxed(Box::into_raw(Box::new(run)));
    }

    fn post_boxed<R: FnOnce(&Bound<'_, PyAny>) -> PyResult<()> + Send + 'static>(&self, run: *mut R) {
        // SAFETY: the handle is alive, and the functions belong to the data, which goes to the callee.
        unsafe { (self.0.as_ref().api.loop_post)(self.0, run_posted::<R>, drop_posted::<R>, run.cast()) };
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is alive, and this is its last use.
        unsafe { (self.0.as_ref().api.loop_release)(self.0) };
    }
}

unsafe extern "C" fn run_posted<R>(data: *mut c_void, event_loop: *mut ffi::PyObject) -> c_int
where
    R: FnOnce(&Bound<'_, PyAny>) -> PyResult<()>,
{
    // SAFETY: the data is what `post` boxed, handed back once.
    let run = unsafe { Box::from_raw(data.cast::<R>()) };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        Python::attach(|py| {
            // SAFETY: attached; the loop is borrowed for this call.
            let event_loop = unsafe { Bound::from_borrowed_ptr(py, event_loop) };
            caught(|| run(&event_loop)).map_or_else(
                |failure| {
                    failure.restore(py);
                    RAISED
                },
                |()| 0,
            )
        })
    }));
    outcome.unwrap_or(0)
}

unsafe extern "C" fn drop_posted<R>(data: *mut c_void) {
    // SAFETY: the data is what `post` boxed, handed back once.
    let run = unsafe { Box::from_raw(data.cast::<R>()) };
    // Any thread; references are dropped when PyO3 is next attached.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(run)));
}

/// Runs `body` if this thread is attached, whoever attached it. Wakers and destructors may run while an exception is set.
pub(crate) fn if_attached<R>(body: impl FnOnce(Python<'_>) -> R) -> Option<R> {
    // SAFETY: both may be called by any thread at any time. In Python 3.11 the first names the thread that holds the
    // GIL, so it is compared with this thread's.
    let attached = unsafe {
        let current = ffi::compat::PyThreadState_GetUnchecked();
        !current.is_null() && current == ffi::PyGILState_GetThisThreadState()
    };
    if attached { Python::try_attach(|py| undisturbed(py, || body(py))) } else { None }
}

/// `std::thread::current().id()`, which counts references.
fn this_thread() -> ThreadId {
    thread_local! {
        static THIS: Cell<Option<ThreadId>> = const { Cell::new(None) };
    }
    THIS.get().unwrap_or_else(|| {
        let this = std::thread::current().id();
        THIS.set(Some(this));
        this
    })
}

/// A future or a stream that isn't `Send`, which only its own thread polls and drops.
///
/// In another thread polling fails, and dropping leaks it: what it holds belongs to its thread.
pub(crate) struct Confined<F> {
    future: Option<Pin<Box<F>>>,
    thread: ThreadId,
}

// SAFETY: other threads do nothing with the future, not even drop it.
unsafe impl<F> Send for Confined<F> {}

impl<F> Confined<F> {
    pub(crate) fn new(future: F) -> Self {
        Self { future: Some(Box::pin(future)), thread: this_thread() }
    }

    fn is_at_home(&self) -> bool {
        this_thread() == self.thread
    }
}

impl<T, F: Future<Output = PyResult<T>>> Future for Confined<F> {
    type Output = PyResult<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<PyResult<T>> {
        let at_home = self.is_at_home();
        match &mut self.future {
            _ if !at_home => Poll::Ready(Err(not_at_home("future"))),
            Some(future) => future.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

impl<T, S: Stream<Item = PyResult<T>>> Stream for Confined<S> {
    type Item = PyResult<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<PyResult<T>>> {
        let at_home = self.is_at_home();
        match &mut self.future {
            _ if !at_home => Poll::Ready(Some(Err(not_at_home("stream")))),
            Some(stream) => stream.as_mut().poll_next(context),
            None => Poll::Pending,
        }
    }
}

fn not_at_home(what: &str) -> PyErr {
    PyRuntimeError::new_err(format!("this {what} isn't Send: await it in the thread that made it"))
}

impl<F> Drop for Confined<F> {
    fn drop(&mut self) {
        if !self.is_at_home() {
            std::mem::forget(self.future.take());
        }
    }
}

// A `Confined` never moves its future, so it may be moved itself.
const _: () = {
    const fn is_unpin<T: Unpin>() {}
    is_unpin::<Confined<std::marker::PhantomPinned>>();
};
