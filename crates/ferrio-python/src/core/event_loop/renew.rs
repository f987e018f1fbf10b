//! A loop that has ended all that ran on it, and begins again as a new one would.
//!
//! `ferrio.testing` runs a program thousands of times. A loop has descriptors and a pipe for signals; making them takes
//! longer than most of those programs. The caller has to make sure that nobody else refers to the loop.
//!
//! Invariant: a program can't tell a renewed loop from a new one.

use ferrio_engine::clock::Clock;
use pyo3::prelude::*;

use super::debug::usual_slow_callback_duration;
use super::executors::Executors;
use super::{Loop, modes};
use crate::core::task::registry::Registry;

impl Loop {
    /// Whether nothing is left that `asyncio.run` would end or wait for before it closes the loop.
    fn has_ended_all(&self, py: Python<'_>) -> bool {
        self.owned.tasks.with(py, |tasks| tasks.len() == 0)
            && self.owned.engine.with(py, |engine| engine.is_idle())
            && self
                .settings
                .with(py, |settings| settings.asyncgens.closed || settings.asyncgens.in_use.is_none())
            && self.owned.executors.with(py, |executors| executors.are_unused())
    }

    /// Makes the loop as it was when it was made, its virtual clock at zero. Returns `false` if that isn't possible;
    /// then it is to be closed.
    pub(crate) fn renew(&self, py: Python<'_>) -> PyResult<bool> {
        let usual = self.modes() & !(modes::ORDERED | modes::TRACED) == 0;
        if !usual || self.closed() || self.is_running() || self.is_told_something(py) {
            return Ok(false);
        }
        let timers = self.owned.engine.with(py, |engine| {
            if engine.clock.is_virtual() {
                engine.clock = Clock::virtual_at(0);
            }
            std::mem::take(&mut engine.timers)
        });
        let tasks = self.owned.tasks.with(py, std::mem::take::<Registry>);
        self.shared.progress.samples().begin_again();
        let slow_callback_duration = usual_slow_callback_duration(py)?;
        let settings = self.settings.with(py, |settings| {
            (
                std::mem::replace(&mut settings.slow_callback_duration, slow_callback_duration),
                settings.exception_handler.take(),
                settings.task_factory.take(),
                settings.eager_constructor.take(),
                std::mem::take(&mut settings.asyncgens),
            )
        });
        let executors = self.owned.executors.with(py, std::mem::take::<Executors>);
        drop((timers, tasks, settings, executors));
        // What was dropped may have run the program's code.
        Ok(self.has_ended_all(py))
    }

    /// Whether something is queued, or the loop was told something that it can't forget.
    fn is_told_something(&self, py: Python<'_>) -> bool {
        !self.has_ended_all(py)
            || self.stopping()
            || self.shared.reactor.watched() > 0
            || self.shared.background.has_calls()
            || self.shared.background.holds_clock()
            || !self.owned.signals.with(py, |signals| signals.handlers.is_empty())
            || !self.owned.closings.with(py, |closings| closings.is_empty())
            || self.owned.sleepers.with(py, |sleepers| sleepers.iter().next().is_some())
    }
}

impl Executors {
    /// Whether there is none, because the program needed none.
    fn are_unused(&self) -> bool {
        let Self { default, own, threads, process, .. } = self;
        default.is_none() && own.is_none() && threads.is_none() && process.is_none()
    }
}
