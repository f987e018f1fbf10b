//! `to_thread`: awaits a function that runs in a worker thread.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::sync::Arc;

use super::job::{Call, Job, Target};
use super::of_loop;
use crate::base::ffi::coroutine::Sent;
use crate::base::ffi::{Cast, context};
use crate::base::functions::{Declared, declared};
use crate::base::gc::gc;
use crate::base::imports;
use crate::core::event_loop::{self, Loop};
use crate::core::operation::run::{Progress, Resume, Run};
use crate::core::operation::unawaited::Unawaited;
use crate::core::operation::{self, Operation};

/// The state of one `to_thread`.
pub(crate) struct ToThread {
    job: Arc<Job>,
    stage: Stage,
}

gc!(ToThread { job, stage });

enum Stage {
    Fresh,
    /// The loop's own threads have it.
    Submitted,
    /// Another executor or another loop has it; this is what we await.
    Forwarded(Py<PyAny>),
}

gc!(match Stage {
    Self::Forwarded(inner) => (inner),
    Self::Fresh | Self::Submitted => (),
});

pub(crate) const TO_THREAD: Declared = declared!(to_thread).coroutine("ferrio.threads");

/// Return an awaitable that calls `func(*args, **kwargs)` in a thread of the running loop's default executor, in a
/// copy of the current context. It returns or raises what the call does.
///
/// If it is cancelled before a thread has begun, `func` is never called; a call that has begun goes on, and its
/// result is ignored. (asyncio's `to_thread`.)
#[pyfunction]
#[pyo3(signature = (func, /, *args, **kwargs))]
pub(crate) fn to_thread(func: Py<PyAny>, args: Py<PyTuple>, kwargs: Option<Py<PyDict>>) -> Unawaited {
    let job = Job::new(Call { function: func, arguments: args, keywords: kwargs, context: None });
    Unawaited::new(ToThread { job, stage: Stage::Fresh })
}

impl Run for ToThread {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        match (&self.stage, resume) {
            (Stage::Forwarded(inner), resume) => forward(inner.clone_ref(py).into_bound(py), resume),
            (_, Resume::Throw(exception)) => {
                self.job.call_off(py);
                Err(PyErr::from_value(exception))
            }
            (Stage::Fresh, Resume::Send) => self.start(this),
            (Stage::Submitted, Resume::Send) => match self.job.take(py) {
                Some(outcome) => Ok(Progress::Ready(outcome?.into_bound(py))),
                None => Ok(Progress::Park),
            },
        }
    }

    fn name(&self) -> &'static str {
        "to_thread"
    }

    fn awaits<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        match &self.stage {
            Stage::Forwarded(inner) => Some(inner.bind(py).clone()),
            Stage::Fresh | Stage::Submitted => None,
        }
    }
}

impl ToThread {
    fn start<'py>(&mut self, this: &Bound<'py, Operation>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let home = event_loop::get_running_loop(py)?;
        let context = context::copy_current(py)?;
        if let Some(native) = home.as_instance::<Loop>()
            && let Some(pool) = of_loop::own_pool(native)?
        {
            self.job.amend(py, |call| call.context = Some(context.unbind()));
            let target = Target::Operation(this.clone().unbind(), native.get().inbox());
            of_loop::submit(native, &pool, self.job.clone(), target)?;
            self.stage = Stage::Submitted;
            return Ok(Progress::Park);
        }
        let Some(call) = self.job.begin(py) else {
            return Ok(Progress::Ready(py.None().into_bound(py)));
        };
        let mut arguments = vec![context.getattr(intern!(py, "run"))?, call.function.into_bound(py)];
        arguments.extend(call.arguments.bind(py).iter());
        let keywords = call.keywords.map(|keywords| keywords.into_bound(py));
        let function = imports::PARTIAL.get(py)?.call(PyTuple::new(py, arguments)?, keywords.as_ref())?;
        let future = home.call_method1(intern!(py, "run_in_executor"), (py.None(), function))?;
        let inner = operation::start_awaiting(&future)?;
        self.stage = Stage::Forwarded(inner.clone().unbind());
        forward(inner, Resume::Send)
    }
}

fn forward<'py>(inner: Bound<'py, PyAny>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
    match operation::forward(&inner, resume) {
        Sent::Yielded(yielded) => Ok(Progress::Forward(yielded)),
        Sent::Returned(value) => Ok(Progress::Ready(value)),
        Sent::Raised(failure) => Err(failure),
    }
}
