//! Which of the loop's methods somebody replaced, by a subclass or by an attribute of the instance.
//!
//! Native code schedules without a method call; where `call_soon`, `call_later`, `call_at` or `time` is not ours, it
//! goes through Python, so that a test's loop or a GUI's sees every call.

use std::sync::atomic::{AtomicU8, Ordering};

use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use super::Loop;

const CALL_SOON: u8 = 1;
const TIMERS: u8 = 2;
const CREATE_TASK: u8 = 4;
const CALL_SOON_THREADSAFE: u8 = 8;
const RUN_IN_EXECUTOR: u8 = 16;

const NAMES: [(&str, u8); 7] = [
    ("call_soon", CALL_SOON),
    ("call_later", TIMERS),
    ("call_at", TIMERS),
    ("time", TIMERS),
    ("create_task", CREATE_TASK),
    ("call_soon_threadsafe", CALL_SOON_THREADSAFE),
    ("run_in_executor", RUN_IN_EXECUTOR),
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

    /// Notes an attribute set on the instance.
    pub(crate) fn note(&self, name: &Bound<'_, PyAny>) {
        if let Ok(name) = name.cast::<PyString>() {
            self.0.fetch_or(bit(&name.to_string_lossy()), Ordering::Relaxed);
        }
    }

    /// Starts over from the class, after an attribute was deleted.
    pub(crate) fn refresh(&self, class: &Bound<'_, PyType>) -> PyResult<()> {
        self.0.store(class_bits(class)?, Ordering::Relaxed);
        Ok(())
    }
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
