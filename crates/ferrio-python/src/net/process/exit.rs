//! The end of a child: a loop in any thread notices it through the child's descriptor, and tells the protocol and the
//! waiters.
//!
//! A program that waits for every child (`os.waitpid(-1, 0)`) may get the status first. Then the kernel may still
//! know it (Linux 6.15), or the `Popen` does if the program asked it. Otherwise the status is 255 with a warning, as
//! in asyncio.

use ferrio_engine::Event;
use ferrio_engine::process::{Child, Fate};
use ferrio_engine::reactor::Interest;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::transport::SubprocessTransport;
use crate::base::gc::gc;
use crate::base::{error, imports};
use crate::core::event_loop::{Item, Loop};
use crate::core::operation::run::{Progress, Resume, Run};
use crate::core::operation::unawaited::Unawaited;
use crate::core::operation::{self, Operation};
use crate::net::transport::lifetime;
use crate::sync::locks::waiters::Ticket;

/// The status of a child whose real one is lost.
const LOST: i32 = 255;

/// Makes the loop watch for the end, unless it already does or the end has come.
pub(super) fn watch(transport: &Bound<'_, SubprocessTransport>) -> PyResult<()> {
    let (py, this) = (transport.py(), transport.get());
    let descriptor = this.core.state.with(py, |state| {
        let descriptor = state.own.child.as_ref()?.descriptor()?;
        (!std::mem::replace(&mut state.own.watched, true)).then_some(descriptor)
    });
    let Some(descriptor) = descriptor else { return Ok(()) };
    let native = this.core.event_loop.get();
    if native.watch_natively(descriptor, transport.as_any(), on_event, Some(Interest::READABLE)).is_err() {
        return wait_in_thread(transport);
    }
    native.child_began();
    Ok(())
}

/// The kernel can't watch one more descriptor, so a thread waits for the end.
#[cold]
fn wait_in_thread(transport: &Bound<'_, SubprocessTransport>) -> PyResult<()> {
    let (py, this) = (transport.py(), transport.get());
    let unwatched = Child::without_descriptor(this.pid);
    let watched = this.core.state.with(py, |state| state.own.child.replace(unwatched));
    drop(watched);
    imports::WAIT_IN_THREAD.get(py)?.call1((this.core.event_loop.bind(py), transport)).map(drop)
}

fn on_event(_native: &Bound<'_, Loop>, owner: &Bound<'_, PyAny>, _event: Event) -> PyResult<()> {
    look(owner.cast::<SubprocessTransport>()?)
}

/// Checks whether the child has ended, and how, and tells the protocol and the waiters.
pub(super) fn look(transport: &Bound<'_, SubprocessTransport>) -> PyResult<()> {
    let (py, this) = (transport.py(), transport.get());
    let fate = this.core.state.with(py, |state| state.own.child.as_ref().map(|child| child.reap()));
    let returncode = match fate {
        None | Some(Ok(Fate::Running)) => return Ok(()),
        Some(Ok(Fate::Ended(code))) => code,
        Some(Ok(Fate::Unknown)) => known_to_popen(transport)?,
        Some(Err(failure)) => return Err(error::from_system(py, &failure)),
    };
    let child = this.core.state.with(py, |state| state.own.child.take());
    if let Some(descriptor) = child.as_ref().and_then(|child| child.descriptor()) {
        this.core.event_loop.get().unwatch_natively(py, descriptor);
        this.core.event_loop.get().child_stands_still(this.pid, false);
        this.core.event_loop.get().child_ended();
    }
    drop(child);
    if !this.core.event_loop.get().is_busy(py) {
        return tell_everybody(transport, returncode);
    }
    // A turn later, as in asyncio, whose child watcher posts to the loop.
    let code = returncode.into_pyobject(py)?.into_any().unbind();
    this.core.event_loop.get().push(py, Item::Watch(transport.clone().into_any().unbind(), code, tell_late))
}

