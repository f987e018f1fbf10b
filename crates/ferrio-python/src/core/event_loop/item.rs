//! The items of the ready queue and the timers: everything that a turn can run.

use ferrio_engine::SleeperKey;
use ferrio_engine::reactor::Event;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::foreign::Foreign;
use super::onlookers::{Show, Shown};
use super::patches::Run;
use super::{Loop, LoopRef, descriptors};
use crate::base::error;
use crate::base::ffi::{Cast, context, raise};
use crate::base::gc::gc;
use crate::core::future::callbacks::{Watch, WatcherCall};
use crate::core::handle::{self, Args, Handle};
use crate::core::operation::{self, Operation};
use crate::core::task::wakeup::{Wakeup, Watcher};
use crate::core::task::{Task, current, step};

/// One thing to run.
pub(crate) enum Item {
    /// A step of a task, in its context.
    Step(Py<Task>),
    /// A Python callback.
    Handle(Py<Handle>),
    /// The end of an operation's wait: usually a timer.
    Wake(Py<Operation>),
    /// Call the function with both objects: work that ferrio's own code defers.
    Watch(Py<PyAny>, Py<PyAny>, WatcherCall),
    /// Tell the first object that the second, a future, is done.
    Done(Py<PyAny>, Py<PyAny>, &'static Watch),
    /// An event on a descriptor with a native watcher.
    Event(Event),
    /// The end of the wait that this key names: another thread has rung an alarm (`sleepers.rs`).
    Alarm(SleeperKey),
    /// What an extension module has left.
    Foreign(Foreign),
}

gc!(match Item {
    Self::Step(task) => (task),
    Self::Handle(handle) => (handle),
    Self::Wake(operation) => (operation),
    Self::Event(_) | Self::Alarm(_) | Self::Foreign(_) => (),
    Self::Watch(watcher, what, _) | Self::Done(watcher, what, _) => (watcher, what),
});

impl Item {
    /// Runs it, and shows what runs. Only errors that must leave the loop are returned; all others are reported.
    #[inline]
    pub(crate) fn run(self, native: &Bound<'_, Loop>, show: &impl Show) -> PyResult<()> {
        let py = native.py();
        match self {
            Self::Step(task) => {
                let task = task.into_bound(py);
                match show.during(Shown::Step(task.as_any()), || step::step(&task)) {
                    Ok(()) => Ok(()),
                    Err(failure) => report(native, failure, task.as_any()),
                }
            }
            Self::Handle(handle) => {
                current::retire(native)?;
                let handle = handle.into_bound(py);
                if handle::is_plain(&handle) {
                    // A cancelled handle has nothing left to call.
                    return handle::run(&handle, show);
                }
                if handle.get().cancelled(py) {
                    return Ok(());
                }
                show.during(Shown::Callback(handle.as_any()), || {
                    handle.call_method0(intern!(py, "_run")).map(drop)
                })
            }
            Self::Wake(operation) => {
                let operation = operation.bind(py);
                let shown = Shown::Wake(operation.as_any(), &|| operation.get().name());
                match show.during(shown, || operation::wake(operation)) {
                    Ok(_) => Ok(()),
                    Err(failure) => report(native, failure, operation.as_any()),
                }
            }
            Self::Event(event) => descriptors::act_late(native, event),
            Self::Alarm(sleeper) => match native.get().sleeper(py, sleeper) {
                // The same as if the operation had been queued.
                Some(operation) => Self::Wake(operation).run(native, show),
                None => Ok(()),
            },
            Self::Foreign(foreign) => {
                current::retire(native)?;
                match show.during(Shown::Callback(native.as_any()), || foreign.run(native.as_any())) {
                    Ok(None) => Ok(()),
                    Ok(Some(cancelled)) => {
                        native.get().unwatch(py, &cancelled);
                        Ok(())
                    }
                    Err(failure) => report(native, failure, native.as_any()),
                }
            }
            Self::Watch(watcher, what, call) => tell(native, watcher, what, call, show),
            Self::Done(watcher, future, watch) => tell(native, watcher, future, watch.call, show),
        }
    }

