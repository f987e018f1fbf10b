//! Python frames for operations: coroutines that are suspended where asyncio's would be.
//!
//! An operation runs without a frame. When a program asks for one (`cr_frame`, a call graph, `Task.get_stack()`), a
//! coroutine is made that has asyncio's name, file and line, and that waits for nothing. The operation keeps it until it
//! goes on. Its code is that of the stand-in that an operation gets under observation (`unawaited.rs`). The Python module
//! `ferrio._frames` makes that code from asyncio's own.
//!
//! Invariant: a coroutine that was made to be looked at is closed, so it never reports that nobody awaited it.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::{Operation, Phase};
use crate::base::ffi::raise;
use crate::base::gc::gc;
use crate::base::imports;

/// The functions that were made. Names are static, so where they are stored tells them apart.
static FUNCTIONS: LazyLock<Mutex<HashMap<Place, Py<PyAny>>>> = LazyLock::new(Mutex::default);

/// Where the names are stored: the address and length of the first, and of the list of others.
type Place = [usize; 4];

/// The coroutine function whose frame stands for the operation `name`, which waits in the functions `inner`. Its argument
/// is what the innermost frame awaits.
pub(super) fn function(
    py: Python<'_>,
    name: &'static str,
    inner: &'static [&'static str],
) -> PyResult<Py<PyAny>> {
    let place = [name.as_ptr().addr(), name.len(), inner.as_ptr().addr(), inner.len()];
    let known = |made: Option<Py<PyAny>>| {
        let mut functions = FUNCTIONS.lock().unwrap_or_else(PoisonError::into_inner);
        match made {
            Some(made) => Some(functions.entry(place).or_insert(made).clone_ref(py)),
            None => functions.get(&place).map(|known| known.clone_ref(py)),
        }
    };
    if let Some(known) = known(None) {
        return Ok(known);
    }
    let names = PyTuple::new(py, std::iter::once(&name).chain(inner).copied().collect::<Vec<_>>())?;
    let made = imports::STAND_IN.get(py)?.call1((names,))?.unbind();
    Ok(known(Some(made.clone_ref(py))).unwrap_or(made))
}

/// A coroutine that was made to be looked at.
pub(super) struct Shown {
    coroutine: Py<PyAny>,
    /// Whether it is suspended, and not new.
    begun: bool,
    /// The functions inside whose frames it has.
    inner: &'static [&'static str],
}

gc!(Shown { coroutine } not { begun, inner });

impl Drop for Shown {
    fn drop(&mut self) {
        Python::attach(|py| {
            let _pending = raise::set_aside(py);
            // It is ours, and nothing in it can fail.
            let _ = self.coroutine.bind(py).call_method0(intern!(py, "close"));
        });
    }
}

/// The functions inside in which the operation waits now. None if it awaits something else, or is running.
fn inner_of(operation: &Bound<'_, Operation>) -> &'static [&'static str] {
    let py = operation.py();
    let inner = operation.get().machine.peek(py, |machine| {
        let machine = machine.as_ref()?.get();
        machine.awaits(py).is_none().then(|| machine.inner_names())
    });
    inner.flatten().unwrap_or(&[])
}

/// The function whose code is the operation's `cr_code`.
pub(super) fn function_of(operation: &Bound<'_, Operation>) -> PyResult<Py<PyAny>> {
    function(operation.py(), operation.get().name, inner_of(operation))
}

/// The coroutine with the operation's frames: new or suspended, as the operation is. `None` after the end.
pub(super) fn shown<'py>(operation: &Bound<'py, Operation>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = operation.py();
    let phase = operation.get().phase(py);
    if phase == Phase::Finished {
        return Ok(None);
    }
    let (begun, inner) = (phase != Phase::Fresh, inner_of(operation));
    let known = operation.get().state.with(py, |state| {
        let shown = state.extra.as_ref().and_then(|extra| extra.shown.as_ref());
        let same = shown.filter(|shown| shown.begun == begun && shown.inner.len() == inner.len());
        same.map(|shown| shown.coroutine.clone_ref(py))
    });
    if let Some(known) = known {
        return Ok(Some(known.into_bound(py)));
    }
    let function = function(py, operation.get().name, inner)?;
    let coroutine = function.bind(py).call1((imports::PAUSE.get(py)?.call0()?,))?;
    let shown = Shown { coroutine: coroutine.clone().unbind(), begun, inner };
    if begun {
        coroutine.call_method1(intern!(py, "send"), (py.None(),))?;
    }
    let old =
        operation.get().state.with(py, |state| state.extra.get_or_insert_default().shown.replace(shown));
    drop(old);
    Ok(Some(coroutine))
}

/// What the outermost of those frames awaits, if the operation has frames inside.
pub(super) fn inner_coroutine<'py>(operation: &Bound<'py, Operation>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if inner_of(operation).is_empty() || operation.get().phase(operation.py()) == Phase::Fresh {
        return Ok(None);
    }
    match shown(operation)? {
        Some(coroutine) => {
            let inner = coroutine.getattr(intern!(operation.py(), "cr_await"))?;
            Ok(Some(inner).filter(|inner| !inner.is_none()))
        }
        None => Ok(None),
    }
}
