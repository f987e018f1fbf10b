//! What Python sees of an operation: a coroutine, whose frame is made when a program asks for it.
//!
//! For `isinstance` its class is `types.CoroutineType`. It has a coroutine's methods and attributes. It raises the same
//! exceptions for wrong use, with a hint that an `await` may be missing. A driver inside a task's step gets the operation
//! itself yielded. For it a parked operation passes for a future: attributes that a coroutine lacks come from the view.
//!
//! The interpreter's own `await` uses the slots (`ffi/slots.rs`) and never comes here.

use pyo3::exceptions::{
    PyAttributeError, PyGeneratorExit, PyRuntimeError, PyStopIteration, PyTypeError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::run::Resume;
use super::{Operation, Phase, frames, resume, send, view};
use crate::base::class::Class;
use crate::base::ffi::coroutine::{self, Sent};
use crate::base::ffi::raise::made;
use crate::base::ffi::slots::{Awaitable, Coroutine};
use crate::base::gc::collected;
use crate::base::{error, imports};
use crate::core::future::iter::FutureIter;

/// The flag of a code object whose generators may `yield from` a coroutine: what `types.coroutine` sets.
const MAY_YIELD_FROM: u32 = 0x100;

#[pymethods]
impl Operation {
    fn __await__(slf: &Bound<'_, Self>) -> PyResult<Wrapper> {
        Self::begin(slf).map_err(|error| made(slf.py(), error))?;
        Ok(Wrapper { operation: slf.clone().unbind() })
    }

    /// Resume the operation, as a coroutine's `send`; the value is ignored.
    #[pyo3(name = "send", signature = (value, /))]
    fn send_value<'py>(slf: &Bound<'py, Self>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if !value.is_none() && slf.get().phase(slf.py()) == Phase::Fresh {
            return Err(PyTypeError::new_err("can't send non-None value to a just-started coroutine"));
        }
        send(slf).into_result()
    }

    /// Raise an exception inside the operation, as a coroutine's `throw`.
    #[pyo3(signature = (typ, val = None, tb = None, /))]
    fn throw<'py>(
        slf: &Bound<'py, Self>,
        typ: Bound<'py, PyAny>,
        val: Option<Bound<'py, PyAny>>,
        tb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let exception = error::into_object(slf.py(), coroutine::thrown(typ, val, tb)?).into_any();
        throw(slf, exception).into_result()
    }

    /// Close the operation, as a coroutine's `close`: it stops waiting.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        match slf.get().phase(py) {
            Phase::Fresh => {
                end_unused(slf);
                Ok(())
            }
            Phase::Finished => Ok(()),
            Phase::Running => Err(PyValueError::new_err("coroutine already executing")),
            _ => {
                let exit = PyGeneratorExit::new_err(());
                match resume(slf, Resume::Throw(error::into_object(py, exit).into_any())) {
                    Sent::Raised(failure)
                        if failure.is_instance_of::<PyGeneratorExit>(py)
                            || failure.is_instance_of::<PyStopIteration>(py) =>
                    {
                        Ok(())
                    }
                    Sent::Raised(failure) => Err(failure),
                    Sent::Returned(_) => Ok(()),
                    Sent::Yielded(_) => Err(PyRuntimeError::new_err("coroutine ignored GeneratorExit")),
                }
            }
        }
    }

    /// `types.CoroutineType`, so that `inspect.iscoroutine` holds. Behind a stand-in, which is a coroutine already, the
    /// class of what it awaits.
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        if slf.get().state.with(slf.py(), |state| state.stood_in_for) {
            return match awaited(slf) {
                Some(inner) => inner.getattr(intern!(slf.py(), "__class__")),
                None => Ok(slf.py().get_type::<FutureIter>().into_any()),
            };
        }
        imports::COROUTINE_TYPE.get(slf.py()).cloned()
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let name = slf.getattr(intern!(slf.py(), "__qualname__"))?;
        Ok(format!("<coroutine object {name} at {:#x}>", slf.as_ptr() as usize))
    }

    /// The name of the function that made it.
    #[getter]
    fn __name__<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        let name = self.name.rsplit('.').next().unwrap_or(self.name);
        self.given_name(py, 0).unwrap_or_else(|| PyString::new(py, name).into_any())
    }

    #[setter(__name__)]
    fn set_name(&self, value: Bound<'_, PyAny>) -> PyResult<()> {
        self.rename(0, "__name__", value)
    }

    /// The name of the function that made it, with its class.
    #[getter]
    fn __qualname__<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.given_name(py, 1).unwrap_or_else(|| PyString::new(py, self.name).into_any())
    }

    #[setter(__qualname__)]
    fn set_qualname(&self, value: Bound<'_, PyAny>) -> PyResult<()> {
        self.rename(1, "__qualname__", value)
    }

    /// What it awaits, as a coroutine's `cr_await`: another awaitable, or the iterator of a future.
    #[getter]
    fn cr_await<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        if let Some(shown) = in_its_place(slf, intern!(py, "cr_await"))? {
            return Ok(Some(shown));
        }
        if let Some(inner) = awaited(slf) {
            return Ok(Some(inner));
        }
        if let Some(inner) = frames::inner_coroutine(slf)? {
            return Ok(Some(inner));
        }
        match view::of(slf) {
            Ok(Some(view)) => Ok(Some(Bound::new(py, FutureIter::new(view.unbind()))?.into_any())),
            // Without a running loop there is nothing to show.
            Ok(None) | Err(_) => Ok(None),
        }
    }

    /// Whether it is running, as a coroutine's `cr_running`.
    #[getter]
    fn cr_running(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.inside)
    }

    /// Whether it has begun and is waiting, as a coroutine's `cr_suspended`.
    #[getter]
    fn cr_suspended(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| {
            !state.inside && !matches!(state.phase, Phase::Fresh | Phase::Running | Phase::Finished)
        })
    }

    /// Its state in `inspect`'s words, as a coroutine's `cr_state`.
    #[cfg(Py_3_15)]
    #[getter]
    fn cr_state(&self, py: Python<'_>) -> &'static str {
        self.state.with(py, |state| match state.phase {
            _ if state.inside => "CORO_RUNNING",
            Phase::Fresh => "CORO_CREATED",
            Phase::Running => "CORO_RUNNING",
            Phase::Finished => "CORO_CLOSED",
            _ => "CORO_SUSPENDED",
        })
    }

    /// Always `None`: where origins are recorded, in debug mode, a stand-in has it.
    #[getter]
    fn cr_origin(&self) -> Option<Py<PyTuple>> {
        None
    }

    /// A frame at the line where asyncio's coroutine would be; `None` after the end.
    #[getter]
    fn cr_frame<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let name = intern!(slf.py(), "cr_frame");
        if let Some(shown) = in_its_place(slf, name)? {
            return Ok(Some(shown));
        }
        match frames::shown(slf)? {
            Some(coroutine) => coroutine.getattr(name).map(Some),
            None => Ok(None),
        }
    }

    /// The code of that frame.
    #[getter]
    fn cr_code<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        frames::function_of(slf)?.bind(slf.py()).getattr(intern!(slf.py(), "__code__"))
    }

    /// Attributes that a coroutine lacks, a future may have.
    fn __getattr__<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        if let Ok(Some(view)) = view::of(slf)
            && let Ok(found) = view.getattr(name)
        {
            return Ok(found);
        }
        Err(no_attribute(slf, name))
    }

    /// For the driver to which it was yielded.
    #[setter(_asyncio_future_blocking)]
    fn set_asyncio_future_blocking(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let name = intern!(slf.py(), "_asyncio_future_blocking");
        match view::of(slf)? {
            Some(view) => view.setattr(name, value),
            None => Err(no_attribute(slf, name)),
        }
    }
}

