//! One step of a task: resume its coroutine, and arrange what it waits for next.

use ferrio_engine::recorder::{End, Kind};
use pyo3::exceptions::{PyBaseException, PyMemoryError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::cancel::cancel_waiter;
use super::wakeup::Wakeup;
use super::{Task, current, registry};
use crate::base::ffi::coroutine::Sent;
use crate::base::ffi::scope::then_leave;
use crate::base::ffi::task_fields::look;
use crate::base::ffi::{Cast, awaiters, context};
use crate::base::{error, imports};
use crate::core::event_loop::{Item, LoopRef};
use crate::core::future::callbacks::Callback;
use crate::core::future::plain::plain;
use crate::core::future::state::Outcome;
use crate::core::future::{self, Future, native};
use crate::core::operation::{self, Operation};

/// Runs one step in the task's own context, as the loop does.
#[inline]
pub(crate) fn step(task: &Bound<'_, Task>) -> PyResult<()> {
    let Some(context) = Task::context_of(task) else { return Ok(()) };
    context::run(&context, |_| step_in_current_context(task))
}

/// Runs one step in the context that is current already.
pub(crate) fn step_in_current_context(task: &Bound<'_, Task>) -> PyResult<()> {
    let py = task.py();
    let future = task.as_super();
    if future.get().is_done(py) {
        return Err(future::invalid_state(py, &format!("step(): already done: {}", task.repr()?)));
    }
    let home = future.get().home(py)?;
    // Without memory for it, the coroutine is told so. Otherwise its task would wait for ever.
    let thrown =
        exception_to_throw(task).unwrap_or_else(|failure| Some(error::into_object(py, failure).into_any()));
    let sent = match current::during(py, &home, task, || resume(task, thrown)) {
        Ok(sent) => sent,
        // The same holds if it can't become the current task for lack of memory: it ends.
        Err(failure) if failure.is_instance_of::<PyMemoryError>(py) => Sent::Raised(failure),
        Err(failure) => return Err(failure),
    };
    let settled = settle(task, &home, sent);
    home.release(py);
    settled
}

/// The first step of an eager task: it runs inside the step of another task, and replaces that as the current one.
pub(crate) fn step_eagerly(task: &Bound<'_, Task>, home: &LoopRef) -> PyResult<()> {
    let py = task.py();
    let Some(context) = Task::context_of(task) else { return Ok(()) };
    let previous = current::swap(py, home, Some(task.as_any().clone()))?;
    if let Some(slot) = home.recorded() {
        slot.note(py, Kind::Inner, 0);
        slot.note(py, Kind::Step, Task::recorded_id(task));
    }
    let (sent, swapped) = then_leave(
        || context::run(&context, |_| Ok(resume(task, None))),
        || current::swap(py, home, previous),
    );
    let outcome = match sent {
        Ok(sent) => settle(task, home, sent),
        Err(failure) => Err(failure),
    };
    if let Some(slot) = home.recorded() {
        slot.note(py, Kind::Outer, 0);
    }
    swapped?;
    outcome
}

/// What this step must throw into the coroutine: the waiter's exception, an error of ours, or a cancellation.
fn exception_to_throw<'py>(task: &Bound<'py, Task>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = task.py();
    let (waiter, pending_error, must_cancel) = task.get().task.with(py, |state| {
        state.polls += 1;
        state.wakes += u64::from(state.waiter.is_some());
        (state.waiter.take(), state.pending_error.take(), std::mem::take(&mut state.must_cancel))
    });
    let mut thrown = pending_error.map(|error| error.into_bound(py));
    if let Some(waiter) = waiter {
        let waiter = waiter.into_bound(py);
        thrown = waiter_exception(task, &waiter)?.or(thrown);
    }
    if must_cancel {
        let cancelled = match &thrown {
            Some(exception) => exception.is_instance(imports::CANCELLED_ERROR.get(py)?)?,
            None => false,
        };
        if !cancelled {
            thrown = Some(native::make_cancelled_error(task.as_super())?);
        }
    }
    Ok(thrown)
}

/// The exception that `waiter`, which `task` awaits no longer, ended with, if it did.
#[inline]
fn waiter_exception<'py>(
    task: &Bound<'py, Task>,
    waiter: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = waiter.py();
    if let Some(operation) = waiter.as_exactly::<Operation>() {
        return operation::take_cancellation(operation);
    }
    if let Some(awaited) = Task::seen_by_tools(waiter) {
        awaiters::discard(awaited, task.as_any())?;
    }
    let failed = match plain(waiter) {
        Some(future) => {
            let fine = future.get().state.with(py, |state| matches!(state.outcome, Outcome::Result(_)));
            if fine { return Ok(None) } else { native::result(future).map(drop) }
        }
        // A subclass may have its own `result`.
        None => waiter.call_method0(intern!(py, "result")).map(drop),
    };
    Ok(failed.err().map(|failure| error::into_object(py, failure).into_any()))
}

