//! What a loop shows of its progress, so that a watchdog can say what it has been doing for too long.
//!
//! The loop shows each item while it runs, if anybody watches. The watchdog compares samples (`ferrio_engine::pulse`),
//! and looks at the object only for a report. If it couldn't look in time, the loop's thread leaves the object of the
//! item for it, and the time at which it ended. `loop_api/watcher.rs` is the watchdog.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ferrio_engine::clock::{Clock, Nanos};
use ferrio_engine::pulse::{Beat, Pulse};
use pyo3::prelude::*;

use super::samples::Samples;
use crate::base::ffi::on_show::OnShow;

/// Whether the package wants to hear of each loop that begins to run.
static ANNOUNCED: AtomicBool = AtomicBool::new(false);

/// Say whether `ferrio.sight` wants to hear of loops that begin to run; return what was set before.
#[pyfunction]
pub(crate) fn _announce_loops(announced: bool) -> bool {
    ANNOUNCED.swap(announced, Ordering::Relaxed)
}

/// Whether to tell `ferrio.sight` that a loop begins to run.
#[inline]
pub(super) fn is_announced() -> bool {
    ANNOUNCED.load(Ordering::Relaxed)
}

/// The progress of one loop, shared with its watchdogs.
pub(crate) struct Progress {
    pulse: Pulse,
    on_show: OnShow,
    samples: Samples,
    observers: Mutex<Vec<Arc<Observer>>>,
    /// The loop has said that nothing can wake it, and has run nothing since.
    said_stuck: AtomicBool,
    /// How many slow items were reported, and the number of the last one.
    slow: AtomicU64,
    last_slow: AtomicU64,
}

impl Progress {
    /// Counts a slow item. If it has a `number`, because watchdogs watch, it counts once, however many report it.
    pub(crate) fn count_slow(&self, number: Option<u64>) {
        let known = number.is_some_and(|number| self.last_slow.swap(number, Ordering::Relaxed) == number);
        if !known {
            self.slow.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many slow items were reported.
    pub(crate) fn slow(&self) -> u64 {
        self.slow.load(Ordering::Relaxed)
    }

    /// Shows `object` while `body` works on it.
    #[inline]
    pub(super) fn during<R>(&self, object: &Bound<'_, PyAny>, body: impl FnOnce() -> R) -> R {
        self.pulse.beat();
        let result = self.on_show.during(object, body);
        if self.pulse.is_awaited() {
            self.leave_note(object);
        }
        result
    }

    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            pulse: Pulse::new(),
            on_show: OnShow::new(),
            samples: Samples::default(),
            observers: Mutex::default(),
            said_stuck: AtomicBool::new(false),
            slow: AtomicU64::new(0),
            last_slow: AtomicU64::new(u64::MAX),
        })
    }

    /// The numbers.
    #[inline]
    pub(crate) fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// What samplers share with the loop.
    #[inline]
    pub(crate) fn samples(&self) -> &Samples {
        &self.samples
    }

    /// The address of what the loop is working on, which may be gone already.
    pub(crate) fn shown_address(&self) -> Option<usize> {
        self.on_show.address()
    }

    /// Whether the loop has said that nothing can wake it, and has run nothing since.
    pub(super) fn has_said_stuck(&self) -> bool {
        self.said_stuck.load(Ordering::Relaxed)
    }

    /// Notes that the loop says so.
    pub(super) fn says_stuck(&self) {
        self.said_stuck.store(true, Ordering::Relaxed);
    }

    /// A turn goes on to its items, or has none.
    #[inline]
    pub(super) fn goes_on(&self, has_none: bool) {
        if has_none {
            self.pulse.beat();
        } else {
            self.said_stuck.store(false, Ordering::Relaxed);
        }
    }

    /// A sample. Takes no lock and needs no interpreter.
    pub(crate) fn sample(&self) -> Beat {
        self.pulse.sample(!self.on_show.is_empty())
    }

    /// What the loop is working on.
    pub(crate) fn shown<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.on_show.take(py)
    }

    /// A new observer of this loop.
    pub(crate) fn observe(&self) -> Arc<Observer> {
        let observer = Arc::new(Observer { awaits: AtomicU64::new(0), note: Mutex::default() });
        self.observers().push(observer.clone());
        observer
    }

    /// Forgets an observer. Returns whether there are others.
    pub(crate) fn forget(&self, observer: &Arc<Observer>) -> bool {
        let mut observers = self.observers();
        observers.retain(|known| !Arc::ptr_eq(known, observer));
        !observers.is_empty()
    }

    /// Asks for a note when the present item ends, if that has this number.
    pub(crate) fn await_end(&self, observer: &Observer, number: u64) {
        observer.awaits.store(number, Ordering::Relaxed);
        self.pulse.set_awaited(true);
    }

    #[cold]
    fn leave_note(&self, object: &Bound<'_, PyAny>) {
        self.pulse.set_awaited(false);
        let number = self.pulse.number();
        let at = Clock::monotonic().now();
        let observers = self.observers().clone();
        for observer in observers.iter().filter(|observer| observer.awaits.load(Ordering::Relaxed) == number)
        {
            let note = Note { number, at, object: object.clone().unbind() };
            let old = observer.note().replace(note);
            drop(old);
        }
    }

    fn observers(&self) -> MutexGuard<'_, Vec<Arc<Observer>>> {
        self.observers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One watchdog of one loop.
pub(crate) struct Observer {
    /// The item whose end it wants to hear of.
    awaits: AtomicU64,
    note: Mutex<Option<Note>>,
}

/// What the loop's thread says about an item at its end.
pub(crate) struct Note {
    number: u64,
    pub(crate) at: Nanos,
    pub(crate) object: Py<PyAny>,
}

impl Observer {
    /// The note about the item with this number, if that has ended.
    pub(crate) fn note_of(&self, py: Python<'_>, number: u64) -> Option<Note> {
        self.note().as_ref().filter(|note| note.number == number).map(|note| Note {
            number,
            at: note.at,
            object: note.object.clone_ref(py),
        })
    }

    /// Drops the note.
    pub(crate) fn clear(&self) {
        let old = self.note().take();
        drop(old);
    }

    fn note(&self) -> MutexGuard<'_, Option<Note>> {
        self.note.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
