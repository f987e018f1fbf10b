//! `Handle`: one callback that a loop is going to call (asyncio's page "Event Loop", callback handles).
//!
//! `timer.rs` has the kind that waits for a time, `threadsafe.rs` what other threads may do to a handle. How a handle
//! runs is here; when it runs, the loop decides.

mod threadsafe;
pub(crate) mod timer;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use self::threadsafe::Runner;
pub(crate) use self::timer::TimerHandle;
use crate::base::class::{Class, Standard};
use crate::base::ffi::recycle::recycled;
use crate::base::ffi::room::HandleRoom;
use crate::base::ffi::trashcan::{self, chained};
use crate::base::ffi::{Guarded, context, interpreter, raise, recycle};
use crate::base::functions::Functions;
use crate::base::gc::{collected, gc};
use crate::base::{error, imports};
use crate::core::event_loop::LoopRef;
use crate::core::event_loop::onlookers::{Nobody, Show, Shown};
use crate::core::future::native::current_stack;

/// A callback that the loop is going to call; what `call_soon` returns.
///
/// Takes the `callback`, the tuple `args` of its arguments, and the `loop`. It is called in `context`, by default a
/// copy of the current one. Meaning and methods are those of `asyncio.Handle`.
#[pyclass(extends = HandleRoom, subclass, frozen, weakref, module = "ferrio")]
pub(crate) struct Handle {
    state: Guarded<State>,
    runner: Runner,
}

collected!(Handle { state } not { runner }, written by state, clear { state { call, debug } });

impl Class for Handle {
    const BELOW: Option<Standard> = Some(("asyncio.events", "Handle"));
}

recycled!(Handle);
chained!(Handle);

impl Functions for Handle {}

/// All that a handle holds.
struct State {
    home: LoopRef,
    context: Py<PyAny>,
    /// `None` after it was cancelled, so that a cancelled handle keeps nothing alive.
    call: Option<Call>,
    cancelled: bool,
    debug: Option<Box<Debug>>,
}

gc!(State { home, context, call, debug } not { cancelled });

/// Callback and arguments.
struct Call {
    callback: Py<PyAny>,
    args: Args,
}

gc!(Call { callback, args });

/// The arguments; a single one needs no tuple until a program looks.
pub(crate) enum Args {
    Tuple(Py<PyTuple>),
    One(Py<PyAny>),
    None,
}

gc!(match Args {
    Self::Tuple(args) => (args),
    Self::One(argument) => (argument),
    Self::None => (),
});

impl Args {
    /// The arguments in `tuple`.
    #[inline]
    pub(crate) fn from_tuple(tuple: Bound<'_, PyTuple>) -> Self {
        if tuple.is_empty() { Self::None } else { Self::Tuple(tuple.unbind()) }
    }
}

impl Call {
    /// Drops both while attached, which avoids a check of the thread's state for each.
    fn drop_ref(self, py: Python<'_>) {
        trashcan::release(py, self.callback);
        match self.args {
            Args::Tuple(args) => trashcan::release(py, args.into_any()),
            Args::One(argument) => trashcan::release(py, argument),
            Args::None => {}
        }
    }
}

/// What debug mode adds.
#[derive(Default)]
struct Debug {
    source_traceback: Option<Py<PyAny>>,
    /// Keeps the `repr` of a cancelled handle.
    repr: Option<String>,
}

gc!(Debug { source_traceback } not { repr });

#[pymethods]
impl Handle {
    #[new]
    #[pyo3(signature = (callback, args, r#loop, context = None))]
    fn new(
        callback: Bound<'_, PyAny>,
        args: Bound<'_, PyAny>,
        r#loop: Bound<'_, PyAny>,
        context: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let py = callback.py();
        let args = args.try_iter()?.collect::<PyResult<Vec<_>>>()?;
        let args = PyTuple::new(py, args)?;
        let context = context::given_or_copy(py, context)?;
        let home = LoopRef::new(&r#loop);
        let debug = home.debug(py)?;
        Self::build(py, home, callback, Args::from_tuple(args), context, debug)
    }

    /// Everything was done when the object was made; a subclass may pass whatever it likes.
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __init__(&self, _args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) {}

    /// Return the `contextvars.Context` that the callback runs in.
    fn get_context<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.context(py)
    }

