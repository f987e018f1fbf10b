//! Reports: the exception handlers, and debug mode with its slow callbacks.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use super::onlookers::Show;
use super::patches::Run;
use super::{Item, Loop, modes, running};
use crate::base::ffi::scope::then_leave;
use crate::base::{error, imports, observation};

#[pymethods]
impl Loop {
    /// Return whether debug mode is on.
    fn get_debug(&self) -> bool {
        self.debug()
    }

    /// Turn debug mode on or off: checks of threads and callbacks, slow-callback reports, origins of objects.
    fn set_debug(slf: &Bound<'_, Self>, enabled: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let enabled = enabled.is_truthy()?;
        slf.get().set_mode(modes::DEBUG, enabled);
        if slf.get().is_running() {
            if running(py).is_some_and(|here| here.is(slf)) {
                return track_origins(slf, enabled);
            }
            let track = slf.getattr(intern!(py, "_set_coroutine_origin_tracking"))?;
            slf.call_method1(intern!(py, "call_soon_threadsafe"), (track, enabled))?;
        }
        Ok(())
    }

    fn _set_coroutine_origin_tracking(slf: &Bound<'_, Self>, enabled: bool) -> PyResult<()> {
        track_origins(slf, enabled)
    }

    /// The time in seconds from which debug mode reports a callback as slow; initially 0.1.
    #[getter]
    fn slow_callback_duration(&self, py: Python<'_>) -> Py<PyAny> {
        self.settings.with(py, |settings| settings.slow_callback_duration.clone_ref(py))
    }

    #[setter(slow_callback_duration)]
    fn set_slow_callback_duration(&self, given: Bound<'_, PyAny>) -> PyResult<()> {
        let py = given.py();
        let given = given.unbind();
        let old =
            self.settings.with(py, |settings| std::mem::replace(&mut settings.slow_callback_duration, given));
        drop(old);
        Ok(())
    }

    /// In debug mode, the handle that is running.
    #[getter]
    fn _current_handle(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.settings.with(py, |settings| settings.current_handle.as_ref().map(|handle| handle.clone_ref(py)))
    }

    /// Set the callable `handler(loop, context)` for errors that nobody can catch; `None` for the default.
    #[pyo3(signature = (handler))]
    fn set_exception_handler(&self, py: Python<'_>, handler: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        if let Some(handler) = &handler
            && !handler.is_callable()
        {
            let look = handler.repr()?;
            return Err(PyTypeError::new_err(format!("A callable object or None is expected, got {look}")));
        }
        let handler = handler.map(Bound::unbind);
        let old =
            self.settings.with(py, |settings| std::mem::replace(&mut settings.exception_handler, handler));
        drop(old);
        Ok(())
    }

    /// Return the exception handler, or `None` for the default.
    fn get_exception_handler(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.settings
            .with(py, |settings| settings.exception_handler.as_ref().map(|handler| handler.clone_ref(py)))
    }

    /// Log the problem described by the dict `context` to the logger "asyncio", at level ERROR.
    fn default_exception_handler(slf: &Bound<'_, Self>, context: &Bound<'_, PyAny>) -> PyResult<()> {
        log_problem(slf, context)
    }

    /// Call `ask(loop, seconds, watched)` whenever the loop would wait without a timer or a job; `None` ends that.
    ///
    /// It runs in the loop's thread, after nothing has come for that many seconds, with the number of watched
    /// descriptors. It returns how many seconds to wait before it is asked again, or raises to end the run.
    #[pyo3(signature = (ask, /))]
    fn _ask_when_stuck(&self, py: Python<'_>, ask: Option<Py<PyAny>>) {
        let old = self.settings.with(py, |settings| std::mem::replace(&mut settings.when_stuck, ask));
        drop(old);
    }

    /// Pass the problem described by the dict `context` to the exception handler.
    fn call_exception_handler(slf: &Bound<'_, Self>, context: &Bound<'_, PyAny>) -> PyResult<()> {
        handle_problem(slf, context)
    }
}

/// `slow_callback_duration` of a new loop.
pub(super) fn usual_slow_callback_duration(py: Python<'_>) -> PyResult<Py<PyAny>> {
    Ok(0.1_f64.into_pyobject(py)?.into_any().unbind())
}

/// Whether the environment asks for debug mode (`PYTHONASYNCIODEBUG`, `-X dev`).
pub(super) fn wanted_by_environment(py: Python<'_>) -> PyResult<bool> {
    imports::COROUTINES_MODULE.get(py)?.getattr(intern!(py, "_is_debug_mode"))?.call0()?.is_truthy()
}