fn tell_late(owner: &Bound<'_, PyAny>, returncode: &Bound<'_, PyAny>) -> PyResult<()> {
    tell_everybody(owner.cast::<SubprocessTransport>()?, returncode.extract()?)
}

/// The status that the `Popen` has, if the program asked it.
#[cold]
fn known_to_popen(transport: &Bound<'_, SubprocessTransport>) -> PyResult<i32> {
    let py = transport.py();
    let popen = transport
        .get()
        .core
        .state
        .with(py, |state| state.own.popen.as_ref().map(|popen| popen.clone_ref(py)));
    if let Some(popen) = popen
        && let Some(code) = popen.bind(py).getattr(intern!(py, "returncode"))?.extract::<Option<i32>>()?
    {
        return Ok(code);
    }
    let text = "child process pid %d exit status already read:  will report returncode 255";
    imports::LOGGER.get(py)?.call_method1(intern!(py, "warning"), (text, transport.get().pid))?;
    Ok(LOST)
}

fn tell_everybody(transport: &Bound<'_, SubprocessTransport>, returncode: i32) -> PyResult<()> {
    let (py, this) = (transport.py(), transport.get());
    this.core.state.with(py, |state| state.own.returncode = Some(returncode));
    if this.core.event_loop.get().debug() {
        let text = "%r exited with return code %r";
        imports::LOGGER.get(py)?.call_method1(intern!(py, "info"), (text, transport, returncode))?;
    }
    let popen = this.core.state.with(py, |state| state.own.popen.as_ref().map(|popen| popen.clone_ref(py)));
    if let Some(popen) = popen {
        let popen = popen.bind(py);
        if popen.getattr(intern!(py, "returncode"))?.is_none() {
            popen.setattr(intern!(py, "returncode"), returncode)?;
        }
    }
    let told = SubprocessTransport::call(transport, intern!(py, "process_exited"), PyTuple::empty(py));
    // First, as in asyncio: if no pipes are open, the connection is lost before the waiters go on.
    let over = finish_if_over(transport);
    while let Some(waiter) = this.core.state.with(py, |state| state.own.waiters.next_parked(py)) {
        operation::wake(&waiter)?;
    }
    told.and(over)
}

/// Schedules `connection_lost` for the next turn after the child and all its pipes have ended.
pub(super) fn finish_if_over(transport: &Bound<'_, SubprocessTransport>) -> PyResult<()> {
    let (py, this) = (transport.py(), transport.get());
    let over = this.core.state.with(py, |state| {
        let over = !state.ended
            && state.own.returncode.is_some()
            && state.own.pipes.iter().flatten().all(|pipe| pipe.disconnected);
        state.ended |= over;
        over
    });
    if !over {
        return Ok(());
    }
    lifetime::schedule_loss(transport, None)
}

/// `transport._wait()`.
pub(super) fn wait(transport: &Bound<'_, SubprocessTransport>) -> Unawaited {
    Unawaited::new(Wait { transport: transport.clone().unbind(), ticket: Ticket::NONE })
}

struct Wait {
    transport: Py<SubprocessTransport>,
    ticket: Ticket,
}

gc!(Wait { transport } not { ticket });

impl Run for Wait {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let state = &self.transport.get().core.state;
        if self.ticket != Ticket::NONE {
            let gone = state.with(py, |state| state.own.waiters.remove(self.ticket));
            drop(gone);
        }
        if let Resume::Throw(exception) = resume {
            return Err(PyErr::from_value(exception));
        }
        if let Some(returncode) = state.with(py, |state| state.own.returncode) {
            return Ok(Progress::Ready(returncode.into_pyobject(py)?.into_any()));
        }
        let waiter = this.clone().unbind();
        self.ticket = state.with(py, |state| state.own.waiters.push(py, waiter))?;
        Ok(Progress::Park)
    }

    fn name(&self) -> &'static str {
        "BaseSubprocessTransport._wait"
    }
}
