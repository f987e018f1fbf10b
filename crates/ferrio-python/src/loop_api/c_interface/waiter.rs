//! The operation of a value that another thread hands over.

use std::sync::Arc;

use pyo3::prelude::*;

use super::bed::Bed;
use crate::base::ffi::c_api::{Counted, Waiting};
use crate::base::ffi::interpreter;
use crate::base::gc::gc;
use crate::core::event_loop::Loop;
use crate::core::event_loop::sleepers::Ringer;
use crate::core::operation::Operation;
use crate::core::operation::run::{Progress, Resume, Run};

/// The state of one such await.
pub(super) struct Received {
    bed: Bed,
    /// What the extension completes.
    waiter: Arc<Counted<(Waiting, Ringer)>>,
}

gc!(Received { bed } not { waiter });

impl Received {
    pub(super) fn new(home: &Bound<'_, Loop>, waiter: Arc<Counted<(Waiting, Ringer)>>) -> Self {
        Self { bed: Bed::new(home), waiter }
    }
}

impl Run for Received {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let (waiting, ringer) = &self.waiter.value;
        if let Resume::Throw(exception) = resume {
            self.bed.leave(py);
            return Err(PyErr::from_value(exception));
        }
        if let Err(failure) = self.bed.prepare(this, ringer) {
            self.bed.leave(py);
            return Err(failure);
        }
        match waiting.take_value(py) {
            None => {
                self.bed.lie_down(true);
                Ok(Progress::Park)
            }
            Some(outcome) => {
                self.bed.leave(py);
                outcome.map(Progress::Ready)
            }
        }
    }

    fn name(&self) -> &'static str {
        self.waiter.value.0.name()
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        // Operations are always dropped while attached.
        interpreter::if_attached(|py| self.waiter.value.0.give_up(py));
    }
}
