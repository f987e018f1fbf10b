//! What both pipe transports have in common: which files they accept, and how the file is watched and closed.

use ferrio_engine::net::{self, FileKind};
use pyo3::PyVisit;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::core::{Core, Order, Own, Transport};
use super::lifetime;
use crate::base::error;
use crate::base::ffi::context;
use crate::base::gc::{Traverse, Visited};
use crate::core::event_loop::descriptors::Side;
use crate::core::future::callbacks::WatcherCall;
use crate::core::handle;

/// The file object of a pipe, and the state for its direction.
pub(crate) struct OnPipe<E> {
    /// `None` after it is closed.
    pub(super) pipe: Option<Py<PyAny>>,
    pub(super) end: E,
}

/// What differs between the two ends of a pipe.
pub(crate) trait End {
    /// Whether nothing waits to be written.
    fn is_written(&self) -> bool;

    /// Drops what waits to be written, which runs no Python code.
    fn forget_unwritten(&mut self);

    /// The state of an open pipe in `repr`.
    fn shown(&self) -> String;
}

impl<E> Traverse for OnPipe<E> {
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        self.pipe.traverse(visit)
    }
}

impl<E: End> Own for OnPipe<E> {
    type References = ();
    type Resource = Py<PyAny>;
    type Unsent = ();

    fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    fn take(&mut self) -> Option<Py<PyAny>> {
        self.pipe.take()
    }

    fn is_sent(&self) -> bool {
        self.end.is_written()
    }

    fn take_unsent(&mut self) {
        self.end.forget_unwritten();
    }

    fn clear(&mut self) {}
}

/// Makes the transport of the file object `file` from its parts, a descriptor and the kind of file. Schedules its
/// start for the next turn.
///
/// Raises `ValueError` with the text `refusal` for a file that can't be waited for, `OSError` for a closed one.
pub(super) fn create<'py, T: Transport<Own = OnPipe<E>>, E: End>(
    order: &Order<'_, 'py>,
    file: &Bound<'py, PyAny>,
    refusal: &'static str,
    end: E,
    make: impl FnOnce(Core<OnPipe<E>>, i32, FileKind) -> PyResult<Bound<'py, T>>,
) -> PyResult<Bound<'py, T>> {
    let py = order.py();
    let extra = order.begin()?;
    let (fd, kind) = open(file, refusal)?;
    extra.set_item(intern!(py, "pipe"), file)?;
    let own = OnPipe { pipe: Some(file.clone().unbind()), end };
    let transport = make(Core::new(order, extra, context::copy_current(py)?, own)?, fd, kind)?;
    lifetime::begin(&transport, order.waiter)?;
    Ok(transport)
}

/// The descriptor of a file object, made non-blocking, and what kind of file it is.
fn open(pipe: &Bound<'_, PyAny>, refusal: &'static str) -> PyResult<(i32, FileKind)> {
    let py = pipe.py();
    let fd = pipe.call_method0(intern!(py, "fileno"))?.extract()?;
    let kind = net::file_kind(fd).map_err(|failure| error::from_system(py, &failure))?;
    if kind == FileKind::Other {
        return Err(PyValueError::new_err(refusal));
    }
    net::set_nonblocking(fd).map_err(|failure| error::from_system(py, &failure))?;
    Ok((fd, kind))
}

/// One side of a descriptor, and what the loop calls at each of its events.
pub(super) struct Watching {
    pub(super) side: Side,
    pub(super) call: WatcherCall,
    /// Whether it is only told when the other end goes away.
    pub(super) breakage: bool,
}

/// Starts or ends the loop's watch over one side of `fd`; `None` if nothing has changed.
///
/// A new watch replaces the one that the side had.
pub(super) fn settle<T: Transport>(
    transport: &Bound<'_, T>,
    fd: i32,
    changed: Option<bool>,
    watching: Watching,
) -> PyResult<()> {
    let py = transport.py();
    let event_loop = transport.get().core().event_loop.get();
    let Watching { side, call, breakage } = watching;
    match changed {
        Some(true) => {
            let replaced = event_loop
                .watch_side(fd, side, transport.as_any(), call, breakage)
                .map_err(|failure| error::from_system(py, &failure))?;
            replaced.map_or(Ok(()), |replaced| handle::cancel(replaced.bind(py)))
        }
        Some(false) => {
            event_loop.unwatch_side(fd, side, transport.as_any());
            Ok(())
        }
        None => Ok(()),
    }
}

/// Ends the watch, then calls `pipe.close()`. Afterwards nothing watches the descriptor, unless the file object
/// leaves it open.
pub(super) fn close<T: Transport>(transport: &Bound<'_, T>, fd: i32, pipe: &Py<PyAny>) -> PyResult<()> {
    T::settle_interest(transport)?;
    let (py, event_loop) = (transport.py(), &transport.get().core().event_loop);
    let pipe = pipe.bind(py);
    let mut outcome = pipe.call_method0(intern!(py, "close")).map(drop);
    if net::file_kind(fd).is_err() {
        for left in event_loop.get().forget_watchers(py, fd).into_iter().flatten() {
            outcome = outcome.and(handle::cancel(left.bind(py)));
        }
    }
    outcome
}
