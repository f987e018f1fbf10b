//! Which of the loop's methods a program replaced, in a subclass or with an attribute of the instance.
//!
//! Native code schedules without a method call. If `call_soon`, `call_later`, `call_at` or `time` isn't ours, it
//! calls the Python method, so that a test's loop or a GUI's sees every call.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::PyTypeInfo;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::base::overrides::{self, Names};

const CALL_SOON: u8 = 1;
const TIMERS: u8 = 2;
const CREATE_TASK: u8 = 4;
const CALL_SOON_THREADSAFE: u8 = 8;
const RUN_IN_EXECUTOR: u8 = 16;
const TIME: u8 = 32;
const SOCK_CONNECT: u8 = 64;
const RUN_ONCE: u8 = 128;

const NAMES: Names = &[
    ("call_soon", CALL_SOON),
    ("call_later", TIMERS),
    ("call_at", TIMERS),
    ("time", TIMERS | TIME),
    ("create_task", CREATE_TASK),
    ("call_soon_threadsafe", CALL_SOON_THREADSAFE),
    ("run_in_executor", RUN_IN_EXECUTOR),
    ("sock_connect", SOCK_CONNECT),
    ("_run_once", RUN_ONCE),
];

/// One bit for each family of methods; and whether asyncio's own `create_task` was replaced.
#[derive(Debug)]
pub(crate) struct Overrides(overrides::Overrides, AtomicBool);

impl Overrides {
    /// What `class` overrides of the loop class `T`.
    pub(super) fn of_class<T: PyTypeInfo>(class: &Bound<'_, PyType>) -> PyResult<Self> {
        overrides::Overrides::of_class::<T>(class, NAMES).map(|found| Self(found, AtomicBool::new(false)))
    }

    /// Whether `call_soon` was replaced.
    #[inline]
    pub(crate) fn call_soon(&self) -> bool {
        self.0.has(CALL_SOON)
    }

    /// Whether `call_later`, `call_at` or `time` was replaced.
    #[inline]
    pub(crate) fn timers(&self) -> bool {
        self.0.has(TIMERS)
    }

    /// Whether `time` was replaced.
    #[inline]
    pub(super) fn time(&self) -> bool {
        self.0.has(TIME)
    }

    /// Whether `create_task` was replaced.
    #[inline]
    pub(crate) fn create_task(&self) -> bool {
        self.0.has(CREATE_TASK) || self.standard_create_task()
    }

    /// Whether a program replaced the method of asyncio's loop class.
    #[inline]
    pub(super) fn standard_create_task(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }

    /// Notes whether it did.
    pub(super) fn set_standard_create_task(&self, replaced: bool) {
        self.1.store(replaced, Ordering::Relaxed);
    }

    /// Whether `call_soon_threadsafe` was replaced.
    #[inline]
    pub(crate) fn call_soon_threadsafe(&self) -> bool {
        self.0.has(CALL_SOON_THREADSAFE)
    }

    /// Whether `run_in_executor` was replaced.
    #[inline]
    pub(crate) fn run_in_executor(&self) -> bool {
        self.0.has(RUN_IN_EXECUTOR)
    }

    /// Whether `sock_connect` was replaced.
    pub(crate) fn sock_connect(&self) -> bool {
        self.0.has(SOCK_CONNECT)
    }

    /// Whether `_run_once` was replaced.
    #[inline]
    pub(super) fn run_once(&self) -> bool {
        self.0.has(RUN_ONCE)
    }

    /// Notes an attribute set on the instance.
    pub(super) fn note(&self, name: &Bound<'_, PyAny>) {
        self.0.note(name, NAMES);
    }

    /// Checks the class and the attributes of `native` again, after an attribute was deleted.
    pub(super) fn refresh<T: PyTypeInfo>(&self, native: &Bound<'_, PyAny>) -> PyResult<()> {
        self.0.refresh::<T>(native, NAMES)
    }
}
