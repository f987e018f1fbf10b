//! `sleep`: waits for a time, or for one turn of the loop.

use pyo3::exceptions::{PyBaseException, PyValueError};
use pyo3::prelude::*;

use super::Operation;
use super::run::{Progress, Resume, Run};
use super::unawaited::Unawaited;
use super::waker::Waker;
use crate::base::arguments::seconds;
use crate::base::ffi::fastcall::{Answer, Arguments, QuickFunction};
use crate::base::functions::{Declared, declared};
use crate::base::gc::gc;
use crate::core::event_loop::{self, Item, LoopRef};
use crate::core::timer::Timer;

/// The state of one `sleep`.
pub(crate) struct Sleep {
    /// In seconds; zero or less means a bare yield.
    delay: f64,
    result: Option<Py<PyAny>>,
    stage: Stage,
}

gc!(Sleep { result, stage } not { delay });

/// How far it has come.
enum Stage {
    NotStarted,
    /// Nothing: the delay isn't a valid number, and the `await` raises this.
    Refused(Py<PyBaseException>),
    Running(Timer),
    Yielded,
}

gc!(match Stage {
    Self::Refused(failure) => (failure),
    Self::Running(timer) => (timer),
    Self::NotStarted | Self::Yielded => (),
});

pub(crate) const SLEEP: Declared = declared!(sleep).coroutine("ferrio.tasks").by::<Quickly>();

/// The fast path of `sleep`.
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
pub(crate) fn sleep(delay: &Bound<'_, PyAny>, result: Option<Py<PyAny>>) -> Unawaited {
    let py = delay.py();
    let (delay, stage) = match seconds(delay, "delay") {
        Ok(delay) if cfg!(Py_3_13) && delay.is_nan() => {
            (delay, refused(py, PyValueError::new_err("Invalid delay: NaN (not a number)")))
        }
        Ok(delay) => (delay, Stage::NotStarted),
        Err(failure) => (0.0, refused(py, failure)),
    };
    Unawaited::new(Sleep { delay, result, stage })
}

#[cold]
fn refused(py: Python<'_>, failure: PyErr) -> Stage {
    Stage::Refused(failure.into_value(py))
}

impl Run for Sleep {
    #[inline]
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        if let Resume::Throw(exception) = resume {
            self.stop_timer(py)?;
            return Err(PyErr::from_value(exception));
        }
        match &self.stage {
            Stage::NotStarted if self.delay <= 0.0 => {
                self.stage = Stage::Yielded;
                Ok(Progress::Yield)
            }
            Stage::NotStarted => {
                self.start_timer(this)?;
                Ok(Progress::Park)
            }
            Stage::Refused(failure) => Err(PyErr::from_value(failure.bind(py).as_any().clone())),
            _ => {
                let result = self.result.take();
                Ok(Progress::Ready(
                    result.map_or_else(|| py.None().into_bound(py), |result| result.into_bound(py)),
                ))
            }
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
        let timer = match Timer::native(&home) {
            Some(native) => Timer::after(py, native, self.delay, Item::Wake(this.clone().unbind()))?,
            None => {
                let waker = Bound::new(py, Waker { operation: this.clone().unbind() })?;
                let name = intern!(py, "call_later");
                Timer::Handle(home.object(py).call_method1(name, (self.delay, waker))?.unbind())
            }
        };
        self.stage = Stage::Running(timer);
        Ok(())
    }

    fn stop_timer(&mut self, py: Python<'_>) -> PyResult<()> {
        match std::mem::replace(&mut self.stage, Stage::Yielded) {
            Stage::Running(timer) => timer.stop(py),
            Stage::NotStarted | Stage::Refused(_) | Stage::Yielded => Ok(()),
        }
    }
}