/// Resumes the coroutine.
#[inline]
fn resume<'py>(task: &Bound<'py, Task>, thrown: Option<Bound<'py, PyAny>>) -> Sent<'py> {
    let py = task.py();
    let coroutine = look(task, |_, fields| fields.coroutine.bind(py).clone());
    if coroutine.is_none() {
        return Sent::Raised(PyRuntimeError::new_err("the task has no coroutine any more"));
    }
    match thrown {
        None => operation::send_into(&coroutine),
        Some(exception) => operation::throw_into(&coroutine, exception),
    }
}

/// Ends the task, or arranges its next step.
#[inline]
fn settle<'py>(task: &Bound<'py, Task>, home: &LoopRef, sent: Sent<'py>) -> PyResult<()> {
    let py = task.py();
    match sent {
        Sent::Yielded(yielded) => wait_for(task, home, yielded),
        Sent::Returned(value) => {
            let must_cancel = task.get().task.with(py, |state| std::mem::take(&mut state.must_cancel));
            leave(task, home, if must_cancel { End::Cancelled } else { End::Finished })?;
            let future = task.as_super();
            if must_cancel {
                // Cancelled right before the coroutine's end.
                native::finish(future, Outcome::Cancelled)
            } else {
                native::finish(future, Outcome::Result(value.unbind()))
            }
        }
        Sent::Raised(failure) => {
            let how = if error::is_cancelled(py, &failure) { End::Cancelled } else { End::Failed };
            leave(task, home, how)?;
            fail(task, how, failure)
        }
    }
}

/// The task is done, in this way.
#[inline]
fn leave(task: &Bound<'_, Task>, home: &LoopRef, how: End) -> PyResult<()> {
    registry::forget(task.py(), home, task, how)?;
    if let Some(slot) = home.recorded() {
        Task::record_end(slot, task, how);
    }
    Ok(())
}

/// Ends the task with what its coroutine raised.
fn fail(task: &Bound<'_, Task>, how: End, failure: PyErr) -> PyResult<()> {
    let py = task.py();
    let future = task.as_super();
    if let End::Cancelled = how {
        // Kept with its traceback: code that awaits the task sees where it was cancelled.
        let exception = error::into_object(py, failure).into_any().unbind();
        let old = future.get().state.with(py, |state| {
            let extra = state.extra();
            (extra.cancelled_error.replace(exception), extra.cancel_message.take())
        });
        drop(old);
        return native::finish(future, Outcome::Cancelled);
    }
    let fatal = error::ends_program(py, &failure);
    let exception: Bound<'_, PyBaseException> = error::into_object(py, failure);
    native::finish_with_exception(future, exception.clone())?;
    if fatal { Err(PyErr::from_value(exception.into_any())) } else { Ok(()) }
}

/// Registers the task with what its coroutine awaits.
#[inline]
fn wait_for<'py>(task: &Bound<'py, Task>, home: &LoopRef, yielded: Bound<'py, PyAny>) -> PyResult<()> {
    let py = task.py();
    if yielded.is_none() {
        // A bare yield gives the other tasks a turn.
        return home.schedule(py, Item::Step(task.clone().unbind()));
    }
    if let Some(operation) = yielded.as_exactly::<Operation>() {
        let adopted = operation::adopt(operation, task)?;
        if !adopted {
            return throw_next(task, home, format!("Task got bad yield: {}", yielded.repr()?));
        }
        wait_on(task, home, yielded);
        return cancel_if_asked(task);
    }
    if future::is_plain(&yielded)
        && let Some(future) = yielded.as_instance::<Future>()
    {
        return wait_for_future(task, home, future);
    }
    wait_for_foreign(task, home, &yielded)
}

fn wait_for_future<'py>(
    task: &Bound<'py, Task>,
    home: &LoopRef,
    future: &Bound<'py, Future>,
) -> PyResult<()> {
    let py = task.py();
    enum Refusal {
        OtherLoop,
        NotAwaited,
    }
    // As in asyncio, this leaves the task marked as being awaited, so that awaiting it elsewhere fails too.
    if future.as_ptr() == task.as_ptr() {
        return throw_next(task, home, format!("Task cannot await on itself: {}", task.repr()?));
    }
    let refusal = future.get().state.with(py, |state| {
        if !state.home.as_ref().is_some_and(|known| known.is(home)) {
            return Some(Refusal::OtherLoop);
        }
        if std::mem::take(&mut state.blocking) { None } else { Some(Refusal::NotAwaited) }
    });
    match refusal {
        Some(Refusal::OtherLoop) => return refuse_other_loop(task, home, future.as_any()),
        Some(Refusal::NotAwaited) => return refuse_not_awaited(task, home, future.as_any()),
        None => {}
    }
    wait_on(task, home, future.as_any().clone());
    note_awaiter(future, task)?;
    native::add_callback(future, Callback::Wake(task.clone().unbind()))?;
    cancel_if_asked(task)
}