    /// Cancel the call. Has no effect after the first time, or after the callback has run.
    fn cancel(slf: &Bound<'_, Self>) -> PyResult<()> {
        cancel(slf)
    }

    /// Return whether the call was cancelled.
    ///
    /// If the handle is one of `call_soon_threadsafe` and another thread is running its callback, this and `cancel`
    /// wait until the callback ends.
    pub(crate) fn cancelled(&self, py: Python<'_>) -> bool {
        self.runner.wait(py);
        self.state.with(py, |state| state.cancelled)
    }

    /// Run the callback, as the loop does: an exception goes to the loop's exception handler.
    fn _run(slf: &Bound<'_, Self>) -> PyResult<()> {
        run(slf, &Nobody)
    }

    fn _repr_info<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        repr_info(slf)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let kept =
            slf.get().state.with(py, |state| state.debug.as_ref().and_then(|debug| debug.repr.clone()));
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let info = slf.call_method0(intern!(py, "_repr_info"))?;
        let words = PyString::new(py, " ").call_method1(intern!(py, "join"), (info,))?;
        Ok(format!("<{words}>"))
    }

    /// What `isinstance` checks besides the type: from Python 3.14 on asyncio has a separate class for the handles of
    /// `call_soon_threadsafe`.
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        if is_thread_safe(slf) {
            return imports::STANDARD_THREAD_SAFE_HANDLE.get(slf.py()).cloned();
        }
        Ok(slf.get_type().into_any())
    }

    #[getter]
    pub(crate) fn _callback(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.call.as_ref().map(|call| call.callback.clone_ref(py)))
    }

    /// Tracers put a callback of their own in its place.
    #[setter(_callback)]
    fn put_callback(&self, callback: Bound<'_, PyAny>) -> PyResult<()> {
        let py = callback.py();
        let args = match self.arguments(py)? {
            Some(args) => args.into_bound(py).cast_into()?,
            None => PyTuple::empty(py),
        };
        self.put_call(callback, args);
        Ok(())
    }

    #[getter]
    fn _args(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.arguments(py)
    }

    #[setter(_args)]
    fn put_args(&self, args: Bound<'_, PyAny>) -> PyResult<()> {
        let py = args.py();
        let args = PyTuple::new(py, args.try_iter()?.collect::<PyResult<Vec<_>>>()?)?;
        let callback = self._callback(py).unwrap_or_else(|| py.None());
        self.put_call(callback.into_bound(py), args);
        Ok(())
    }

    #[getter]
    fn _context<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.context(py)
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.home(py).object(py)
    }

    #[getter]
    fn _cancelled(&self, py: Python<'_>) -> bool {
        self.cancelled(py)
    }

    #[getter]
    fn _repr(&self, py: Python<'_>) -> Option<String> {
        self.state.with(py, |state| state.debug.as_ref().and_then(|debug| debug.repr.clone()))
    }

    #[getter]
    pub(crate) fn _source_traceback(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| {
            let source = state.debug.as_ref().and_then(|debug| debug.source_traceback.as_ref());
            source.map(|source| source.clone_ref(py))
        })
    }
}

impl recycle::End for Handle {
    #[inline]
    fn ends_simply(&mut self) -> bool {
        self.state.get_mut().debug.is_none()
    }

    #[inline]
    fn end(value: recycle::Ending<'_, Self>, py: Python<'_>) {
        let State { home, context, call, .. } = value.moved().state.into_inner();
        if let Some(call) = call {
            call.drop_ref(py);
        }
        context.drop_ref(py);
        home.release(py);
    }
}