    /// Runs it, as a handle if something other than the loop runs those.
    #[inline]
    pub(super) fn run_by(
        self,
        native: &Bound<'_, Loop>,
        show: &impl Show,
        run: Option<&Run>,
    ) -> PyResult<()> {
        match run {
            None => self.run(native, show),
            Some(run) => self.run_as_handle(native, show, run),
        }
    }

    /// Whether only the loop that took it in can handle it, so that no handle stands for it. (asyncio's handle of an event
    /// calls a method of its own transport.)
    pub(super) fn is_ours_alone(&self) -> bool {
        matches!(self, Self::Event(_) | Self::Alarm(_) | Self::Foreign(_))
    }

    #[cold]
    fn run_as_handle(self, native: &Bound<'_, Loop>, show: &impl Show, run: &Run) -> PyResult<()> {
        let py = native.py();
        if self.is_ours_alone() {
            return self.run(native, show);
        }
        current::retire(native)?;
        let is_step = matches!(self, Self::Step(_));
        let shown = self.object(py);
        let object = self.into_handle(native)?;
        let handle = object.cast::<Handle>()?;
        if handle.get().cancelled(py) {
            return Ok(());
        }
        let call = || match run {
            Run::Standard(run) if handle::is_plain(handle) => run.bind(py).call1((handle,)),
            _ => handle.call_method0(intern!(py, "_run")),
        };
        show.during(if is_step { Shown::Step(&shown) } else { Shown::Callback(&shown) }, call)?;
        // A step leaves its task as the current one.
        current::retire(native)
    }

    /// The same as a Python call, for a loop that isn't ours: callable, argument, context.
    #[allow(clippy::type_complexity, reason = "three parts of one call, taken apart at once")]
    pub(crate) fn into_call<'py>(
        self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, Option<Bound<'py, PyAny>>, Bound<'py, PyAny>)> {
        match self {
            Self::Step(task) => {
                let context = match Task::context_of(task.bind(py)) {
                    Some(context) => context,
                    None => context::copy_current(py)?,
                };
                Ok((Bound::new(py, Wakeup::new(task))?.into_any(), None, context))
            }
            Self::Handle(handle) => {
                let run = handle.bind(py).getattr(intern!(py, "_run"))?;
                Ok((run, None, context::copy_current(py)?))
            }
            Self::Wake(operation) => {
                let waker = operation::waker::Waker { operation };
                Ok((Bound::new(py, waker)?.into_any(), None, context::copy_current(py)?))
            }
            Self::Event(_) | Self::Alarm(_) | Self::Foreign(_) => {
                unreachable!("only the loop that took it in queues it, for itself")
            }
            Self::Watch(watcher, what, call) => {
                let watcher = Bound::new(py, Watcher::of_call(watcher, call))?.into_any();
                Ok((watcher, Some(what.into_bound(py)), context::copy_current(py)?))
            }
            Self::Done(watcher, future, watch) => {
                let watcher = Bound::new(py, Watcher::new(watcher, watch))?.into_any();
                Ok((watcher, Some(future.into_bound(py)), context::copy_current(py)?))
            }
        }
    }

