//! How extension modules watch something: a time, a descriptor, the loop's close.
//!
//! The loop and the extension share a `Watch`. The loop's reference lies among the timers, in the table of descriptors, or
//! in the list of those that want to know of the loop's close. `foreign.rs` has these parts.
//!
//! Invariant: a watch leaves its place before its data is dropped, because the data may own the descriptor.

use std::sync::{Arc, OnceLock};

use ferrio_engine::clock::nanos_from_seconds;
use ferrio_engine::inbox::Inbox;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::foreign::{Foreign, Place, Watch, Watched, WatchedDescriptor};
use super::onlookers::Nobody;
use super::{Item, Loop, debug, running};
use crate::base::error;
use crate::base::ffi::c_api::{self, Callback};
use crate::base::ffi::interpreter;

/// What an extension holds of a watch.
pub(crate) struct Watching {
    watch: Arc<Watch>,
    inbox: Arc<Inbox<Item>>,
}

impl Watching {
    pub(crate) fn new(native: &Loop, callback: Callback) -> Self {
        Self { watch: Arc::new(Watch { callback, place: OnceLock::new() }), inbox: native.inbox() }
    }
}

impl c_api::Watch for Watching {
    fn cancel(&self) {
        let here = running::any_runs_here()
            && interpreter::if_attached(|py| {
                let native = running::running(py)
                    .filter(|native| Arc::ptr_eq(&native.get().shared.inbox, &self.inbox))?;
                native.get().unwatch(py, &self.watch);
                Some(())
            })
            .flatten()
            .is_some();
        if !here {
            self.watch.callback.stop();
            // A closed loop has ended the watch.
            let _refused = self.inbox.post(Item::Foreign(Foreign::Cancelled(self.watch.clone())));
        }
    }
}

impl Loop {
    /// The time that its timers go by, in nanoseconds: that of a program's own `time`, if there is one.
    pub(crate) fn time_for_timers(&self, this: &Bound<'_, PyAny>) -> PyResult<u64> {
        if !self.overrides().time() {
            return Ok(self.now(this.py()));
        }
        let time: f64 = this.call_method0(intern!(this.py(), "time"))?.extract()?;
        Ok(nanos_from_seconds(time).unwrap_or(0))
    }

    /// Lets the loop call at the time `deadline` of its clock.
    pub(crate) fn watch_time(&self, py: Python<'_>, watching: &Watching, deadline: u64) -> PyResult<()> {
        let watched = Watched(watching.watch.clone());
        self.require_here()?;
        let key = self.insert_timer(py, deadline, Item::Foreign(Foreign::Due(watched)))?;
        watching.watch.is_at(Place::Timers(key));
        Ok(())
    }

    /// Lets the loop call whenever the descriptor is ready. Raises `RuntimeError` if a transport uses it, and the `OSError` of
    /// one that is closed or can't be watched.
    pub(crate) fn watch_foreign(
        &self,
        py: Python<'_>,
        watching: &Watching,
        fd: i32,
        interest: u32,
    ) -> PyResult<()> {
        let watched = WatchedDescriptor { interest, watched: Watched(watching.watch.clone()) };
        self.require_here()?;
        let refused = self.owned.descriptors.with(py, |table| {
            let entry = table.entry(fd);
            if entry.is_native() {
                return Err((None, watched));
            }
            entry.foreign.push(watched);
            // Even if the kernel knows: an edge-triggered registration tells again what is ready.
            match entry.tell(fd, &self.shared.reactor) {
                Ok(()) => Ok(()),
                Err(failure) => match entry.foreign.pop() {
                    Some(watched) => Err((Some(failure), watched)),
                    None => Ok(()),
                },
            }
        });
        match refused {
            Ok(()) => {
                watching.watch.is_at(Place::Descriptor(fd));
                Ok(())
            }
            Err((Some(failure), _watched)) => Err(error::from_system(py, &failure)),
            Err((None, _watched)) => {
                Err(PyRuntimeError::new_err(format!("File descriptor {fd} is used by a transport")))
            }
        }
    }

    /// Lets the loop call when it is closed.
    pub(crate) fn watch_closing(&self, py: Python<'_>, watching: &Watching) -> PyResult<()> {
        let watched = Watched(watching.watch.clone());
        self.require_here()?;
        self.owned.closings.with(py, |closings| closings.push(watched));
        watching.watch.is_at(Place::Closings);
        Ok(())
    }

    /// Raises `RuntimeError` on a closed loop, and on one that another thread runs.
    fn require_here(&self) -> PyResult<()> {
        self.require_open()?;
        if self.is_running() && !self.runs_here() {
            return Err(PyRuntimeError::new_err(
                "another thread runs this loop: watch something in that thread",
            ));
        }
        Ok(())
    }

    /// Ends a watch, in the loop's thread.
    pub(super) fn unwatch(&self, py: Python<'_>, watch: &Arc<Watch>) {
        match watch.place.get() {
            Some(Place::Timers(key)) => self.forget_timer(py, *key),
            Some(Place::Descriptor(fd)) => {
                let found = self.owned.descriptors.with(py, |table| {
                    let entry = table.known(*fd)?;
                    let at = entry.foreign.iter().position(|found| found.watched.is(watch))?;
                    let found = entry.foreign.swap_remove(at);
                    // A closed descriptor needs no settling.
                    let _ = entry.settle(*fd, &self.shared.reactor);
                    Some(found)
                });
                drop(found);
            }
            Some(Place::Closings) => {
                let found = self.owned.closings.with(py, |closings| {
                    let at = closings.iter().position(|found| found.is(watch))?;
                    Some(closings.remove(at))
                });
                drop(found);
            }
            None => {}
        }
        // If the loop's reference has left its place, the call for which it did so doesn't begin any more.
        watch.callback.end(py);
    }
}

impl Watch {
    fn is_at(&self, place: Place) {
        // Once, by its maker.
        let _ = self.place.set(place);
    }
}

impl Watched {
    fn is(&self, watch: &Arc<Watch>) -> bool {
        Arc::ptr_eq(&self.0, watch)
    }
}

impl Loop {
    /// Calls an extension for events of a descriptor; if they are `late`, in their place in the queue.
    pub(super) fn watch_is_ready(
        this: &Bound<'_, Self>,
        watch: Arc<Watch>,
        events: u32,
        late: bool,
    ) -> PyResult<()> {
        let item = Item::Foreign(Foreign::Ready(watch, events));
        if late {
            return this.get().push_here(this.py(), item);
        }
        let run = || item.run(this, &Nobody);
        if this.get().shows_events() { debug::during_event(this, this.as_any(), run) } else { run() }
    }

    /// Tells extensions that the loop is being closed.
    pub(super) fn tell_closings(this: &Bound<'_, Self>) -> PyResult<()> {
        let closings = this.get().owned.closings.with(this.py(), std::mem::take);
        let mut outcome = Ok(());
        for watched in closings {
            outcome = outcome.and(Item::Foreign(Foreign::Due(watched)).run(this, &Nobody));
        }
        outcome
    }
}
