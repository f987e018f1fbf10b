//! What stands behind the C interface for extension modules (`include/ferrio.h`): awaitables and calls for this loop.
//!
//! `future.rs` is the operation of a future that an extension polls, `waiter.rs` that of a value that comes from another
//! thread; `bed.rs` is how both sleep. The functions that extensions call are in `base/ffi/c_api`.

mod bed;
mod future;
mod waiter;

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::base::ffi::Cast;
use crate::base::ffi::c_api::{self, Callback, Counted, ForeignFuture, Host, Waiting, Watched};
use crate::base::ffi::fastcall::Answer;
use crate::core::event_loop::sleepers::{Mailbox, Ringer};
use crate::core::event_loop::watches::Watching;
use crate::core::event_loop::{Loop, running};
use crate::core::operation::unawaited::Unawaited;

/// ferrio's loop, as extensions use it.
struct Ferrio;

#[pymethods]
impl Loop {
    /// The C interface for extension modules: a capsule (`include/ferrio.h`).
    #[classattr]
    fn __ferrio_loop_api__(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        c_api::capsule::<Ferrio>(py)
    }
}

impl Host for Ferrio {
    type Bell = Ringer;
    type Mailbox = Mailbox;
    type Watch = Watching;

    #[inline]
    fn running(py: Python<'_>) -> Option<Py<PyAny>> {
        running(py).map(Py::into_any)
    }

    fn future<'py>(event_loop: &Bound<'py, PyAny>, future: ForeignFuture) -> PyResult<Bound<'py, PyAny>> {
        let native = ours(event_loop)?;
        let name = future.name();
        let ringer = Counted::new::<Self>(Ringer::new(native.get()));
        Unawaited::named(future::Polled::new(native, future, ringer), name).object(event_loop.py())
    }

    fn waiter<'py>(event_loop: &Bound<'py, PyAny>, waiting: Waiting) -> PyResult<c_api::Waiter<'py, Ringer>> {
        let native = ours(event_loop)?;
        let name = waiting.name();
        let counted = Counted::new::<Self>((waiting, Ringer::new(native.get())));
        let waiter = waiter::Received::new(native, Arc::clone(&counted));
        Ok((Unawaited::named(waiter, name).object(event_loop.py())?, counted))
    }

    fn mailbox(event_loop: &Bound<'_, PyAny>) -> PyResult<Mailbox> {
        Ok(Mailbox::new(ours(event_loop)?.get()))
    }

    fn time(event_loop: &Bound<'_, PyAny>) -> PyResult<u64> {
        ours(event_loop)?.get().time_for_timers(event_loop)
    }

    fn watch(
        event_loop: &Bound<'_, PyAny>,
        watched: Watched,
        callback: Callback,
    ) -> PyResult<Arc<Counted<Watching>>> {
        let py = event_loop.py();
        let native = match ours(event_loop) {
            Ok(native) => native.get(),
            Err(failure) => {
                callback.end(py);
                return Err(failure);
            }
        };
        let watching = Counted::new::<Self>(Watching::new(native, callback));
        match watched {
            Watched::Time(deadline) => native.watch_time(py, &watching.value, deadline),
            Watched::Descriptor(fd, interest) => native.watch_foreign(py, &watching.value, fd, interest),
            Watched::Close => native.watch_closing(py, &watching.value),
        }?;
        Ok(watching)
    }
}

fn ours<'a, 'py>(event_loop: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, Loop>> {
    let ours = event_loop.as_instance::<Loop>();
    ours.ok_or_else(|| PyTypeError::new_err("the C interface was given a loop that isn't ferrio's"))
}