    /// A handle that does the same; a handle is its own.
    pub(crate) fn into_handle<'py>(self, native: &Bound<'py, Loop>) -> PyResult<Bound<'py, PyAny>> {
        let py = native.py();
        if let Self::Handle(handle) = self {
            return Ok(handle.into_bound(py).into_any());
        }
        let (callback, argument, context) = self.into_call(py)?;
        let args = argument.map_or(Args::None, |argument| Args::One(argument.unbind()));
        let home = LoopRef::Native(native.clone().unbind());
        let handle = Handle::build(py, home, callback, args, context, false)?;
        Ok(Bound::new(py, handle)?.into_any())
    }

    /// Another reference to the same thing; `None` if only the loop itself can handle it.
    pub(crate) fn duplicate(&self, py: Python<'_>) -> Option<Self> {
        Some(match self {
            Self::Step(task) => Self::Step(task.clone_ref(py)),
            Self::Handle(handle) => Self::Handle(handle.clone_ref(py)),
            Self::Wake(operation) => Self::Wake(operation.clone_ref(py)),
            Self::Watch(watcher, what, call) => Self::Watch(watcher.clone_ref(py), what.clone_ref(py), *call),
            Self::Done(watcher, future, watch) => {
                Self::Done(watcher.clone_ref(py), future.clone_ref(py), watch)
            }
            Self::Event(_) | Self::Alarm(_) | Self::Foreign(_) => return None,
        })
    }

    /// As `duplicate`, also for what only the loop itself handles, to look at it. An extension's call can't be copied.
    pub(super) fn look(&self, py: Python<'_>) -> Option<Self> {
        match self {
            Self::Event(event) => Some(Self::Event(*event)),
            Self::Alarm(sleeper) => Some(Self::Alarm(*sleeper)),
            other => other.duplicate(py),
        }
    }

    /// Drops it while attached, which avoids a check of the thread's state.
    #[inline]
    pub(crate) fn release(self, py: Python<'_>) {
        match self {
            Self::Handle(handle) => handle.drop_ref(py),
            Self::Wake(operation) => operation.drop_ref(py),
            Self::Watch(watcher, what, _) | Self::Done(watcher, what, _) => {
                watcher.drop_ref(py);
                what.drop_ref(py);
            }
            other => drop(other),
        }
    }

    /// The context that it must enter, if it has one of its own.
    pub(crate) fn context<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        match self {
            Self::Step(task) => Task::context_of(task.bind(py)),
            Self::Handle(handle) => Some(handle.get().context(py)),
            _ => None,
        }
    }

    /// The object that debug mode names in its reports.
    pub(crate) fn object<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        match self {
            Self::Step(task) => task.bind(py).as_any().clone(),
            Self::Handle(handle) => handle.bind(py).as_any().clone(),
            Self::Wake(operation) => operation.bind(py).as_any().clone(),
            Self::Watch(watcher, ..) | Self::Done(watcher, ..) => watcher.bind(py).clone(),
            Self::Event(_) | Self::Alarm(_) | Self::Foreign(_) => py.None().into_bound(py),
        }
    }
}

/// Calls one of ferrio's own functions and reports what it raises.
#[inline]
fn tell(
    native: &Bound<'_, Loop>,
    watcher: Py<PyAny>,
    what: Py<PyAny>,
    call: WatcherCall,
    show: &impl Show,
) -> PyResult<()> {
    let py = native.py();
    let (watcher, what) = (watcher.into_bound(py), what.into_bound(py));
    current::retire(native)?;
    let call = || call(&watcher, &what);
    let outcome = match watcher.as_exactly::<Operation>() {
        Some(operation) => show.during(Shown::Wake(&watcher, &|| operation.get().name()), call),
        None => show.during(Shown::Callback(&watcher), call),
    };
    match outcome {
        Ok(()) => Ok(()),
        Err(failure) => report(native, failure, &watcher),
    }
}

/// Reports what went wrong in one of ferrio's own callbacks, or lets it leave the loop.
#[cold]
fn report(native: &Bound<'_, Loop>, failure: PyErr, culprit: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = native.py();
    if error::ends_program(py, &failure) {
        return Err(failure);
    }
    let failure = error::into_object(py, failure);
    let context = PyDict::new(py);
    context.set_item(intern!(py, "message"), format!("Exception in callback of {}", culprit.repr()?))?;
    context.set_item(intern!(py, "exception"), &failure)?;
    raise::while_handling(&failure, || {
        native.call_method1(intern!(py, "call_exception_handler"), (context,)).map(drop)
    })
}