/// Raises or restores the depth to which coroutines remember where they were made. Meanwhile operations are observed.
pub(super) fn track_origins(native: &Bound<'_, Loop>, enabled: bool) -> PyResult<()> {
    let py = native.py();
    let saved = native.get().settings.with(py, |settings| settings.saved.origin_depth.take());
    match (enabled, saved) {
        (true, None) => {
            let depth = imports::GET_ORIGIN_DEPTH.get(py)?.call0()?;
            imports::SET_ORIGIN_DEPTH.get(py)?.call1((10,))?;
            let depth = depth.unbind();
            native.get().settings.with(py, |settings| settings.saved.origin_depth = Some(depth));
            observation::begin();
        }
        (true, Some(saved)) => {
            native.get().settings.with(py, |settings| settings.saved.origin_depth = Some(saved));
        }
        (false, Some(saved)) => {
            observation::end();
            imports::SET_ORIGIN_DEPTH.get(py)?.call1((saved,))?;
        }
        (false, None) => {}
    }
    Ok(())
}

/// Runs one item and times it: if it takes longer than `slow_callback_duration`, that is reported.
#[cold]
pub(super) fn run_item(
    native: &Bound<'_, Loop>,
    item: Item,
    show: &impl Show,
    run: Option<&Run>,
) -> PyResult<()> {
    let py = native.py();
    let shown = item.object(py);
    let entry = shown.clone().unbind();
    let old = native.get().settings.with(py, |settings| settings.current_handle.replace(entry));
    drop(old);
    let run = || match item {
        // An event is timed later, when its object is known.
        _ if item.is_ours_alone() => item.run(native, show),
        _ => timed(native, &shown, || item.run_by(native, show, run)),
    };
    let (outcome, old) =
        then_leave(run, || native.get().settings.with(py, |settings| settings.current_handle.take()));
    drop(old);
    outcome
}

/// Runs `work`, and reports it if it takes longer than `slow_callback_duration`; the report names `shown`.
fn timed(
    native: &Bound<'_, Loop>,
    shown: &Bound<'_, PyAny>,
    work: impl FnOnce() -> PyResult<()>,
) -> PyResult<()> {
    let py = native.py();
    let before = native.get().now(py);
    work()?;
    let seconds = ferrio_engine::seconds_from_nanos(native.get().now(py).saturating_sub(before));
    let limit = native.get().slow_callback_duration(py).bind(py).extract::<f64>()?;
    if seconds >= limit {
        let progress = native.get().progress();
        let watched = native.get().has_mode(modes::WATCHED);
        progress.count_slow(watched.then(|| progress.pulse().number()));
        let look = describe(shown)?;
        let logger = imports::LOGGER.get(py)?;
        logger.call_method1(intern!(py, "warning"), ("Executing %s took %.3f seconds", look, seconds))?;
    }
    Ok(())
}

/// Runs what an event causes, in a loop that has a mode; `owner` is what it works on.
#[cold]
pub(super) fn during_event(
    native: &Bound<'_, Loop>,
    owner: &Bound<'_, PyAny>,
    body: impl FnOnce() -> PyResult<()>,
) -> PyResult<()> {
    let body = || if native.get().debug() { timed(native, owner, body) } else { body() };
    native.get().record_event(owner);
    match native.get().onlookers() {
        Some(onlookers) => onlookers.during_either(owner, body),
        None => body(),
    }
}

/// The name of a slow object in the report. A transport runs its protocol's methods, so it is named together with the
/// program's protocol, even if one of ours is in between.
fn describe(shown: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = shown.py();
    let look = shown.repr()?.to_string();
    let method = shown.getattr_opt(intern!(py, "get_protocol"))?;
    let Some(protocol) = method.and_then(|method| method.call0().ok()).filter(|found| !found.is_none())
    else {
        return Ok(look);
    };
    let inner = protocol.getattr_opt(intern!(py, "_app_protocol"))?.filter(|found| !found.is_none());
    Ok(format!("{look} with protocol {}", inner.unwrap_or(protocol).repr()?))
}

/// The value of `key` in the mapping `context`, unless that is `None`.
fn known<'py>(context: &Bound<'py, PyAny>, key: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    let found = context.call_method1(intern!(context.py(), "get"), (key,))?;
    Ok(Some(found).filter(|found| !found.is_none()))
}

