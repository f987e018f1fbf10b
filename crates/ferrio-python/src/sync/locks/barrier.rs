//! `Barrier`: a number of tasks that wait for each other.
//!
//! As in asyncio it is a condition with a state and a count, so tasks pass in the same turns.
//!
//! Invariant: state and count only change while the condition's lock is held.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString, PyTuple};

use super::bound::{self, LoopBound};
use super::condition::{self, Condition, Step, Wait};
use super::context;
use super::lock::{self, Lock};
use crate::base::arguments::SaturatingInt;
use crate::base::class::{Class, Standard};
use crate::base::ffi::raise::raise;
use crate::base::ffi::{Guarded, interpreter};
use crate::base::functions::Functions;
use crate::base::gc::{collected, gc};
use crate::base::imports;
use crate::core::future;
use crate::core::operation::run::{Progress, Resume, Run};
use crate::core::operation::unawaited::Unawaited;
use crate::core::operation::{Operation, immediate};

/// Makes tasks wait in `barrier.wait()` until `parties` of them do; then all continue.
///
/// Raises `ValueError` for less than one. Meaning and methods are those of `asyncio.Barrier`.
#[pyclass(extends = LoopBound, subclass, frozen, module = "ferrio")]
pub(crate) struct Barrier {
    state: Guarded<BarrierState>,
}

collected!(Barrier { state }, written by state);

impl Class for Barrier {
    const BELOW: Option<Standard> = Some(("asyncio.locks", "Barrier"));
    const SHORT_NAME: bool = true;
}

impl Functions for Barrier {
    const COROUTINES: &'static [&'static str] = &["__aenter__", "__aexit__", "abort", "reset", "wait"];
}

struct BarrierState {
    phase: Phase,
    parties: i64,
    /// The value of `parties`, if it isn't the number above.
    shown: Option<Py<PyAny>>,
    /// How many tasks are in the barrier.
    count: i64,
    parts: Option<Parts>,
}

gc!(BarrierState { shown, parts } not { phase, parties, count });

/// The condition, with its lock.
struct Parts {
    lock: Py<Lock>,
    condition: Py<Condition>,
}

gc!(Parts { lock, condition });

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Filling,
    Draining,
    Resetting,
    Broken,
}

impl Phase {
    fn word(self) -> &'static str {
        match self {
            Self::Filling => "filling",
            Self::Draining => "draining",
            Self::Resetting => "resetting",
            Self::Broken => "broken",
        }
    }
}

