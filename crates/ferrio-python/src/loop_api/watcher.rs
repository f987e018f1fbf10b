//! `Watcher`: the thread that notices when a loop is at one item for too long.
//!
//! It takes samples without the interpreter (`ferrio_engine::watchdog`), and attaches only to report. If C code holds
//! the interpreter's lock meanwhile, the report comes when that is released, and says so. `ferrio.sight.watchdog`
//! owns the thread and words the reports.
//!
//! Invariants: the thread holds no lock while it attaches. A watcher knows its loops by what they share, so it keeps
//! no loop alive. A forked child makes a watcher of its own.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ferrio_engine::clock::{Clock, Nanos, nanos_from_seconds, seconds_from_nanos};
use ferrio_engine::pulse::Doing;
use ferrio_engine::scheduling;
use ferrio_engine::watchdog::{Judge, Stretch, Verdict};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::base::class::Class;
use crate::core::event_loop::progress::{Observer, Progress};
use crate::core::event_loop::{Loop, LoopRef, every_loop};
use crate::core::task::current;

/// Watches loops.
#[pyclass(frozen, name = "_Watcher", module = "ferrio._ferrio")]
pub(crate) struct Watcher {
    threshold: Nanos,
    watched: Mutex<Vec<Watched>>,
    stopped: Mutex<bool>,
    wake: Condvar,
}

impl Class for Watcher {}

/// A loop, as a watcher knows it.
struct Watched {
    progress: Arc<Progress>,
    observer: Arc<Observer>,
    judge: Judge,
}

/// Something to report.
struct Finding {
    progress: Arc<Progress>,
    observer: Arc<Observer>,
    verdict: Verdict,
    stretch: Stretch,
    at: Nanos,
}

#[pymethods]
impl Watcher {
    #[new]
    #[pyo3(signature = (threshold, /))]
    fn new(threshold: f64) -> PyResult<Self> {
        let threshold =
            nanos_from_seconds(threshold).filter(|threshold| *threshold > 0).ok_or_else(|| {
                PyValueError::new_err(format!("a positive threshold is needed, got {threshold}"))
            })?;
        Ok(Self { threshold, watched: Mutex::default(), stopped: Mutex::new(false), wake: Condvar::new() })
    }

    /// Watch `loop` too, from its next turn on.
    #[pyo3(signature = (r#loop, /))]
    fn add(&self, r#loop: &Bound<'_, Loop>) {
        let progress = r#loop.get().progress();
        let mut watched = self.watched();
        // Loops that are gone make room.
        watched.retain(|known| Arc::strong_count(&known.progress) > 1);
        if watched.iter().any(|known| Arc::ptr_eq(&known.progress, progress)) {
            return;
        }
        let observer = progress.observe();
        watched.push(Watched { progress: progress.clone(), observer, judge: Judge::new(self.threshold) });
        drop(watched);
        r#loop.get().set_watched(true);
    }

    /// Watch all loops that exist. Return whether any of them runs.
    fn add_all(&self, py: Python<'_>) -> PyResult<bool> {
        let loops = every_loop(py)?;
        loops.iter().for_each(|native| self.add(native));
        Ok(loops.iter().any(|native| native.get().is_running()))
    }

    /// The watching thread's work: call `report` for each finding until `stop` is called.
    #[pyo3(signature = (report, /))]
    fn watch(&self, py: Python<'_>, report: &Bound<'_, PyAny>) {
        loop {
            let (findings, stopped) = py.detach(|| self.wait());
            for finding in findings {
                if let Err(failure) = tell(&finding, report) {
                    failure.write_unraisable(py, Some(report));
                }
                if matches!(finding.verdict, Verdict::Over(_)) {
                    finding.observer.clear();
                }
                self.reported(&finding.progress);
            }
            if stopped {
                self.leave(py);
                return;
            }
        }
    }

    /// Make `watch` return soon, after a last look.
    fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }
}

impl Watcher {
    /// Waits until there is something to report, or nothing more to watch.
    fn wait(&self) -> (Vec<Finding>, bool) {
        let interval = Judge::interval(self.threshold);
        loop {
            let before = Clock::monotonic().now();
            let stopped = self.pause(Duration::from_nanos(interval));
            let now = Clock::monotonic().now();
            let late = now.saturating_sub(before).saturating_sub(interval);
            let findings = self.look(now, if late > interval && !stopped { late } else { 0 });
            if stopped || !findings.is_empty() {
                return (findings, stopped);
            }
        }
    }

