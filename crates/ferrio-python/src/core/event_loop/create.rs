//! What the loop creates: `create_future`, `create_task`, the task factory.

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::{Loop, LoopRef};
use crate::base::ffi::Cast;
use crate::core::future::{self, Future};
use crate::core::task::create;
use crate::core::task::eager::EagerTaskFactory;

#[pymethods]
impl Loop {
    /// Return a new pending `Future` of this loop.
    pub(super) fn create_future<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Future>> {
        future::create(slf.py(), LoopRef::Native(slf.clone().unbind()))
    }

    /// Return a task that runs the coroutine `coro`, made by the task factory if there is one.
    ///
    /// Takes the task's `name`, the `contextvars.Context` of its steps, and whether to run its first step at once
    /// (`eager_start`); other keywords go to the task factory. Raises `TypeError` if `coro` isn't a coroutine,
    /// `RuntimeError` on a closed loop.
    #[pyo3(signature = (coro, *, name = None, context = None, eager_start = None, **kwargs))]
    pub(crate) fn create_task<'py>(
        slf: &Bound<'py, Self>,
        coro: Bound<'py, PyAny>,
        name: Option<Bound<'py, PyAny>>,
        context: Option<Bound<'py, PyAny>>,
        eager_start: Option<Bound<'py, PyAny>>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        slf.get().require_open()?;
        let factory = slf
            .get()
            .settings
            .with(py, |settings| settings.task_factory.as_ref().map(|made| made.clone_ref(py)));
        let Some(factory) = factory else {
            if let Some(unknown) = kwargs.and_then(|kwargs| kwargs.keys().iter().next()) {
                return Err(PyTypeError::new_err(format!(
                    "create_task() got an unexpected keyword argument {}",
                    unknown.repr()?
                )));
            }
            let eager = match eager_start {
                Some(eager) => eager.is_truthy()?,
                None => false,
            };
            let home = LoopRef::Native(slf.clone().unbind());
            return create::new_task(py, home, coro, name, context, eager).map(Bound::into_any);
        };
        if let Some(eager) = factory.bind(py).as_exactly::<EagerTaskFactory>() {
            let keywords = match kwargs {
                Some(kwargs) => kwargs.copy()?,
                None => PyDict::new(py),
            };
            // The name too, because the first step may ask for it.
            for (key, value) in [(intern!(py, "name"), name), (intern!(py, "context"), context)] {
                if let Some(value) = value.filter(|value| !value.is_none()) {
                    keywords.set_item(key, value)?;
                }
            }
            return eager.get().make(slf.as_any(), coro, eager_start, &keywords);
        }
        // Task factories written before 3.14 don't accept every keyword: pass only what was given.
        let keywords = match kwargs {
            Some(kwargs) => kwargs.copy()?,
            None => PyDict::new(py),
        };
        if let Some(context) = context.filter(|context| !context.is_none()) {
            keywords.set_item(intern!(py, "context"), context)?;
        }
        if let Some(eager) = eager_start {
            keywords.set_item(intern!(py, "eager_start"), eager)?;
        }
        let mut name = name.filter(|name| !name.is_none());
        // From 3.14 on asyncio also passes the name, for tasks that begin at once; before that, it set the name
        // afterwards.
        if cfg!(Py_3_14)
            && let Some(name) = name.take()
        {
            keywords.set_item(intern!(py, "name"), name)?;
        }
        let task = factory.bind(py).call((slf, coro), Some(&keywords))?;
        if let Some(name) = name
            && task.hasattr(intern!(py, "set_name"))?
        {
            task.call_method1(intern!(py, "set_name"), (name,))?;
        }
        Ok(task)
    }

    /// Set the callable `factory(loop, coro, **kwargs)` that makes the tasks of `create_task`; `None` for the default.
    #[pyo3(signature = (factory))]
    fn set_task_factory(&self, py: Python<'_>, factory: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        if let Some(factory) = &factory
            && !factory.is_callable()
        {
            return Err(PyTypeError::new_err("task factory must be a callable or None"));
        }
        let factory = factory.map(Bound::unbind);
        let old = self.settings.with(py, |settings| std::mem::replace(&mut settings.task_factory, factory));
        drop(old);
        Ok(())
    }

    /// Return the task factory, or `None` for the default.
    fn get_task_factory(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.settings.with(py, |settings| settings.task_factory.as_ref().map(|factory| factory.clone_ref(py)))
    }
}

impl Loop {
    /// Whether `create_task` makes plain ferrio tasks: no factory, no override.
    #[inline]
    pub(crate) fn makes_plain_tasks(&self, py: Python<'_>) -> bool {
        !self.shared.overrides.create_task()
            && self.settings.with(py, |settings| settings.task_factory.is_none())
    }
}