#[pymethods]
impl Barrier {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(parties)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        let state = BarrierState { phase: Phase::Filling, parties: 1, shown: None, count: 0, parts: None };
        PyClassInitializer::from(LoopBound::default()).add_subclass(Self { state: Guarded::new(state) })
    }

    #[pyo3(signature = (parties))]
    fn __init__(&self, py: Python<'_>, parties: &Bound<'_, PyAny>) -> PyResult<()> {
        if parties.lt(1)? {
            return Err(PyValueError::new_err("parties must be >= 1"));
        }
        self.set_parties(py, parties)?;
        let lock = Py::new(py, Lock::unlocked())?;
        let condition = Py::new(py, Condition::on(lock.clone_ref(py)))?;
        let old = self.state.with(py, |state| state.parts.replace(Parts { lock, condition }));
        drop(old);
        Ok(())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let (phase, waiting) = slf.get().state.with(slf.py(), |state| (state.phase, state.waiting()));
        let parties = slf.get().parties(slf.py())?;
        let extra = match phase {
            Phase::Broken => phase.word().to_owned(),
            _ => format!("{}, waiters:{waiting}/{parties}", phase.word()),
        };
        bound::repr_with(slf.as_any(), &extra)
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> Unawaited {
        if interpreter::is_exactly::<Self>(slf.as_any()) {
            return Unawaited::new(Pass { entering: true, ..Pass::new(slf) });
        }
        context::await_method(slf.as_any(), "wait")
    }

    #[pyo3(signature = (*args))]
    fn __aexit__<'py>(slf: &Bound<'py, Self>, args: &Bound<'py, PyTuple>) -> Unawaited {
        let _ = args;
        immediate::call(slf.as_any(), None, "Barrier.__aexit__", |barrier, _none| {
            Ok(barrier.py().None().into_bound(barrier.py()))
        })
    }

    /// Wait until all parties do. Each gets its own number, from 0 on.
    ///
    /// Raises `BrokenBarrierError` if the barrier is aborted, or reset meanwhile.
    fn wait(slf: &Bound<'_, Self>) -> Unawaited {
        Unawaited::new(Pass::new(slf))
    }

    /// Empty the barrier: waiting tasks get a `BrokenBarrierError`.
    fn reset(slf: &Bound<'_, Self>) -> Unawaited {
        Unawaited::new(Change { barrier: slf.clone().unbind(), acquire: None, abort: false })
    }

    /// Break the barrier: tasks that wait, now or later, get a `BrokenBarrierError`.
    fn abort(slf: &Bound<'_, Self>) -> Unawaited {
        Unawaited::new(Change { barrier: slf.clone().unbind(), acquire: None, abort: true })
    }

    /// How many tasks the barrier waits for.
    #[getter]
    fn parties<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (parties, shown) = self
            .state
            .with(py, |state| (state.parties, state.shown.as_ref().map(|shown| shown.clone_ref(py))));
        match shown {
            Some(shown) => Ok(shown.into_bound(py)),
            None => Ok(parties.into_pyobject(py)?.into_any()),
        }
    }

    /// How many tasks wait while the barrier fills.
    #[getter]
    fn n_waiting(&self, py: Python<'_>) -> i64 {
        self.state.with(py, |state| state.waiting())
    }

    /// Whether it was aborted.
    #[getter]
    fn broken(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.phase == Phase::Broken)
    }

    /// The phase of its round: a member of asyncio's enumeration.
    #[getter]
    fn _state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let word = self.state.with(py, |state| state.phase).word();
        imports::BARRIER_STATE.get(py)?.call1((word,))
    }

    #[setter(_state)]
    fn set_state(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        let word = value.getattr(intern!(py, "value"))?;
        let word = word.cast::<PyString>()?.to_str()?;
        let all = [Phase::Filling, Phase::Draining, Phase::Resetting, Phase::Broken];
        let phase = all.into_iter().find(|phase| phase.word() == word);
        let phase = phase.ok_or_else(|| PyValueError::new_err(format!("unknown barrier state: {word}")))?;
        self.state.with(py, |state| state.phase = phase);
        Ok(())
    }

    #[getter]
    fn _count(&self, py: Python<'_>) -> i64 {
        self.state.with(py, |state| state.count)
    }

    #[setter(_count)]
    fn set_count(&self, py: Python<'_>, value: i64) {
        self.state.with(py, |state| state.count = value);
    }

    #[getter]
    fn _parties<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.parties(py)
    }

    #[setter(_parties)]
    fn set_parties(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let whole = value.extract::<SaturatingInt>()?.0;
        // The count is a whole number, so a limit with a fraction is never reached.
        let exact = value.eq(whole)?;
        let parties = if exact { whole } else { i64::MAX };
        let plain = exact && value.is_exact_instance_of::<PyInt>();
        let shown = (!plain).then(|| value.clone().unbind());
        let old = self.state.with(py, |state| {
            state.parties = parties;
            std::mem::replace(&mut state.shown, shown)
        });
        drop(old);
        Ok(())
    }

    #[getter]
    fn _cond(&self, py: Python<'_>) -> PyResult<Py<Condition>> {
        Ok(self.parts(py)?.condition)
    }

    #[setter(_cond)]
    fn set_condition(&self, py: Python<'_>, value: &Bound<'_, Condition>) -> PyResult<()> {
        let lock = value.getattr(intern!(py, "_lock"))?.cast_into::<Lock>()?.unbind();
        let parts = Parts { lock, condition: value.clone().unbind() };
        let old = self.state.with(py, |state| state.parts.replace(parts));
        drop(old);
        Ok(())
    }

    fn __clear__(&self, py: Python<'_>) {
        let cleared = self.state.with(py, |state| state.parts.take());
        drop(cleared);
    }
}