impl Handle {
    /// A handle for `callback(*args)`; in debug mode with the stack where it was made.
    #[inline(always)] // else its ten words are copied twice
    pub(crate) fn build(
        py: Python<'_>,
        home: LoopRef,
        callback: Bound<'_, PyAny>,
        args: Args,
        context: Bound<'_, PyAny>,
        debug: bool,
    ) -> PyResult<Self> {
        let debug = if debug {
            let source_traceback = Some(current_stack(py)?.unbind());
            Some(Box::new(Debug { source_traceback, repr: None }))
        } else {
            None
        };
        let call = Some(Call { callback: callback.unbind(), args });
        let state = State { home, context: context.unbind(), call, cancelled: false, debug };
        Ok(Self { state: Guarded::new(state), runner: Runner::unshared() })
    }

    /// The same, for other threads to cancel too.
    pub(crate) fn thread_safe(self) -> Self {
        Self { runner: Runner::shared(), ..self }
    }

    /// A handle that the loop itself needs, without a stack: `callback(argument)` or `callback()`.
    #[inline]
    pub(crate) fn internal<'py>(
        py: Python<'py>,
        home: &LoopRef,
        callback: &Bound<'py, PyAny>,
        argument: Option<&Bound<'py, PyAny>>,
        context: &Bound<'py, PyAny>,
    ) -> PyResult<Py<Self>> {
        let args = argument.map_or(Args::None, |argument| Args::One(argument.clone().unbind()));
        let call = Some(Call { callback: callback.clone().unbind(), args });
        let state = State {
            home: home.duplicate(py),
            context: context.clone().unbind(),
            call,
            cancelled: false,
            debug: None,
        };
        recycle::make(py, Self { state: Guarded::new(state), runner: Runner::unshared() }).map(Bound::unbind)
    }

    /// The context that the callback runs in.
    pub(crate) fn context<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.state.with(py, |state| state.context.bind(py).clone())
    }

    fn put_call(&self, callback: Bound<'_, PyAny>, args: Bound<'_, PyTuple>) {
        let py = callback.py();
        let call = Call { callback: callback.unbind(), args: Args::from_tuple(args) };
        let old = self.state.with(py, |state| state.call.replace(call));
        drop(old);
    }

    fn home(&self, py: Python<'_>) -> LoopRef {
        self.state.with(py, |state| state.home.duplicate(py))
    }

    /// The first argument of the callback.
    pub(crate) fn first_argument<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let (tuple, one) = self.state.with(py, |state| match state.call.as_ref().map(|call| &call.args) {
            Some(Args::Tuple(args)) => (Some(args.clone_ref(py)), None),
            Some(Args::One(argument)) => (None, Some(argument.clone_ref(py))),
            Some(Args::None) | None => (None, None),
        });
        match tuple {
            Some(args) => args.bind(py).get_item(0).ok(),
            None => one.map(|argument| argument.into_bound(py)),
        }
    }

    fn arguments(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        enum Shown {
            Tuple(Py<PyTuple>),
            One(Py<PyAny>),
        }
        let shown = self.state.with(py, |state| {
            state.call.as_ref().map(|call| match &call.args {
                Args::Tuple(args) => Some(Shown::Tuple(args.clone_ref(py))),
                Args::One(argument) => Some(Shown::One(argument.clone_ref(py))),
                Args::None => None,
            })
        });
        Ok(match shown {
            None => None,
            Some(None) => Some(PyTuple::empty(py).into_any().unbind()),
            Some(Some(Shown::Tuple(args))) => Some(args.into_any()),
            Some(Some(Shown::One(argument))) => Some(PyTuple::new(py, [argument])?.into_any().unbind()),
        })
    }
}

