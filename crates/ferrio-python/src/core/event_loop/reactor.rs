//! Which of the engine's ways to wait a loop uses: the system's best one, unless `FERRIO_REACTOR` names another.
//!
//! If a sandbox forbids the best one, another serves. Debug mode says so, once a loop, when it begins to run.

use ferrio_engine::reactor::{Kind, Reactor};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::base::{error, imports};

/// A reactor for a new loop.
pub(super) fn new(py: Python<'_>) -> PyResult<Reactor> {
    let reactor = match chosen(py)? {
        Some(kind) => Reactor::of(kind),
        None => Reactor::new(),
    };
    reactor.map_err(|failure| error::from_system(py, &failure))
}

/// The kind that the environment names. `os.environ` is asked, since no thread may change the process's own meanwhile.
fn chosen(py: Python<'_>) -> PyResult<Option<Kind>> {
    let variable = intern!(py, "FERRIO_REACTOR");
    let value = imports::ENVIRON.get(py)?.call_method1(intern!(py, "get"), (variable,))?;
    if !value.is_truthy()? {
        return Ok(None);
    }
    let name: String = value.extract()?;
    Kind::named(&name).map(Some).ok_or_else(|| {
        let names = Kind::ALL.map(|kind| format!("{:?}", kind.name())).join(" or ");
        PyValueError::new_err(format!(
            "the environment variable FERRIO_REACTOR is {name:?}; it may be {names}"
        ))
    })
}

/// Logs that the best way to wait is forbidden, if it is and this wasn't said before.
pub(super) fn report(py: Python<'_>, reactor: &Reactor) -> PyResult<()> {
    let Some(refusal) = reactor.take_refusal() else { return Ok(()) };
    let best = Kind::ALL[0].name();
    let text = format!(
        "{best} is forbidden here ({refusal}), so {} waits for descriptors; each idle connection slows every turn a little",
        reactor.kind().name()
    );
    imports::LOGGER.get(py)?.call_method1(intern!(py, "warning"), ("%s", text)).map(drop)
}
