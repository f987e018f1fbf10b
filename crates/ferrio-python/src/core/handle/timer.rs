//! `TimerHandle`: a callback that waits for a time of the loop's clock.

use ferrio_engine::timer::TimerKey;
use pyo3::basic::CompareOp;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::{Args, Handle, cancel, repr_info};
use crate::base::class::{Class, Standard};
use crate::base::ffi::recycle::recycled;
use crate::base::ffi::trashcan::chained;
use crate::base::ffi::{Cast, Guarded, context};
use crate::base::functions::Functions;
use crate::base::gc::collected;
use crate::core::event_loop::{Loop, LoopRef};

/// A callback that the loop is going to call at the time `when` (seconds of `loop.time()`); what `call_later` and
/// `call_at` return. Meaning and methods are those of `asyncio.TimerHandle`.
#[pyclass(extends = Handle, subclass, frozen, module = "ferrio")]
pub(crate) struct TimerHandle {
    /// Seconds of the loop's clock.
    when: f64,
    /// The number that the caller gave, unless it was a float; `when()` returns it.
    given: Option<Py<PyAny>>,
    /// Its place in the loop's timers while it waits there.
    key: Guarded<Option<TimerKey>>,
}

collected!(TimerHandle { given } not { when, key }, written by key);

impl Class for TimerHandle {
    const BELOW: Option<Standard> = Some(("asyncio.events", "TimerHandle"));
}

recycled!(TimerHandle);
chained!(TimerHandle);

impl Functions for TimerHandle {}

#[pymethods]
impl TimerHandle {
    #[new]
    #[pyo3(signature = (when, callback, args, r#loop, context = None))]
    fn new(
        when: Bound<'_, PyAny>,
        callback: Bound<'_, PyAny>,
        args: Bound<'_, PyAny>,
        r#loop: Bound<'_, PyAny>,
        context: Option<Bound<'_, PyAny>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let py = callback.py();
        let args = PyTuple::new(py, args.try_iter()?.collect::<PyResult<Vec<_>>>()?)?;
        let context = context::given_or_copy(py, context)?;
        let home = LoopRef::new(&r#loop);
        let debug = home.debug(py)?;
        let base = Handle::build(py, home, callback, Args::from_tuple(args), context, debug)?;
        let this = Self { when: when.extract()?, given: given(&when), key: Guarded::new(None) };
        Ok(PyClassInitializer::from(base).add_subclass(this))
    }

    /// Everything was done when the object was made; a subclass may pass whatever it likes.
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __init__(&self, _args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) {}

    /// Return the time of the call, in seconds of `loop.time()`.
    fn when<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        match &self.given {
            Some(given) => given.bind(py).clone(),
            None => pyo3::types::PyFloat::new(py, self.when).into_any(),
        }
    }

    /// Cancel the call. Has no effect after the first time, or after the callback has run.
    fn cancel(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let base = slf.as_super();
        if let Some(key) = slf.get().key.with(py, Option::take) {
            let home = base.get().home(py);
            if let LoopRef::Native(native) = &home {
                native.get().forget_timer(py, key);
            }
            home.release(py);
        } else if !base.get().cancelled(py)
            && let LoopRef::Foreign(foreign) = base.get().home(py)
        {
            foreign.bind(py).call_method1(intern!(py, "_timer_handle_cancelled"), (slf,))?;
        }
        cancel(base)
    }

    fn _repr_info<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let info = repr_info(slf.as_super())?;
        let place = if slf.as_super().get().cancelled(slf.py()) { 2 } else { 1 };
        let when = slf.get().when(slf.py());
        info.insert(place, format!("when={}", when.repr()?))?;
        Ok(info)
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.when(py).hash()
    }

    fn __richcmp__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>, op: CompareOp) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let Some(other) = other.as_instance::<Self>() else { return Ok(py.NotImplemented()) };
        let (mine, theirs) = (slf.get().when, other.get().when);
        let equal = || -> PyResult<bool> {
            if mine != theirs {
                return Ok(false);
            }
            let (a, b) = (slf.as_super().get(), other.as_super().get());
            Ok(a.cancelled(py) == b.cancelled(py)
                && a._callback(py).into_pyobject(py)?.eq(b._callback(py))?
                && a.arguments(py)?.into_pyobject(py)?.eq(b.arguments(py)?)?)
        };
        let answer = match op {
            CompareOp::Lt => mine < theirs,
            CompareOp::Gt => mine > theirs,
            CompareOp::Eq => equal()?,
            CompareOp::Ne => !equal()?,
            CompareOp::Le => mine < theirs || equal()?,
            CompareOp::Ge => mine > theirs || equal()?,
        };
        Ok(answer.into_pyobject(py)?.to_owned().into_any().unbind())
    }

    #[getter]
    fn _when<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.when(py)
    }

    #[getter]
    fn _scheduled(slf: &Bound<'_, Self>) -> bool {
        let py = slf.py();
        match (slf.get().key.with(py, |key| *key), slf.as_super().get().home(py)) {
            (Some(key), LoopRef::Native(native)) => native.get().has_timer(py, key),
            _ => false,
        }
    }
}

impl TimerHandle {
    /// A timer of a ferrio loop, not scheduled yet.
    #[inline]
    pub(crate) fn build<'py>(
        py: Python<'py>,
        native: &Bound<'py, Loop>,
        when: f64,
        given: Option<Py<PyAny>>,
        callback: Bound<'py, PyAny>,
        args: Args,
        context: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let debug = native.get().debug();
        let home = LoopRef::Native(native.clone().unbind());
        let base = Handle::build(py, home, callback, args, context, debug)?;
        Bound::new(
            py,
            PyClassInitializer::from(base).add_subclass(Self { when, given, key: Guarded::new(None) }),
        )
    }

    /// Its place among the loop's timers, now or before it fired.
    pub(crate) fn key(&self, py: Python<'_>) -> Option<TimerKey> {
        self.key.with(py, |key| *key)
    }

    /// The time of the call, in seconds of the loop's clock.
    pub(crate) fn seconds(&self) -> f64 {
        self.when
    }

    /// Records its place among the loop's timers.
    pub(crate) fn scheduled(&self, py: Python<'_>, key: TimerKey) {
        self.key.with(py, |place| *place = Some(key));
    }
}

/// What `when()` must return, unless a float is enough.
pub(crate) fn given(when: &Bound<'_, PyAny>) -> Option<Py<PyAny>> {
    (!when.is_exact_instance_of::<pyo3::types::PyFloat>()).then(|| when.clone().unbind())
}