/// Cancels `handle`; in debug mode its `repr` is kept for later reports.
pub(crate) fn cancel(handle: &Bound<'_, Handle>) -> PyResult<()> {
    let py = handle.py();
    handle.get().runner.wait(py);
    let home = handle.get().state.with(py, |state| {
        if state.cancelled {
            return None;
        }
        state.cancelled = true;
        Some(state.home.duplicate(py))
    });
    let Some(home) = home else { return Ok(()) };
    if home.debug(py)? {
        let look = handle.repr()?.to_string();
        handle.get().state.with(py, |state| state.debug.get_or_insert_default().repr = Some(look));
    }
    home.release(py);
    if let Some(call) = handle.get().state.with(py, |state| state.call.take()) {
        call.drop_ref(py);
    }
    Ok(())
}

/// Calls the callback in its context. Returns only `KeyboardInterrupt` and `SystemExit` as errors; the rest is
/// reported.
#[inline]
pub(crate) fn run(handle: &Bound<'_, Handle>, show: &impl Show) -> PyResult<()> {
    enum Arguments<'py> {
        Tuple(Bound<'py, PyTuple>),
        One(Bound<'py, PyAny>),
        None,
    }
    let py = handle.py();
    if interpreter::has_one_reference(handle.as_any()) {
        return run_unobserved(handle, show);
    }
    handle.get().runner.wait(py);
    let _running = handle.get().runner.begin(handle.py());
    let taken = handle.get().state.with(py, |state| {
        let call = state.call.as_ref().filter(|_| !state.cancelled)?;
        let arguments = match &call.args {
            Args::Tuple(args) => Arguments::Tuple(args.bind(py).clone()),
            Args::One(argument) => Arguments::One(argument.bind(py).clone()),
            Args::None => Arguments::None,
        };
        Some((call.callback.bind(py).clone(), arguments, state.context.bind(py).clone()))
    });
    let Some((callback, arguments, context)) = taken else { return Ok(()) };
    let invoke = |callback: &Bound<'_, PyAny>| match arguments {
        Arguments::None => callback.call0().map(drop),
        Arguments::One(argument) => callback.call1((argument,)).map(drop),
        Arguments::Tuple(args) => callback.call1(args).map(drop),
    };
    if !context::is_context(&context) {
        return show.during(Shown::Callback(&callback), || run_in_stand_in(handle, &context));
    }
    let outcome = context::run(&context, |_| show.during(Shown::Callback(&callback), || invoke(&callback)));
    match outcome {
        Ok(()) => Ok(()),
        Err(failure) if error::ends_program(py, &failure) => Err(failure),
        Err(failure) => report(handle, &callback, failure),
    }
}

/// As `run`, for a handle that only the loop holds: its parts are moved instead of shared.
#[inline]
fn run_unobserved(handle: &Bound<'_, Handle>, show: &impl Show) -> PyResult<()> {
    let py = handle.py();
    let taken = handle.get().state.with(py, |state| {
        if state.cancelled {
            return None;
        }
        let call = state.call.take()?;
        Some((call, state.context.bind(py).clone()))
    });
    let Some((call, context)) = taken else { return Ok(()) };
    let callback = call.callback.bind(py);
    let invoke = || match &call.args {
        Args::None => callback.call0().map(drop),
        Args::One(argument) => callback.call1((argument,)).map(drop),
        Args::Tuple(args) => callback.call1(args.bind(py)).map(drop),
    };
    let outcome = if context::is_context(&context) {
        context::run(&context, |_| show.during(Shown::Callback(callback), invoke))
    } else {
        handle.get().state.with(py, |state| state.call = Some(call));
        return show.during(Shown::Callback(handle.as_any()), || run_in_stand_in(handle, &context));
    };
    match outcome {
        Ok(()) => {
            call.drop_ref(py);
            Ok(())
        }
        Err(failure) if error::ends_program(py, &failure) => Err(failure),
        Err(failure) => {
            let callback = callback.clone();
            handle.get().state.with(py, |state| state.call = Some(call));
            report(handle, &callback, failure)
        }
    }
}

