//! `Immediate`: an operation that does its work when it is awaited and never waits, such as the end of an `async with`.

use pyo3::prelude::*;

use super::Operation;
use super::run::{Progress, Resume, Run};
use super::unawaited::Unawaited;
use crate::base::gc::gc;

/// The work behind an `await` that never waits. Takes the object whose method was called and the method's argument; returns
/// the value of the `await`.
pub(crate) type Call =
    for<'py> fn(&Bound<'py, PyAny>, Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>>;

/// The state of one such operation.
pub(crate) struct Immediate {
    owner: Py<PyAny>,
    argument: Option<Py<PyAny>>,
    call: Call,
}

gc!(Immediate { owner, argument } not { call });

/// An awaitable that calls `call(owner, argument)` when it is awaited; `name` is that of asyncio's coroutine.
#[inline]
pub(crate) fn call(
    owner: &Bound<'_, PyAny>,
    argument: Option<&Bound<'_, PyAny>>,
    name: &'static str,
    call: Call,
) -> Unawaited {
    let argument = argument.map(|argument| argument.clone().unbind());
    Unawaited::named(Immediate { owner: owner.clone().unbind(), argument, call }, name)
}

impl Run for Immediate {
    #[inline]
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        match resume {
            Resume::Send => {
                let py = this.py();
                let argument = self.argument.as_ref().map(|argument| argument.bind(py));
                (self.call)(self.owner.bind(py), argument).map(Progress::Ready)
            }
            Resume::Throw(exception) => Err(PyErr::from_value(exception)),
        }
    }

    fn name(&self) -> &'static str {
        "immediate"
    }

    #[inline]
    fn discard(self, py: Python<'_>) {
        self.owner.drop_ref(py);
        if let Some(argument) = self.argument {
            argument.drop_ref(py);
        }
    }
}
