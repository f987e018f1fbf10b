//! The callable that foreign futures and loops get in order to resume a task.

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;

use super::{Task, step};
use crate::base::class::Class;
use crate::base::ffi::{Cast, Leaf};
use crate::base::gc::collected;
use crate::base::imports;
use crate::core::future::callbacks::{Watch, WatcherCall};

/// Steps a task when called: as `loop.call_soon(wakeup, context=task.get_context())` and as a done callback.
#[pyclass(frozen, module = "ferrio._ferrio")]
pub(crate) struct Wakeup {
    task: Leaf<Option<Py<Task>>>,
}

collected!(Wakeup { task }, clear { task });

impl Class for Wakeup {}

impl Wakeup {
    pub(crate) fn new(task: Py<Task>) -> Self {
        Self { task: Leaf::new(Some(task)) }
    }

    /// The task that it steps. May be called while a future's callbacks are borrowed.
    pub(crate) fn task(&self, py: Python<'_>) -> Option<Py<Task>> {
        self.task.with(py, |task| task.as_ref().map(|task| task.clone_ref(py)))
    }
}

#[pymethods]
impl Wakeup {
    /// Takes the future that is done, if any; its outcome is read from the task's waiter.
    #[pyo3(signature = (_future = None))]
    fn __call__(&self, py: Python<'_>, _future: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let task = self.task.with(py, |task| task.as_ref().map(|task| task.bind(py).clone()));
        // The handle that runs this has entered the task's context already.
        task.map_or(Ok(()), |task| step::step_in_current_context(&task))
    }

    /// The task; tools use it to find what a callback wakes.
    #[getter]
    fn __self__(&self, py: Python<'_>) -> Option<Py<Task>> {
        self.task(py)
    }

    #[getter]
    fn __qualname__(&self) -> &'static str {
        "Task.task_wakeup"
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let task = self.__self__(py);
        Ok(format!("<TaskWakeup of {}>", task.into_pyobject(py)?.repr()?))
    }
}

/// The callable for a native watcher on a foreign future or loop.
#[pyclass(frozen, module = "ferrio._ferrio")]
pub(crate) struct Watcher {
    watcher: Leaf<Option<Py<PyAny>>>,
    call: WatcherCall,
    /// `None` if the loop calls it directly, not a future.
    watch: Option<&'static Watch>,
}

collected!(Watcher { watcher } not { call, watch }, clear { watcher });

impl Class for Watcher {}

impl Watcher {
    pub(crate) fn new(watcher: Py<PyAny>, watch: &'static Watch) -> Self {
        Self { watcher: Leaf::new(Some(watcher)), call: watch.call, watch: Some(watch) }
    }

    /// The callable of something that the loop calls directly, not as a future's callback.
    pub(crate) fn of_call(watcher: Py<PyAny>, call: WatcherCall) -> Self {
        Self { watcher: Leaf::new(Some(watcher)), call, watch: None }
    }

    /// The callback that it represents, if it is a future's callback.
    pub(crate) fn watch(&self) -> Option<&'static Watch> {
        self.watch
    }

    /// The object that it tells. May be called while a future's callbacks are borrowed.
    pub(crate) fn watcher(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.watcher.with(py, |watcher| watcher.as_ref().map(|watcher| watcher.clone_ref(py)))
    }
}

#[pymethods]
impl Watcher {
    fn __call__(&self, done: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = done.py();
        let watcher =
            self.watcher.with(py, |watcher| watcher.as_ref().map(|watcher| watcher.bind(py).clone()));
        watcher.map_or(Ok(()), |watcher| (self.call)(&watcher, done))
    }

    /// Two are equal if they tell the same object, so that `remove_done_callback` of a foreign future finds it. Our
    /// own futures compare the object itself.
    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> bool {
        let address =
            |watcher: &Watcher| watcher.watcher.with(py, |known| known.as_ref().map(|known| known.as_ptr()));
        let theirs = match other.as_instance::<Self>() {
            Some(other) => address(other.get()),
            None => Some(other.as_ptr()),
        };
        address(self) == theirs
    }

    /// asyncio's name of the callback, for views of a future. If asyncio has no such callback, the watcher's class.
    #[getter]
    fn __qualname__(&self, py: Python<'_>) -> PyResult<String> {
        match (self.watch, self.watcher(py)) {
            (Some(watch), _) => Ok(watch.name.to_owned()),
            (None, Some(watcher)) => Ok(watcher.bind(py).get_type().name()?.to_string()),
            (None, None) => Ok(String::new()),
        }
    }

    /// asyncio's function of that name, which is never called: tools use it to find file and line. Raises
    /// `AttributeError` if there is none.
    #[getter]
    fn __wrapped__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let name = self.__qualname__(py)?;
        let function = imports::CALLBACK_FUNCTION.get(py)?.call1((&name,))?;
        if function.is_none() { Err(PyAttributeError::new_err("__wrapped__")) } else { Ok(function) }
    }

    fn __hash__(&self, py: Python<'_>) -> isize {
        self.watcher.with(py, |watcher| watcher.as_ref().map_or(0, |watcher| watcher.as_ptr() as isize >> 4))
    }
}