/// Runs the callback with the `run` of an object that isn't a real context.
#[cold]
fn run_in_stand_in(handle: &Bound<'_, Handle>, context: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = handle.py();
    let Some(callback) = handle.get()._callback(py) else { return Ok(()) };
    let mut all = vec![callback.bind(py).clone()];
    if let Some(arguments) = handle.get().arguments(py)? {
        all.extend(arguments.bind(py).try_iter()?.collect::<PyResult<Vec<_>>>()?);
    }
    match context.call_method1(intern!(py, "run"), PyTuple::new(py, all)?) {
        Ok(_) => Ok(()),
        Err(failure) if error::ends_program(py, &failure) => Err(failure),
        Err(failure) => report(handle, callback.bind(py), failure),
    }
}

/// Tells the loop's exception handler that the callback raised.
#[cold]
fn report(handle: &Bound<'_, Handle>, callback: &Bound<'_, PyAny>, failure: PyErr) -> PyResult<()> {
    let py = handle.py();
    let home = handle.get().home(py);
    let source = format_source(py, callback, handle.get().arguments(py)?, home.debug(py)?)?;
    let failure = error::into_object(py, failure);
    let context = PyDict::new(py);
    context.set_item(intern!(py, "message"), format!("Exception in callback {source}"))?;
    context.set_item(intern!(py, "exception"), &failure)?;
    context.set_item(intern!(py, "handle"), handle)?;
    if let Some(source) = handle.get()._source_traceback(py) {
        context.set_item(intern!(py, "source_traceback"), source)?;
    }
    raise::while_handling(&failure, || home.call_exception_handler(py, &context))
}

/// `callback(args) at file:line`, as asyncio formats it; its `debug` argument exists from 3.12.2 on.
fn format_source(
    py: Python<'_>,
    callback: &Bound<'_, PyAny>,
    args: Option<Py<PyAny>>,
    debug: bool,
) -> PyResult<String> {
    let format = imports::FORMAT_CALLBACK_SOURCE.get(py)?;
    let args = match args {
        Some(args) => args.into_bound(py),
        None => PyTuple::empty(py).into_any(),
    };
    let keywords = PyDict::new(py);
    keywords.set_item(intern!(py, "debug"), debug)?;
    let text = match format.call((callback, &args), Some(&keywords)) {
        Err(failure) if failure.is_instance_of::<PyTypeError>(py) => format.call1((callback, &args))?,
        text => text?,
    };
    text.extract()
}

/// The words of a handle's `repr`.
pub(crate) fn repr_info<'py>(handle: &Bound<'py, Handle>) -> PyResult<Bound<'py, PyList>> {
    let py = handle.py();
    let info = PyList::empty(py);
    if is_thread_safe(handle) {
        info.append("_ThreadSafeHandle")?; // asyncio's class of these
    } else {
        info.append(handle.get_type().name()?)?;
    }
    if handle.get().cancelled(py) {
        info.append("cancelled")?;
    }
    if let Some(callback) = handle.get()._callback(py) {
        let debug = handle.get().home(py).debug(py)?;
        info.append(format_source(py, callback.bind(py), handle.get().arguments(py)?, debug)?)?;
    }
    if let Some(source) = handle.get()._source_traceback(py) {
        let source = source.into_bound(py);
        if source.is_truthy()? {
            let frame = source.get_item(-1)?;
            info.append(format!("created at {}:{}", frame.get_item(0)?, frame.get_item(1)?))?;
        }
    }
    Ok(info)
}

/// Whether asyncio's handle would be a `_ThreadSafeHandle`.
fn is_thread_safe(handle: &Bound<'_, Handle>) -> bool {
    cfg!(Py_3_14) && handle.get().runner.is_shared() && interpreter::is_exactly::<Handle>(handle.as_any())
}

/// Whether `_run` can't have been overridden: exactly a `Handle` or a `TimerHandle`.
#[inline]
pub(crate) fn is_plain(handle: &Bound<'_, Handle>) -> bool {
    interpreter::is_exactly::<Handle>(handle.as_any())
        || interpreter::is_exactly::<TimerHandle>(handle.as_any())
}
