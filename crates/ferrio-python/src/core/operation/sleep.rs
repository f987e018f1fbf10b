//! `sleep`: lets time pass, or one turn of the loop.

use ferrio_engine::timer::TimerKey;
use pyo3::exceptions::{PyBaseException, PyValueError};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit, intern};

use super::Operation;
use super::run::{Progress, Resume, Run};
use crate::base::class::Class;
use crate::base::ffi::fastcall::{Answer, Arguments, QuickFunction};
use crate::base::functions::{Declared, declared};
use crate::base::seconds::seconds;
use crate::core::event_loop::{self, Item, Loop, LoopRef};

/// The state of one `sleep`.
pub(crate) struct Sleep {
    /// In seconds; zero or less means a bare yield.
    delay: f64,
    result: Option<Py<PyAny>>,
    timer: Timer,
}

/// What will end the sleep.
enum Timer {
    NotStarted,
    /// Nothing: the delay isn't a valid number, and the `await` raises this.
    Refused(Py<PyBaseException>),
    Native(Py<Loop>, TimerKey),
    /// A handle from a loop that has its own `call_later`.
    Handle(Py<PyAny>),
    Yielded,
}

pub(crate) const SLEEP: Declared = declared!(sleep).coroutine("ferrio.tasks").by::<Quickly>();

/// The quick way to `sleep`.
pub(crate) struct Quickly;

impl QuickFunction for Quickly {
    const FROM: usize = 1;
    const TO: usize = 2;

    #[inline]
    fn call<'py>(py: Python<'py>, given: &Arguments<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        let result = given.find(1).filter(|result| !result.is_none());
        sleep(&given.get(0), result.map(|result| result.to_owned().unbind())).object(py)
    }
}

/// Return an awaitable that ends after `delay` seconds with `result`. A delay of zero or less lets one turn pass.
///
/// The `await` raises `TypeError` if `delay` isn't a number and, from Python 3.13 on, `ValueError` for a NaN. It never ends
/// early (asyncio's `sleep`).
#[pyfunction]
#[pyo3(signature = (delay, result = None))]
pub(crate) fn sleep(delay: &Bound<'_, PyAny>, result: Option<Py<PyAny>>) -> Operation {
    let py = delay.py();
    let (delay, timer) = match seconds(delay, "delay") {
        Ok(delay) if cfg!(Py_3_13) && delay.is_nan() => {
            (delay, refused(py, PyValueError::new_err("Invalid delay: NaN (not a number)")))
        }
        Ok(delay) => (delay, Timer::NotStarted),
        Err(failure) => (0.0, refused(py, failure)),
    };
    Operation::new(Sleep { delay, result, timer })
}

#[cold]
fn refused(py: Python<'_>, failure: PyErr) -> Timer {
    Timer::Refused(failure.into_value(py))
}

impl Run for Sleep {
    #[inline]
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        if let Resume::Throw(exception) = resume {
            self.stop_timer(py)?;
            return Err(PyErr::from_value(exception));
        }
        match &self.timer {
            Timer::NotStarted if self.delay <= 0.0 => {
                self.timer = Timer::Yielded;
                Ok(Progress::Yield)
            }
            Timer::NotStarted => {
                self.start_timer(this)?;
                Ok(Progress::Park)
            }
            Timer::Refused(failure) => Err(PyErr::from_value(failure.bind(py).as_any().clone())),
            _ => {
                let result = self.result.take();
                Ok(Progress::Ready(
                    result.map_or_else(|| py.None().into_bound(py), |result| result.into_bound(py)),
                ))
            }
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.result)?;
        match &self.timer {
            Timer::Native(native, _) => visit.call(native),
            Timer::Handle(handle) => visit.call(handle),
            Timer::Refused(failure) => visit.call(failure),
            Timer::NotStarted | Timer::Yielded => Ok(()),
        }
    }

    fn name(&self) -> &'static str {
        "sleep"
    }
}

impl Sleep {
    fn start_timer(&mut self, this: &Bound<'_, Operation>) -> PyResult<()> {
        let py = this.py();
        let home = LoopRef::new(&event_loop::get_running_loop(py)?);
        self.timer = match home {
            LoopRef::Native(native) if !native.get().overrides().timers() => {
                let deadline = native.get().deadline_after(py, self.delay);
                let key = native.get().insert_timer(py, deadline, Item::Wake(this.clone().unbind()))?;
                Timer::Native(native, key)
            }
            other => {
                let waker = Bound::new(py, Waker { operation: this.clone().unbind() })?;
                let handle = other.object(py).call_method1(intern!(py, "call_later"), (self.delay, waker))?;
                Timer::Handle(handle.unbind())
            }
        };
        Ok(())
    }

    fn stop_timer(&mut self, py: Python<'_>) -> PyResult<()> {
        match std::mem::replace(&mut self.timer, Timer::Yielded) {
            Timer::Native(native, key) => native.get().forget_timer(py, key),
            Timer::Handle(handle) => {
                handle.bind(py).call_method0(intern!(py, "cancel"))?;
            }
            Timer::NotStarted | Timer::Refused(_) | Timer::Yielded => {}
        }
        Ok(())
    }
}

/// Wakes an operation when called: the callback for another loop's `call_later`.
#[pyclass(frozen, module = "ferrio._ferrio")]
pub(crate) struct Waker {
    pub(crate) operation: Py<Operation>,
}

impl Class for Waker {}

#[pymethods]
impl Waker {
    #[pyo3(signature = (*_args))]
    fn __call__(&self, py: Python<'_>, _args: &Bound<'_, pyo3::types::PyTuple>) -> PyResult<()> {
        super::wake(self.operation.bind(py)).map(drop)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.operation)
    }
}