fn log_problem(native: &Bound<'_, Loop>, context: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = native.py();
    let message = known(context, "message")?.filter(|message| message.is_truthy().unwrap_or(true));
    let mut text = match message {
        Some(message) => message.str()?.to_string(),
        None => "Unhandled exception in event loop".to_owned(),
    };
    let exception = known(context, "exception")?;
    if !context.contains(intern!(py, "source_traceback"))?
        && let Some(handle) = native.get()._current_handle(py)
        && let Ok(source) = handle.bind(py).getattr(intern!(py, "_source_traceback"))
        && source.is_truthy()?
    {
        context.set_item(intern!(py, "handle_traceback"), source)?;
    }
    let keys = PyList::new(py, context.try_iter()?.collect::<PyResult<Vec<_>>>()?)?;
    keys.sort()?;
    for key in keys.iter() {
        let value = context.get_item(&key)?;
        let key: String = key.str()?.to_string();
        if key == "message" || key == "exception" {
            continue;
        }
        let shown = match key.as_str() {
            "source_traceback" => {
                format!("Object created at (most recent call last):\n{}", lines_of(&value)?)
            }
            "handle_traceback" => {
                format!("Handle created at (most recent call last):\n{}", lines_of(&value)?)
            }
            _ => value.repr()?.to_string(),
        };
        text.push_str(&format!("\n{key}: {shown}"));
    }
    let keywords = PyDict::new(py);
    match exception {
        Some(exception) => {
            let traceback = exception.getattr(intern!(py, "__traceback__"))?;
            keywords.set_item(intern!(py, "exc_info"), (exception.get_type(), exception, traceback))?;
        }
        None => keywords.set_item(intern!(py, "exc_info"), false)?,
    }
    imports::LOGGER.get(py)?.call_method(intern!(py, "error"), (text,), Some(&keywords))?;
    Ok(())
}

fn lines_of(stack: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = stack.py();
    let lines = imports::FORMAT_LIST.get(py)?.call1((stack,))?;
    let text: String = PyString::new(py, "").call_method1(intern!(py, "join"), (lines,))?.extract()?;
    Ok(text.trim_end().to_owned())
}

fn handle_problem(native: &Bound<'_, Loop>, context: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = native.py();
    if native.get().recorded().is_some()
        && let Err(failure) = imports::LOOP_FAILED.get(py).and_then(|tell| tell.call1((context,)))
    {
        failure.write_unraisable(py, Some(native.as_any()));
    }
    let default = intern!(py, "default_exception_handler");
    let handler = native.get().get_exception_handler(py);
    let Some(handler) = handler else {
        return match native.call_method1(default, (context,)) {
            Err(failure) if !error::ends_program(py, &failure) => {
                log_failure(py, "Exception in default exception handler", failure)
            }
            outcome => outcome.map(drop),
        };
    };
    let failure = match call_in_context_of_culprit(native, handler.bind(py), context) {
        Ok(()) => return Ok(()),
        Err(failure) if error::ends_program(py, &failure) => return Err(failure),
        Err(failure) => failure,
    };
    let second = PyDict::new(py);
    second.set_item(intern!(py, "message"), "Unhandled error in exception handler")?;
    second.set_item(intern!(py, "exception"), error::into_object(py, failure))?;
    second.set_item(intern!(py, "context"), context)?;
    match native.call_method1(default, (second,)) {
        Err(failure) if !error::ends_program(py, &failure) => log_failure(
            py,
            "Exception in default exception handler while handling an unexpected error in custom exception handler",
            failure,
        ),
        outcome => outcome.map(drop),
    }
}

/// Calls the user's handler in the context of the task, future or handle that the problem concerns.
fn call_in_context_of_culprit<'py>(
    native: &Bound<'py, Loop>,
    handler: &Bound<'py, PyAny>,
    problem: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let py = native.py();
    for key in ["task", "future", "handle"] {
        let Some(culprit) = known(problem, key)? else { continue };
        if let Ok(get_context) = culprit.getattr(intern!(py, "get_context")) {
            let context = get_context.call0()?;
            if !context.is_none() && context.hasattr(intern!(py, "run"))? {
                context.call_method1(intern!(py, "run"), (handler, native, problem))?;
                return Ok(());
            }
        }
        break;
    }
    handler.call1((native, problem))?;
    Ok(())
}

fn log_failure(py: Python<'_>, message: &str, failure: PyErr) -> PyResult<()> {
    let keywords = PyDict::new(py);
    keywords.set_item(intern!(py, "exc_info"), error::into_object(py, failure))?;
    imports::LOGGER.get(py)?.call_method(intern!(py, "error"), (message,), Some(&keywords))?;
    Ok(())
}
