//! What the loop creates: `create_future`, `create_task`, the task factory.
//!
//! An eager task factory is a Python function that `asyncio.create_eager_task_factory` made, ferrio's too. The loop
//! recognises it by its code and makes the task itself. A tracer may give the function other code; then it is called
//! like any factory.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::{Loop, LoopRef};
use crate::base::ffi::function_code;
use crate::base::imports;
use crate::core::future::{self, Future};
use crate::core::task::{Task, create, given};

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
        if slf.get().shared.overrides.standard_create_task()
            && let Some(patched) = slf.get().settings.with(py, |settings| settings.patches.create_task(py))
        {
            let named = [
                ("name", name.as_ref()),
                ("context", context.as_ref()),
                ("eager_start", eager_start.as_ref()),
            ];
            let keywords = given(py, kwargs, &named)?;
            return patched.bind(py).call((slf, coro), Some(&keywords));
        }
        slf.get().require_open()?;
        let (factory, constructor) = slf.get().settings.with(py, |settings| {
            let factory = settings.task_factory.as_ref().map(|made| made.clone_ref(py));
            let constructor = factory.as_ref().and(settings.eager_constructor.as_ref());
            (factory, constructor.map(|made| made.clone_ref(py)))
        });
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
        if let Some(constructor) = constructor
            && is_eager(factory.bind(py))?
        {
            // The name too, because the first step may ask for it.
            let named = [("name", not_none(&name)), ("context", not_none(&context))];
            let keywords = given(py, kwargs, &named)?;
            return make_eager(constructor.bind(py), slf, coro, eager_start, &keywords);
        }
        // Task factories written before 3.14 don't accept every keyword: pass only what was given.
        let named = [("context", not_none(&context)), ("eager_start", eager_start.as_ref())];
        let keywords = given(py, kwargs, &named)?;
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
        let constructor = factory.as_ref().map(constructor_of).transpose()?.flatten().map(Bound::unbind);
        let factory = factory.map(Bound::unbind);
        let old = self.settings.with(py, |settings| {
            (
                std::mem::replace(&mut settings.task_factory, factory),
                std::mem::replace(&mut settings.eager_constructor, constructor),
            )
        });
        drop(old);
        Ok(())
    }

    /// Return the task factory, or `None` for the default.
    fn get_task_factory(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.settings.with(py, |settings| settings.task_factory.as_ref().map(|factory| factory.clone_ref(py)))
    }
}

/// Whether `factory` has the code that all eager task factories share.
#[inline]
fn is_eager(factory: &Bound<'_, PyAny>) -> PyResult<bool> {
    let code = imports::EAGER_FACTORY_CODE.get(factory.py())?;
    Ok(function_code::address(factory) == code.as_ptr().addr())
}

/// What makes the tasks of an eager factory; `None` for any other.
fn constructor_of<'py>(factory: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if !is_eager(factory)? {
        return Ok(None);
    }
    let py = factory.py();
    let cells = factory.getattr(intern!(py, "__closure__"))?;
    cells.get_item(0)?.getattr(intern!(py, "cell_contents")).map(Some)
}

/// Makes a task as the factory with this constructor does; takes over `keywords`.
fn make_eager<'py>(
    constructor: &Bound<'py, PyAny>,
    home: &Bound<'py, Loop>,
    coro: Bound<'py, PyAny>,
    eager_start: Option<Bound<'py, PyAny>>,
    keywords: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = coro.py();
    if constructor.is(py.get_type::<Task>()) {
        let (name, context) =
            (keywords.get_item(intern!(py, "name"))?, keywords.get_item(intern!(py, "context"))?);
        let known = usize::from(name.is_some()) + usize::from(context.is_some());
        if keywords.len() == known {
            let eager = eager_start.map_or(Ok(true), |eager| eager.is_truthy())?;
            return create::new_task(py, LoopRef::Native(home.clone().unbind()), coro, name, context, eager)
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

/// An argument that was given and isn't `None`, which stands for the default.
fn not_none<'a, 'py>(argument: &'a Option<Bound<'py, PyAny>>) -> Option<&'a Bound<'py, PyAny>> {
    argument.as_ref().filter(|argument| !argument.is_none())
}

impl Loop {
    /// Whether `create_task` makes plain ferrio tasks: no factory, no override.
    #[inline]
    pub(crate) fn makes_plain_tasks(&self, py: Python<'_>) -> bool {
        !self.shared.overrides.create_task()
            && self.settings.with(py, |settings| settings.task_factory.is_none())
    }
}
