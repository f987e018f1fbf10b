//! A reference to a loop, for futures, tasks and handles: ferrio's own, or any object with a loop's methods.

use ferrio_engine::recorder::Kind;
use pyo3::prelude::*;

use super::{Item, Loop};
use crate::base::ffi::Cast;
use crate::base::gc::gc;
use crate::base::imports;
use crate::core::handle::Handle;
use crate::core::task::Task;

/// A loop, ours or not.
pub(crate) enum LoopRef {
    /// A ferrio loop (a subclass included).
    Native(Py<Loop>),
    /// Anything else that behaves like an `asyncio.AbstractEventLoop`.
    Foreign(Py<PyAny>),
}

gc!(match LoopRef {
    Self::Native(native) => (native),
    Self::Foreign(foreign) => (foreign),
});

impl LoopRef {
    /// Wraps any loop object.
    #[inline]
    pub(crate) fn new(object: &Bound<'_, PyAny>) -> Self {
        match object.as_instance::<Loop>() {
            Some(native) => Self::Native(native.clone().unbind()),
            None => Self::Foreign(object.clone().unbind()),
        }
    }

    /// The loop as Python sees it.
    #[inline]
    pub(crate) fn object<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        match self {
            Self::Native(native) => native.bind(py).as_any().clone(),
            Self::Foreign(foreign) => foreign.bind(py).clone(),
        }
    }

    /// Another reference to the same loop.
    #[inline]
    pub(crate) fn duplicate(&self, py: Python<'_>) -> Self {
        match self {
            Self::Native(native) => Self::Native(native.clone_ref(py)),
            Self::Foreign(foreign) => Self::Foreign(foreign.clone_ref(py)),
        }
    }

    /// Drops it while attached, which avoids a check of the thread's state.
    #[inline]
    pub(crate) fn release(self, py: Python<'_>) {
        match self {
            Self::Native(native) => native.drop_ref(py),
            Self::Foreign(foreign) => foreign.drop_ref(py),
        }
    }

    /// Whether `other` is the same loop.
    #[inline]
    pub(crate) fn is(&self, other: &LoopRef) -> bool {
        self.as_ptr() == other.as_ptr()
    }

    /// The address of the loop object, which is its identity.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut pyo3::ffi::PyObject {
        match self {
            Self::Native(native) => native.as_ptr(),
            Self::Foreign(foreign) => foreign.as_ptr(),
        }
    }

    /// The ferrio loop, if it is one and its `call_soon` wasn't replaced.
    #[inline]
    pub(crate) fn direct(&self) -> Option<&Py<Loop>> {
        match self {
            Self::Native(native) if !native.get().overrides().call_soon() => Some(native),
            _ => None,
        }
    }

    /// Whether the loop is in debug mode. Raises what a foreign `get_debug` raises.
    #[inline]
    pub(crate) fn debug(&self, py: Python<'_>) -> PyResult<bool> {
        match self {
            Self::Native(native) => Ok(native.get().debug()),
            Self::Foreign(foreign) => foreign.bind(py).call_method0(intern!(py, "get_debug"))?.is_truthy(),
        }
    }

    /// Schedules `item` for the next turn. Raises `RuntimeError` on a closed loop.
    #[inline]
    pub(crate) fn schedule(&self, py: Python<'_>, item: Item) -> PyResult<()> {
        if let Some(native) = self.direct() {
            return native.get().push(py, item);
        }
        let (callback, argument, context) = item.into_call(py)?;
        self.call_soon(py, &callback, argument.as_ref(), Some(&context))
    }

    /// Schedules the next step of `task`, which waited. Raises `RuntimeError` on a closed loop.
    #[inline]
    pub(crate) fn wake(&self, py: Python<'_>, task: Py<Task>) -> PyResult<()> {
        if let Some(slot) = self.recorded() {
            let kind = if self.is_here() { Kind::Wake } else { Kind::WakeOutside };
            slot.note(py, kind, task.as_ptr().addr() as u64);
        }
        self.schedule(py, Item::Step(task))
    }

    /// Schedules `item` for the next turn, from any thread. Raises `RuntimeError` on a closed loop.
    pub(crate) fn post(&self, py: Python<'_>, item: Item) -> PyResult<()> {
        if let Self::Native(native) = self
            && !native.get().overrides().call_soon_threadsafe()
        {
            return native.get().post(item);
        }
        let (callback, argument, context) = item.into_call(py)?;
        let keywords = pyo3::types::PyDict::new(py);
        keywords.set_item(intern!(py, "context"), context)?;
        let object = self.object(py);
        let method = intern!(py, "call_soon_threadsafe");
        match argument {
            Some(argument) => object.call_method(method, (callback, argument), Some(&keywords))?,
            None => object.call_method(method, (callback,), Some(&keywords))?,
        };
        Ok(())
    }

    /// `loop.call_soon(callback[, argument], context=context)`, as a Python call.
    pub(crate) fn call_soon<'py>(
        &self,
        py: Python<'py>,
        callback: &Bound<'py, PyAny>,
        argument: Option<&Bound<'py, PyAny>>,
        context: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        if let (Some(native), Some(context)) = (self.direct(), context) {
            let handle = Handle::internal(py, self, callback, argument, context)?;
            return native.get().push(py, Item::Handle(handle));
        }
        let keywords = pyo3::types::PyDict::new(py);
        if let Some(context) = context {
            keywords.set_item(intern!(py, "context"), context)?;
        }
        let object = self.object(py);
        let method = if self.runs_in_another_thread(py)? {
            intern!(py, "call_soon_threadsafe")
        } else {
            intern!(py, "call_soon")
        };
        match argument {
            Some(argument) => object.call_method(method, (callback, argument), Some(&keywords))?,
            None => object.call_method(method, (callback,), Some(&keywords))?,
        };
        Ok(())
    }

    /// Whether it is a foreign loop that another thread runs, so that we mustn't use its `call_soon`. Our own loop
    /// checks this itself.
    fn runs_in_another_thread(&self, py: Python<'_>) -> PyResult<bool> {
        let Self::Foreign(foreign) = self else { return Ok(false) };
        if imports::STANDARD_RUNNING_LOOP.get(py)?.call0()?.is(foreign) {
            return Ok(false);
        }
        // A test's mock of a loop may return anything, or have no such method.
        let running = foreign.bind(py).call_method0(intern!(py, "is_running"));
        Ok(running.is_ok_and(|running| running.is(pyo3::types::PyBool::new(py, true))))
    }

    /// Reports an error that nobody can catch: `loop.call_exception_handler(context)`.
    pub(crate) fn call_exception_handler<'py>(
        &self,
        py: Python<'py>,
        context: &Bound<'py, pyo3::types::PyDict>,
    ) -> PyResult<()> {
        self.object(py).call_method1(intern!(py, "call_exception_handler"), (context,))?;
        Ok(())
    }
}
