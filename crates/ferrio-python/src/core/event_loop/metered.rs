//! Which loops are metered, what a meter hears of their runs, and what a loop says about its state.
//!
//! `ferrio_engine::meter` has the numbers, and `loop_api/metrics.rs` shows them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ferrio_engine::meter::{JobMark, Meter};
use pyo3::prelude::*;

use super::traffic::Traffic;
use super::{Loop, modes, running};
use crate::base::imports;

/// Whether each loop that begins to run is metered.
static ALL: AtomicBool = AtomicBool::new(false);

/// Say whether all loops are metered, those included that don't run yet.
#[pyfunction]
#[pyo3(signature = (metered, /))]
pub(crate) fn _meter_loops(py: Python<'_>, metered: bool) -> PyResult<()> {
    ALL.store(metered, Ordering::Relaxed);
    running::every_loop(py)?.iter().for_each(|native| native.get().set_metered(py, metered));
    Ok(())
}

/// Whether the package wants to hear of each metered loop that closes.
static CLOSES: AtomicBool = AtomicBool::new(false);

/// Say whether `ferrio.sight` wants to hear of metered loops that close.
#[pyfunction]
#[pyo3(signature = (announced, /))]
pub(crate) fn _announce_closes(announced: bool) {
    CLOSES.store(announced, Ordering::Relaxed);
}

/// The loop is closed: its numbers are the last ones.
pub(super) fn closed(native: &Bound<'_, Loop>) -> PyResult<()> {
    if !CLOSES.load(Ordering::Relaxed) || !native.get().has_mode(modes::METERED) {
        return Ok(());
    }
    imports::LOOP_CLOSES.get(native.py())?.call1((native,)).map(drop)
}

/// A thread begins to run the loop.
pub(super) fn run_begins(native: &Bound<'_, Loop>) {
    if ALL.load(Ordering::Relaxed) {
        native.get().set_metered(native.py(), true);
    }
    if let Some(meter) = native.get().meter() {
        meter.goes_on();
    }
}

/// The run is over.
pub(super) fn run_ends(native: &Bound<'_, Loop>) {
    if let Some(meter) = native.get().meter() {
        meter.stops();
        native.get().owned.engine.with(native.py(), |engine| engine.ready.forget_mark());
    }
}

impl Loop {
    /// What counts, if metering is on.
    #[inline]
    pub(super) fn meter(&self) -> Option<&Meter> {
        if self.has_mode(modes::METERED) { self.shared.meter.get().map(|meter| &**meter) } else { None }
    }

    /// What counts, if that is the only mode.
    #[inline]
    pub(super) fn only_meter(&self) -> Option<&Meter> {
        if self.modes() == modes::METERED { self.shared.meter.get().map(|meter| &**meter) } else { None }
    }

    /// What has been counted; `None` if metering was never on.
    pub(crate) fn metered(&self) -> Option<&Arc<Meter>> {
        self.shared.meter.get()
    }

    /// From now on, the loop counts, or no longer does.
    pub(crate) fn set_metered(&self, py: Python<'_>, metered: bool) {
        if metered == self.has_mode(modes::METERED) {
            return;
        }
        let meter = self.shared.meter.get_or_init(|| Arc::new(Meter::new()));
        let given = metered.then(|| meter.clone());
        self.owned.engine.with(py, |engine| engine.set_meter(given));
        if !metered {
            meter.phases.leave_gap();
        } else if self.runs_here() {
            meter.goes_on();
        }
        self.set_mode(modes::METERED, metered);
    }

    /// Counts a job that is being queued, until the mark is dropped; `None` if metering is off.
    pub(crate) fn mark_job(&self) -> Option<JobMark> {
        self.metered().filter(|_| self.has_mode(modes::METERED)).map(|meter| JobMark::queued(meter.clone()))
    }

    /// As `mark_job`, for a job of which only its end will be known.
    pub(crate) fn mark_foreign_job(&self) -> Option<JobMark> {
        self.metered().filter(|_| self.has_mode(modes::METERED)).map(|meter| JobMark::running(meter.clone()))
    }

    /// What came and went.
    #[inline]
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.owned.traffic
    }
}