/// Anything with asyncio's future protocol, including subclasses of ours with their own methods.
fn wait_for_foreign<'py>(
    task: &Bound<'py, Task>,
    home: &LoopRef,
    yielded: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let py = task.py();
    let name = intern!(py, "_asyncio_future_blocking");
    let blocking = match yielded.getattr(name) {
        Ok(blocking) if !blocking.is_none() => blocking.is_truthy()?,
        _ => {
            let what = if is_generator(yielded)? {
                format!(
                    "yield was used instead of yield from for generator in task {} with {}",
                    task.repr()?,
                    yielded.repr()?
                )
            } else {
                format!("Task got bad yield: {}", yielded.repr()?)
            };
            return throw_next(task, home, what);
        }
    };
    let theirs = match yielded.getattr(intern!(py, "get_loop")) {
        Ok(get_loop) => get_loop.call0()?,
        Err(_) => yielded.getattr(intern!(py, "_loop"))?,
    };
    if theirs.as_ptr() != home.as_ptr() {
        return refuse_other_loop(task, home, yielded);
    }
    if !blocking {
        return refuse_not_awaited(task, home, yielded);
    }
    if yielded.as_ptr() == task.as_ptr() {
        return throw_next(task, home, format!("Task cannot await on itself: {}", task.repr()?));
    }
    yielded.setattr(name, false)?;
    let keywords = PyDict::new(py);
    keywords.set_item(intern!(py, "context"), Task::context_of(task))?;
    let wakeup = Bound::new(py, Wakeup::new(task.clone().unbind()))?;
    wait_on(task, home, yielded.clone());
    note_awaiter(yielded, task)?;
    yielded.call_method(intern!(py, "add_done_callback"), (wakeup,), Some(&keywords))?;
    cancel_if_asked(task)
}

/// Notes for tools in other processes that `task` awaits `awaited`, if that is a task.
#[inline]
fn note_awaiter(awaited: &Bound<'_, PyAny>, task: &Bound<'_, Task>) -> PyResult<()> {
    Task::seen_by_tools(awaited).map_or(Ok(()), |awaited| awaiters::add(awaited, task.as_any()))
}

#[inline]
fn wait_on<'py>(task: &Bound<'py, Task>, home: &LoopRef, waiter: Bound<'py, PyAny>) {
    if let Some(slot) = home.recorded() {
        Task::record_wait(slot, task, &waiter);
    }
    let waiter = waiter.unbind();
    let old = task.get().task.with(task.py(), |state| state.waiter.replace(waiter));
    drop(old);
}

/// If a cancellation came while the coroutine ran, cancels what the task waits for now.
#[inline]
fn cancel_if_asked(task: &Bound<'_, Task>) -> PyResult<()> {
    let py = task.py();
    let waiter = task.get().task.with(py, |state| {
        if state.must_cancel { state.waiter.as_ref().map(|waiter| waiter.bind(py).clone()) } else { None }
    });
    let Some(waiter) = waiter else { return Ok(()) };
    let message = native::cancel_message(task.as_super().get(), py).map(|message| message.into_bound(py));
    if cancel_waiter(&waiter, message.as_ref())? {
        task.get().task.with(py, |state| state.must_cancel = false);
    }
    Ok(())
}

#[cold]
fn refuse_other_loop(task: &Bound<'_, Task>, home: &LoopRef, waiter: &Bound<'_, PyAny>) -> PyResult<()> {
    let what = format!("Task {} got Future {} attached to a different loop", task.repr()?, waiter.repr()?);
    throw_next(task, home, what)
}

#[cold]
fn refuse_not_awaited(task: &Bound<'_, Task>, home: &LoopRef, waiter: &Bound<'_, PyAny>) -> PyResult<()> {
    let what =
        format!("yield was used instead of yield from in task {} with {}", task.repr()?, waiter.repr()?);
    throw_next(task, home, what)
}

/// Throws `RuntimeError(message)` into the coroutine at its next step.
#[cold]
fn throw_next(task: &Bound<'_, Task>, home: &LoopRef, message: String) -> PyResult<()> {
    let py = task.py();
    let exception = error::into_object(py, PyRuntimeError::new_err(message)).into_any().unbind();
    let old = task.get().task.with(py, |state| state.pending_error.replace(exception));
    drop(old);
    home.schedule(py, Item::Step(task.clone().unbind()))
}

fn is_generator(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    object.is_instance(imports::GENERATOR_TYPE.get(object.py())?)
}