impl BarrierState {
    fn waiting(&self) -> i64 {
        if self.phase == Phase::Filling { self.count } else { 0 }
    }
}

impl Barrier {
    /// Lock and condition. Raises `RuntimeError` if `__init__` was never called.
    fn parts(&self, py: Python<'_>) -> PyResult<Parts> {
        self.state
            .with(py, |state| {
                state.parts.as_ref().map(|parts| Parts {
                    lock: parts.lock.clone_ref(py),
                    condition: parts.condition.clone_ref(py),
                })
            })
            .ok_or_else(|| future::not_initialized("Barrier"))
    }

    fn phase(&self, py: Python<'_>) -> Phase {
        self.state.with(py, |state| state.phase)
    }
}

fn broken(py: Python<'_>, message: &'static str) -> PyErr {
    match imports::BROKEN_BARRIER_ERROR.get(py).and_then(|class| class.call1((message,))) {
        Ok(exception) => raise(exception),
        Err(failure) => failure,
    }
}

/// `barrier.wait()`.
struct Pass {
    barrier: Py<Barrier>,
    stage: Stage,
    /// Whether it begins an `async with`.
    entering: bool,
}

gc!(Pass { barrier, stage } not { entering });

enum Stage {
    Fresh,
    /// Taking the lock.
    Entering(lock::Acquire),
    /// Waiting for the tasks of the previous round to leave.
    Blocked(Wait),
    /// Waiting for the other tasks, with the number to return.
    Filling(Wait, i64),
}

gc!(match Stage {
    Self::Fresh => (),
    Self::Entering(acquire) => (acquire),
    Self::Blocked(wait) | Self::Filling(wait, _) => (wait),
});

impl Pass {
    fn advance<'py>(
        &mut self,
        this: &Bound<'py, Operation>,
        resume: Resume<'py>,
        parts: &Parts,
    ) -> PyResult<Progress<'py>> {
        let py = this.py();
        let step = match &mut self.stage {
            Stage::Fresh => {
                self.stage = Stage::Entering(lock::Acquire::new(parts.lock.bind(py)));
                return self.advance(this, Resume::Send, parts);
            }
            Stage::Entering(acquire) => {
                if !acquire.advance(this, resume)? {
                    return Ok(Progress::Park);
                }
                Ok(Step::Done)
            }
            Stage::Blocked(wait) | Stage::Filling(wait, _) => wait.advance(this, resume),
        };
        let progress = match step {
            Ok(step) => match step.into() {
                Some(progress) => return Ok(progress),
                None => self.inside(this, parts),
            },
            Err(failure) => Err(failure),
        };
        if let Ok(Progress::Park | Progress::Forward(_)) = progress {
            return progress;
        }
        // Nothing suspends from here on. The lock is ours and is released.
        let left = if matches!(self.stage, Stage::Filling(..)) { self.leave(py, parts) } else { Ok(()) };
        lock::release(parts.lock.bind(py))?;
        left?;
        progress
    }

    /// With the lock held: continues to the next stage, or to the result.
    fn inside<'py>(&mut self, this: &Bound<'py, Operation>, parts: &Parts) -> PyResult<Progress<'py>> {
        let py = this.py();
        let barrier = self.barrier.bind(py).get();
        let mut wait = Wait::new(parts.condition.bind(py));
        if let Stage::Filling(_, number) = self.stage {
            return match barrier.phase(py) {
                Phase::Filling => {
                    let step = wait.advance(this, Resume::Send);
                    self.stage = Stage::Filling(wait, number);
                    park(step?, py, number)
                }
                Phase::Draining => number_object(py, number),
                Phase::Resetting | Phase::Broken => Err(broken(py, "Abort or reset of barrier")),
            };
        }
        match barrier.phase(py) {
            Phase::Draining | Phase::Resetting => {
                let step = wait.advance(this, Resume::Send);
                self.stage = Stage::Blocked(wait);
                return park(step?, py, 0);
            }
            Phase::Broken => return Err(broken(py, "Barrier aborted")),
            Phase::Filling => {}
        }
        let (number, complete) = barrier.state.with(py, |state| {
            let number = state.count;
            state.count += 1;
            let complete = state.count == state.parties;
            if complete {
                state.phase = Phase::Draining;
            }
            (number, complete)
        });
        if complete {
            self.stage = Stage::Filling(wait, number);
            condition::notify_all(parts.condition.bind(py))?;
            return number_object(py, number);
        }
        let step = wait.advance(this, Resume::Send);
        self.stage = Stage::Filling(wait, number);
        park(step?, py, number)
    }

    /// Counts one task less in the barrier. The last one opens it for the next round.
    fn leave(&self, py: Python<'_>, parts: &Parts) -> PyResult<()> {
        let empty = self.barrier.bind(py).get().state.with(py, |state| {
            state.count -= 1;
            if state.count == 0 && matches!(state.phase, Phase::Resetting | Phase::Draining) {
                state.phase = Phase::Filling;
            }
            state.count == 0
        });
        if empty { condition::notify_all(parts.condition.bind(py)) } else { Ok(()) }
    }
}

