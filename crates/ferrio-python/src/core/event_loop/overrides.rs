//! Which of the loop's methods somebody replaced, by a subclass or by an attribute of the instance.
//!
//! Native code schedules without a method call; where `call_soon`, `call_later`, `call_at` or `time` is not ours, it
//! goes through Python, so that a test's loop or a GUI's sees every call. A loop with a `time` of its own is asked for it
//! in each turn.

use std::sync::atomic::{AtomicU8, Ordering};

use ferrio_engine::clock::{Nanos, nanos_from_seconds};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use super::Loop;
use crate::base::ffi::Cast;

const CALL_SOON: u8 = 1;
const TIMERS: u8 = 2;
const CREATE_TASK: u8 = 4;
const CALL_SOON_THREADSAFE: u8 = 8;
const RUN_IN_EXECUTOR: u8 = 16;
const TIME: u8 = 32;
const SOCK_CONNECT: u8 = 64;

const NAMES: [(&str, u8); 8] = [
    ("call_soon", CALL_SOON),
    ("call_later", TIMERS),
    ("call_at", TIMERS),
    ("time", TIMERS | TIME),
    ("create_task", CREATE_TASK),
    ("call_soon_threadsafe", CALL_SOON_THREADSAFE),
    ("run_in_executor", RUN_IN_EXECUTOR),
    ("sock_connect", SOCK_CONNECT),
];

/// One bit a family of methods.
#[derive(Debug)]
pub(crate) struct Overrides(AtomicU8);

impl Overrides {
    /// What `class` overrides.
    pub(crate) fn of_class(class: &Bound<'_, PyType>) -> PyResult<Self> {
        Ok(Self(AtomicU8::new(class_bits(class)?)))
    }

    /// Whether `call_soon` is not ours.
    #[inline]
    pub(crate) fn call_soon(&self) -> bool {
        self.0.load(Ordering::Relaxed) & CALL_SOON != 0
    }

    /// Whether `call_later`, `call_at` or `time` is not ours.
    #[inline]
    pub(crate) fn timers(&self) -> bool {
        self.0.load(Ordering::Relaxed) & TIMERS != 0
    }

    /// Whether `time` is not ours.
    #[inline]
    fn time(&self) -> bool {
        self.0.load(Ordering::Relaxed) & TIME != 0
    }

    /// Whether `create_task` is not ours.
    #[inline]
    pub(crate) fn create_task(&self) -> bool {
        self.0.load(Ordering::Relaxed) & CREATE_TASK != 0
    }

    /// Whether `call_soon_threadsafe` is not ours.
    #[inline]
    pub(crate) fn call_soon_threadsafe(&self) -> bool {
        self.0.load(Ordering::Relaxed) & CALL_SOON_THREADSAFE != 0
    }

    /// Whether `run_in_executor` is not ours.
    #[inline]
    pub(crate) fn run_in_executor(&self) -> bool {
        self.0.load(Ordering::Relaxed) & RUN_IN_EXECUTOR != 0
    }

    /// Whether `sock_connect` is not ours.
    pub(crate) fn sock_connect(&self) -> bool {
        self.0.load(Ordering::Relaxed) & SOCK_CONNECT != 0
    }

    /// Notes an attribute set on the instance.
    pub(crate) fn note(&self, name: &Bound<'_, PyAny>) {
        if let Some(name) = name.as_instance::<PyString>() {
            self.0.fetch_or(bit(&name.to_string_lossy()), Ordering::Relaxed);
        }
    }

    /// Looks again at the class and the attributes of `native`, of which one was deleted.
    pub(super) fn refresh(native: &Bound<'_, Loop>) -> PyResult<()> {
        let py = native.py();
        let mut bits = class_bits(&native.get_type())?;
        let attributes = native.getattr(intern!(py, "__dict__"))?;
        for (name, bit) in NAMES {
            if attributes.contains(name)? {
                bits |= bit;
            }
        }
        let overrides = &native.get().overrides;
        overrides.0.store(bits, Ordering::Relaxed);
        if !overrides.time() {
            native.get().engine.with(py, |engine| engine.tell_time(None));
        }
        Ok(())
    }
}

/// Tells the engine by which time timers are due, where the loop's `time` is not ours.
#[inline]
pub(super) fn tell_time(native: &Bound<'_, Loop>) -> PyResult<()> {
    if native.get().overrides.time() { tell_own_time(native) } else { Ok(()) }
}

#[cold]
fn tell_own_time(native: &Bound<'_, Loop>) -> PyResult<()> {
    let py = native.py();
    let time: f64 = native.call_method0(intern!(py, "time"))?.extract()?;
    // By a time that is a NaN everything is due, as for asyncio.
    let time = nanos_from_seconds(time).unwrap_or(Nanos::MAX);
    // With asyncio's resolution: sums of seconds that ought to be equal are, but for their last bit.
    native.get().engine.with(py, |engine| engine.tell_time(Some(time.saturating_add(1))));
    Ok(())
}

fn bit(name: &str) -> u8 {
    NAMES.iter().find(|(known, _)| *known == name).map_or(0, |(_, bit)| *bit)
}

fn class_bits(class: &Bound<'_, PyType>) -> PyResult<u8> {
    let ours = class.py().get_type::<Loop>();
    let mut bits = 0;
    if class.is(&ours) {
        return Ok(bits);
    }
    for (name, bit) in NAMES {
        if !class.getattr(name)?.is(&ours.getattr(name)?) {
            bits |= bit;
        }
    }
    Ok(bits)
}