impl Operation {
    fn given_name<'py>(&self, py: Python<'py>, which: usize) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| {
            let given = state.extra.as_ref().and_then(|extra| extra.names[which].as_ref());
            given.map(|name| name.bind(py).clone())
        })
    }

    fn rename(&self, which: usize, attribute: &str, value: Bound<'_, PyAny>) -> PyResult<()> {
        if !value.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err(format!("{attribute} must be set to a string object")));
        }
        let py = value.py();
        let value = value.unbind();
        let old =
            self.state.with(py, |state| state.extra.get_or_insert_default().names[which].replace(value));
        drop(old);
        Ok(())
    }
}

/// The awaitable that the operation awaits now.
fn awaited<'py>(operation: &Bound<'py, Operation>) -> Option<Bound<'py, PyAny>> {
    let py = operation.py();
    let awaited = operation
        .get()
        .machine
        .peek(py, |machine| machine.as_ref().and_then(|machine| machine.get().awaits(py)));
    awaited.flatten()
}

/// The attribute `name` of what is shown in the operation's place, if a stand-in shows its own frame already: the attribute
/// of the coroutine that it awaits. Raises `AttributeError` if it awaits none, as an iterator has no such attribute.
fn in_its_place<'py>(
    operation: &Bound<'py, Operation>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if !operation.get().state.with(operation.py(), |state| state.stood_in_for) {
        return Ok(None);
    }
    match awaited(operation) {
        Some(inner) => inner.getattr(name).map(Some),
        None => Err(PyAttributeError::new_err(())),
    }
}