/// The answer for a wait that has just begun: it parks.
fn park<'py>(step: Step<'py>, py: Python<'py>, number: i64) -> PyResult<Progress<'py>> {
    let progress: Option<Progress<'py>> = step.into();
    progress.map_or_else(|| number_object(py, number), Ok)
}

fn number_object(py: Python<'_>, number: i64) -> PyResult<Progress<'_>> {
    Ok(Progress::Ready(number.into_pyobject(py)?.into_any()))
}

impl Pass {
    fn new(barrier: &Bound<'_, Barrier>) -> Self {
        Self { barrier: barrier.clone().unbind(), stage: Stage::Fresh, entering: false }
    }
}

impl Run for Pass {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let parts = self.barrier.bind(this.py()).get().parts(this.py())?;
        self.advance(this, resume, &parts)
    }

    fn name(&self) -> &'static str {
        if self.entering { "Barrier.__aenter__" } else { "Barrier.wait" }
    }

    fn inner_names(&self) -> &'static [&'static str] {
        const BLOCKED: &[&str] = &["Barrier.wait", "Barrier._block", "Condition.wait_for", "Condition.wait"];
        const FILLING: &[&str] = &["Barrier.wait", "Barrier._wait", "Condition.wait_for", "Condition.wait"];
        const ENTERING: &[&str] = &["Barrier.wait", "_ContextManagerMixin.__aenter__", "Lock.acquire"];
        let names = match self.stage {
            Stage::Fresh | Stage::Filling(..) => FILLING,
            Stage::Entering(_) => ENTERING,
            Stage::Blocked(_) => BLOCKED,
        };
        if self.entering { names } else { &names[1..] }
    }
}

/// `barrier.reset()` and `barrier.abort()`.
struct Change {
    barrier: Py<Barrier>,
    acquire: Option<lock::Acquire>,
    abort: bool,
}

gc!(Change { barrier, acquire } not { abort });

impl Run for Change {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let barrier = self.barrier.bind(py).get();
        let parts = barrier.parts(py)?;
        let acquire = self.acquire.get_or_insert_with(|| lock::Acquire::new(parts.lock.bind(py)));
        if !acquire.advance(this, resume)? {
            return Ok(Progress::Park);
        }
        barrier.state.with(py, |state| {
            state.phase = match (self.abort, state.count) {
                (true, _) => Phase::Broken,
                (false, 0) => Phase::Filling,
                (false, _) => Phase::Resetting,
            };
        });
        let notified = condition::notify_all(parts.condition.bind(py));
        lock::release(parts.lock.bind(py))?;
        notified?;
        Ok(Progress::Ready(py.None().into_bound(py)))
    }

    fn name(&self) -> &'static str {
        if self.abort { "Barrier.abort" } else { "Barrier.reset" }
    }

    fn inner_names(&self) -> &'static [&'static str] {
        &["_ContextManagerMixin.__aenter__", "Lock.acquire"]
    }
}
