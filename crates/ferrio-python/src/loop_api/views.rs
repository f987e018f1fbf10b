//! What tools and test helpers read in private attributes of asyncio's loop: its queues as handles, its settings.
//!
//! The loop keeps no handle for a task's step, a sleep or a timeout. A view makes handles on demand, so it costs
//! nothing before. A view is a copy: adding to it or removing from it doesn't affect the loop, but cancelling or
//! running one of its handles does.

use ferrio_engine::clock::{Nanos, seconds_from_nanos};
use ferrio_engine::timer::TimerKey;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::base::class::Class;
use crate::base::ffi::context;
use crate::base::gc::collected;
use crate::base::imports;
use crate::core::event_loop::{Item, Loop};
use crate::core::handle::{Args, Handle, TimerHandle};

#[pymethods]
impl Loop {
    /// The resolution of the clock in seconds.
    #[classattr]
    fn _clock_resolution() -> f64 {
        1e-9
    }

    /// Handles of what runs in the next turn, in order: a copy.
    #[getter]
    fn _ready<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let handles = slf
            .get()
            .ready_items(py)
            .into_iter()
            .map(|item| item.into_handle(slf))
            .collect::<PyResult<Vec<_>>>()?;
        imports::DEQUE.get(py)?.call1((handles,))
    }

    /// Handles of everything that is scheduled for later, the earliest first: a copy. Includes `asyncio.sleep` and
    /// timeouts.
    #[getter]
    fn _scheduled<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let found = slf.get().timer_items(py);
        let handles = PyList::empty(py);
        for (when, key, item) in found {
            handles.append(timer_handle(slf, when, key, item)?)?;
        }
        Ok(handles)
    }

    /// Replace the ready queue by these handles.
    #[setter(_ready)]
    fn put_ready(&self, handles: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = handles.py();
        let handles = handles.try_iter()?.map(|handle| Ok(handle?.cast_into::<Handle>()?.unbind()));
        self.replace_ready(py, handles.collect::<PyResult<Vec<_>>>()?)
    }

    /// Replace the timers by these handles.
    #[setter(_scheduled)]
    fn put_scheduled(&self, handles: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = handles.py();
        let handles = handles.try_iter()?.map(|handle| Ok(handle?.cast_into::<TimerHandle>()?));
        self.replace_timers(py, &handles.collect::<PyResult<Vec<_>>>()?)
    }

    /// Mark the loop as closed, or as open again; nothing else happens.
    #[setter(_closed)]
    fn put_closed(&self, closed: &Bound<'_, PyAny>) -> PyResult<()> {
        self.mark_closed(closed.py(), closed.is_truthy()?);
        Ok(())
    }

    #[getter(_closed)]
    fn shown_closed(&self) -> bool {
        self.closed()
    }

    #[getter(_stopping)]
    fn shown_stopping(&self) -> bool {
        self.stopping()
    }

    /// Servers set it to undo a `stop()`, in order to run the loop once more.
    #[setter(_stopping)]
    fn set_shown_stopping(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.set_stopping(value.is_truthy()?);
        Ok(())
    }

    #[getter(_debug)]
    fn shown_debug(&self) -> bool {
        self.debug()
    }

    #[setter(_debug)]
    fn put_debug(slf: &Bound<'_, Self>, enabled: &Bound<'_, PyAny>) -> PyResult<()> {
        slf.call_method1("set_debug", (enabled,)).map(drop)
    }

    #[getter(_exception_handler)]
    fn shown_exception_handler<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.call_method0("get_exception_handler")
    }

    #[setter(_exception_handler)]
    fn put_exception_handler(slf: &Bound<'_, Self>, handler: &Bound<'_, PyAny>) -> PyResult<()> {
        slf.call_method1("set_exception_handler", (handler,)).map(drop)
    }

    #[getter(_task_factory)]
    fn shown_task_factory<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.call_method0("get_task_factory")
    }

    #[setter(_task_factory)]
    fn put_task_factory(slf: &Bound<'_, Self>, factory: &Bound<'_, PyAny>) -> PyResult<()> {
        slf.call_method1("set_task_factory", (factory,)).map(drop)
    }

    /// The handles of the signals that the loop handles, by number: a copy.
    #[getter]
    fn _signal_handlers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let handlers = PyDict::new(py);
        for (signal, handle) in self.with_signals(py, |signals| signals.handlers(py)) {
            handlers.set_item(signal, handle)?;
        }
        Ok(handlers)
    }
}

impl Loop {
    /// A handle of the timer `key`, which may belong to anything of the loop's; `None` if it is no longer a timer.
    pub(crate) fn timer_view<'py>(
        slf: &Bound<'py, Self>,
        key: TimerKey,
    ) -> PyResult<Option<Bound<'py, TimerHandle>>> {
        let py = slf.py();
        let found = slf.get().timer_item(py, key);
        found.map(|(when, item)| timer_handle(slf, when, key, item)).transpose()
    }
}

/// A handle of a timer.
fn timer_handle<'py>(
    native: &Bound<'py, Loop>,
    when: Nanos,
    key: TimerKey,
    item: Item,
) -> PyResult<Bound<'py, TimerHandle>> {
    let py = native.py();
    if let Item::Handle(handle) = &item
        && let Ok(handle) = handle.bind(py).cast::<TimerHandle>()
    {
        return Ok(handle.clone());
    }
    let callback =
        Bound::new(py, Timed { native: native.clone().unbind(), key, shown: item.object(py).unbind() })?;
    let context = context::copy_current(py)?;
    let seconds = seconds_from_nanos(when);
    let handle = TimerHandle::build(py, native, seconds, None, callback.into_any(), Args::None, context)?;
    handle.get().scheduled(py, key);
    Ok(handle)
}

/// The callback of a timer that has no handle of its own: does now what the timer would do later.
#[pyclass(frozen, module = "ferrio._ferrio")]
pub(crate) struct Timed {
    native: Py<Loop>,
    key: TimerKey,
    /// The object that the timer is for.
    shown: Py<PyAny>,
}

collected!(Timed { native, shown } not { key });

impl Class for Timed {}

#[pymethods]
impl Timed {
    #[pyo3(signature = (*_args))]
    fn __call__(&self, py: Python<'_>, _args: &Bound<'_, PyTuple>) -> PyResult<()> {
        // Removed from the timers first: a timeout checks whether its timer has fired.
        let taken = self.native.get().take_timer(py, self.key);
        let Some(item) = taken else { return Ok(()) };
        let (callback, argument, _) = item.into_call(py)?;
        match argument {
            Some(argument) => callback.call1((argument,)).map(drop),
            None => callback.call0().map(drop),
        }
    }

    /// What the timer ends; tools use it to find a callback's object.
    #[getter]
    fn __self__<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.shown.bind(py).clone()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<timer of {}>", self.shown.bind(py).repr()?))
    }
}