/// A coroutine's `AttributeError`, with a hint about the likely mistake.
fn no_attribute(operation: &Bound<'_, Operation>, name: &Bound<'_, PyString>) -> PyErr {
    let py = operation.py();
    let message = format!("'coroutine' object has no attribute '{name}': is an `await` missing?");
    let fields = || {
        let fields = PyDict::new(py);
        fields.set_item(intern!(py, "name"), name)?;
        fields.set_item(intern!(py, "obj"), operation)?;
        py.get_type::<PyAttributeError>().call((&message,), Some(&fields))
    };
    fields().map_or_else(|failure| failure, PyErr::from_value)
}

/// Throws into an operation in any phase.
pub(crate) fn throw<'py>(operation: &Bound<'py, Operation>, exception: Bound<'py, PyAny>) -> Sent<'py> {
    if operation.get().phase(operation.py()) == Phase::Fresh {
        // As in a coroutine that never ran, nothing inside can catch the exception.
        end_unused(operation);
        return Sent::Raised(PyErr::from_value(exception));
    }
    resume(operation, Resume::Throw(exception))
}

/// Ends an operation that never ran.
fn end_unused(operation: &Bound<'_, Operation>) {
    let py = operation.py();
    operation.get().state.with(py, |state| state.phase = Phase::Finished);
    let ended = operation.get().machine.peek(py, Option::take);
    drop(ended);
}

/// Whether the innermost Python frame doesn't begin to await, but resumes or ends what it awaits.
#[cold]
fn goes_on_awaiting(py: Python<'_>) -> PyResult<bool> {
    let frame = imports::GETFRAME.get(py)?.call1((0,))?;
    let place: usize = frame.getattr(intern!(py, "f_lasti"))?.extract()?;
    let code = frame.getattr(intern!(py, "f_code"))?.getattr(intern!(py, "co_code"))?;
    let instruction = code.get_item(place)?;
    let name = imports::OPCODE_NAMES.get(py)?.get_item(instruction)?;
    Ok(!["GET_AWAITABLE", "GET_ANEXT", "GET_YIELD_FROM_ITER"].contains(&&*name.extract::<String>()?))
}

impl Awaitable for Operation {
    fn begin(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.get().phase(slf.py()) {
            // For the last two the next `send` raises the error.
            Phase::Fresh | Phase::Finished | Phase::Running => Ok(()),
            // `anext(iterator, default)` asks for the iterator again at each step of the task that waits in it.
            Phase::Woken | Phase::Cancelled => Ok(()),
            _ if goes_on_awaiting(slf.py()).unwrap_or(false) => Ok(()),
            _ => Err(PyRuntimeError::new_err("coroutine is being awaited already")),
        }
    }

    fn advance<'py>(slf: &Bound<'py, Self>) -> Sent<'py> {
        send(slf)
    }
}

impl Coroutine for Operation {
    /// `yield from` asks for an iterator, and so do `for` and `list()`. Only generators that may await get one.
    fn iterate<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if let Ok(frame) = imports::GETFRAME.get(py)?.call1((0,)) {
            let code = frame.getattr(intern!(py, "f_code"))?;
            let flags: u32 = code.getattr(intern!(py, "co_flags"))?.extract()?;
            if flags & MAY_YIELD_FROM != 0 {
                Self::begin(slf)?;
                return Ok(slf.as_any().clone());
            }
        }
        Err(PyTypeError::new_err("'coroutine' object is not iterable: is an `await` missing?"))
    }

    fn refuse_subscript() -> PyErr {
        PyTypeError::new_err("'coroutine' object is not subscriptable: is an `await` missing?")
    }
}

/// What an explicit call of `operation.__await__()` returns: an iterator, as a coroutine's.
#[pyclass(frozen, name = "coroutine_wrapper", module = "ferrio._ferrio")]
pub(crate) struct Wrapper {
    operation: Py<Operation>,
}

collected!(Wrapper { operation });

impl Class for Wrapper {}

#[pymethods]
impl Wrapper {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match send(self.operation.bind(py)) {
            Sent::Yielded(yielded) => Ok(Some(yielded)),
            Sent::Returned(value) if value.is_none() => Ok(None),
            Sent::Returned(value) => Err(coroutine::stop_iteration(value)),
            Sent::Raised(failure) => Err(made(py, failure)),
        }
    }

    /// As the coroutine's `send`.
    #[pyo3(signature = (value, /))]
    fn send<'py>(&self, py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        Operation::send_value(self.operation.bind(py), value)
    }

    /// As the coroutine's `throw`.
    #[pyo3(signature = (typ, val = None, tb = None, /))]
    fn throw<'py>(
        &self,
        py: Python<'py>,
        typ: Bound<'py, PyAny>,
        val: Option<Bound<'py, PyAny>>,
        tb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Operation::throw(self.operation.bind(py), typ, val, tb)
    }

    /// As the coroutine's `close`.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        Operation::close(self.operation.bind(py))
    }
}