    /// Pauses; returns whether to stop.
    fn pause(&self, interval: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        if *stopped {
            return true;
        }
        let (stopped, _) = self.wake.wait_timeout(stopped, interval).unwrap_or_else(PoisonError::into_inner);
        *stopped
    }

    /// Takes a sample of each loop. The process stood still for the time `lost`.
    fn look(&self, now: Nanos, lost: Nanos) -> Vec<Finding> {
        let mut findings = Vec::new();
        for Watched { progress, observer, judge } in self.watched().iter_mut() {
            let beat = progress.sample();
            if lost > 0 {
                judge.forgive(beat, lost);
            }
            let verdict = judge.look(beat, now, || scheduling::usage(progress.pulse().thread()));
            let stretch = match verdict {
                Verdict::Fine => continue,
                Verdict::Over(stretch) => stretch,
                Verdict::Slow(..) => {
                    progress.await_end(observer, beat.number);
                    if beat.doing == Doing::Turning {
                        progress.count_slow(Some(beat.number));
                    }
                    judge.stretch().expect("it is slow")
                }
            };
            let (progress, observer) = (progress.clone(), observer.clone());
            findings.push(Finding { progress, observer, verdict, stretch, at: now });
        }
        findings
    }

    fn reported(&self, progress: &Arc<Progress>) {
        let now = Clock::monotonic().now();
        for known in self.watched().iter_mut().filter(|known| Arc::ptr_eq(&known.progress, progress)) {
            known.judge.reported_until(now);
        }
    }

    /// Forgets all loops; those that nobody else watches show their items no longer.
    fn leave(&self, py: Python<'_>) {
        let watched = std::mem::take(&mut *self.watched());
        let loops = every_loop(py).unwrap_or_default();
        for Watched { progress, observer, .. } in watched {
            observer.clear();
            if !progress.forget(&observer)
                && let Some(native) =
                    loops.iter().find(|native| Arc::ptr_eq(native.get().progress(), &progress))
            {
                native.get().set_watched(false);
            }
        }
    }

    fn watched(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls `report` with what is known about a finding.
fn tell(finding: &Finding, report: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = report.py();
    let Finding { progress, observer, verdict, stretch, at } = finding;
    let attached_at = Clock::monotonic().now();
    let number = stretch.beat.number;
    let native = every_loop(py)?.into_iter().find(|native| Arc::ptr_eq(native.get().progress(), progress));
    let shown = progress.shown(py);
    let goes_on = progress.sample() == stretch.beat;
    let note = if goes_on { None } else { observer.note_of(py, number) };
    let until = match &note {
        Some(note) => note.at,
        None if goes_on => attached_at,
        None => stretch.until,
    };
    let task = match &native {
        Some(native) if goes_on => current::current_on(py, &LoopRef::Native(native.clone().unbind()))?,
        _ => None,
    };
    let shown = if goes_on { shown } else { note.map(|note| note.object.into_bound(py)) };
    let found = PyDict::new(py);
    found.set_item("number", number)?;
    found.set_item("loop", native)?;
    found.set_item("waits_for_interpreter", stretch.beat.doing == Doing::Resuming)?;
    found.set_item("goes_on", goes_on)?;
    found.set_item("object", task.or(shown))?;
    found.set_item("seconds", seconds_from_nanos(until.saturating_sub(stretch.since)))?;
    if let Verdict::Slow(_, spent) = verdict {
        found.set_item("attaching", seconds_from_nanos(attached_at.saturating_sub(*at)))?;
        found.set_item("measured", seconds_from_nanos(spent.time))?;
        found.set_item("cpu", seconds_from_nanos(spent.cpu))?;
        found.set_item("queued", spent.queued.map(seconds_from_nanos))?;
        found.set_item("runnable", spent.runnable)?;
    }
    let is_over = matches!(verdict, Verdict::Over(_));
    report.call1((is_over, found)).map(drop)
}
