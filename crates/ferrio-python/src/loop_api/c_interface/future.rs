//! The operation of a future that an extension polls.

use std::sync::Arc;
use std::task::Poll;

use pyo3::prelude::*;

use super::bed::Bed;
use crate::base::ffi::c_api::{Counted, ForeignFuture};
use crate::base::gc::gc;
use crate::core::event_loop::Loop;
use crate::core::event_loop::sleepers::Ringer;
use crate::core::operation::Operation;
use crate::core::operation::run::{Progress, Resume, Run};

/// The state of one such await. Invariant: a future that has ended or was cancelled isn't polled again.
pub(super) struct Polled {
    bed: Bed,
    future: ForeignFuture,
    /// What the extension gets as its waker.
    ringer: Arc<Counted<Ringer>>,
}

gc!(Polled { bed, future } not { ringer });

impl Polled {
    pub(super) fn new(home: &Bound<'_, Loop>, future: ForeignFuture, ringer: Arc<Counted<Ringer>>) -> Self {
        Self { bed: Bed::new(home), future, ringer }
    }
}

impl Run for Polled {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        if let Resume::Throw(exception) = resume {
            self.bed.leave(py);
            return Err(PyErr::from_value(exception));
        }
        let outcome =
            self.bed.prepare(this, &self.ringer.value).and_then(|()| self.future.poll(py, &self.ringer));
        match outcome {
            Ok(Poll::Pending) => {
                let from_outside = self.future.is_woken_from_outside(|| self.ringer.value.any_outside());
                self.bed.lie_down(from_outside);
                Ok(Progress::Park)
            }
            Ok(Poll::Ready(value)) => {
                self.bed.leave(py);
                Ok(Progress::Ready(value))
            }
            Err(failure) => {
                self.bed.leave(py);
                Err(failure)
            }
        }
    }

    fn name(&self) -> &'static str {
        self.future.name()
    }
}
