//! Eager task factories: tasks whose first step runs inside `create_task`.

use pyo3::exceptions::PyAttributeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::{Task, create};
use crate::base::class::Class;
use crate::base::ffi::Guarded;
use crate::base::functions::{Declared, declared};
use crate::base::gc::collected;
use crate::base::imports;
use crate::core::event_loop::LoopRef;

/// A task factory, made by `create_eager_task_factory`: call it as `factory(loop, coro, *, eager_start=True, **kwargs)`.
#[pyclass(frozen, weakref, dict, module = "ferrio.tasks")]
pub(crate) struct EagerTaskFactory {
    constructor: Guarded<Option<Py<PyAny>>>,
}

collected!(EagerTaskFactory { constructor }, written by constructor, clear { constructor });

impl Class for EagerTaskFactory {}

pub(crate) const CREATE_EAGER_TASK_FACTORY: Declared =
    declared!(create_eager_task_factory).function("ferrio.tasks");

/// Return a task factory for `loop.set_task_factory`, whose tasks run their first step at once.
///
/// Takes `custom_task_constructor`, which makes the task: a callable with the signature of `Task`, `eager_start` included.
#[pyfunction]
pub(crate) fn create_eager_task_factory(custom_task_constructor: Py<PyAny>) -> EagerTaskFactory {
    EagerTaskFactory { constructor: Guarded::new(Some(custom_task_constructor)) }
}

#[pymethods]
impl EagerTaskFactory {
    #[pyo3(signature = (r#loop, coro, *, eager_start = None, **kwargs))]
    fn __call__<'py>(
        &self,
        r#loop: &Bound<'py, PyAny>,
        coro: Bound<'py, PyAny>,
        eager_start: Option<Bound<'py, PyAny>>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = coro.py();
        let keywords = match kwargs {
            Some(kwargs) => kwargs.copy()?,
            None => PyDict::new(py),
        };
        self.make(r#loop, coro, eager_start, &keywords)
    }

    #[getter]
    fn __name__(&self) -> &'static str {
        "factory"
    }

    #[getter]
    fn __qualname__(&self) -> &'static str {
        "create_eager_task_factory.<locals>.factory"
    }

    /// The code object of the standard library's factories. anyio wants to defer the first step of eager tasks. It
    /// uses this and `__closure__` to recognise an eager factory and to find what makes its tasks. Python 3.11 has no
    /// such factory.
    #[getter]
    fn __code__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let code = imports::EAGER_FACTORY_CODE.get(py)?;
        if code.is_none() {
            return Err(PyAttributeError::new_err(
                "Python 3.11 has no eager task factories, so there is no such code",
            ));
        }
        Ok(code.clone())
    }

    /// One cell with the task constructor, as a Python function would have it.
    #[getter]
    fn __closure__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let cell = imports::CELL_TYPE.get(py)?.call1((self.constructor(py),))?;
        PyTuple::new(py, [cell])
    }
}

impl EagerTaskFactory {
    /// The callable that makes the tasks.
    fn constructor<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        let constructor =
            self.constructor.with(py, |known| known.as_ref().map(|known| known.bind(py).clone()));
        constructor.unwrap_or_else(|| Task::type_of(py).into_any())
    }

    /// Makes a task; takes over `keywords`.
    pub(crate) fn make<'py>(
        &self,
        home: &Bound<'py, PyAny>,
        coro: Bound<'py, PyAny>,
        eager_start: Option<Bound<'py, PyAny>>,
        keywords: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = coro.py();
        let constructor = self.constructor(py);
        if constructor.is(Task::type_of(py)) {
            let (name, context) =
                (keywords.get_item(intern!(py, "name"))?, keywords.get_item(intern!(py, "context"))?);
            let known = usize::from(name.is_some()) + usize::from(context.is_some());
            if keywords.len() == known {
                let eager = eager_start.map_or(Ok(true), |eager| eager.is_truthy())?;
                return create::new_task(py, LoopRef::new(home), coro, name, context, eager)
                    .map(Bound::into_any);
            }
        }
        keywords.set_item(intern!(py, "loop"), home)?;
        match eager_start {
            Some(eager) => keywords.set_item(intern!(py, "eager_start"), eager)?,
            None => keywords.set_item(intern!(py, "eager_start"), true)?,
        }
        constructor.call((coro,), Some(keywords))
    }
}

impl Task {
    fn type_of(py: Python<'_>) -> Bound<'_, PyType> {
        py.get_type::<Self>()
    }
}
