//! Recording what loops do: the session, the tape of each loop, and the place where a loop has its tape.
//!
//! There is one session at a time, for all loops and worker threads of the process. A loop's thread writes events to the
//! loop's tape (`ferrio_engine::recorder`); tasks are known by their addresses, everything else by labels (`labels`).
//! `loop_api/recorder.rs` starts and reads the session.
//!
//! Invariants: a tape is written and copied inside of its cell. So a copy is consistent: with a GIL, only the attached
//! thread looks; without one, the cell has a lock. A blocked loop holds neither. What runs per item counts no
//! reference and runs no Python code. A task's address may be used again only after its end was recorded.

pub(crate) mod jobs;
mod labels;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ferrio_engine::clock::Nanos;
use ferrio_engine::recorder::{Event, Id, Kind, Moment, Ring, Scale, Ticker, Ticks};
use pyo3::PyVisit;
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;

use self::jobs::JobStore;
pub(crate) use self::labels::{Labels, Named};
use crate::base::by_address::ByAddress;
use crate::base::ffi::frames::{self, Place};
use crate::base::ffi::{Guarded, Leaf};
use crate::base::gc::{Traverse, Visited};

/// Whether there is a session; read before anything else.
static IS_ON: AtomicBool = AtomicBool::new(false);
static CURRENT: Mutex<Option<Arc<Session>>> = Mutex::new(None);

/// How many frames of the stack in which a task was made are kept.
const FRAMES: usize = 16;

/// How many labels a tape finds without hashing, by a few bits of the address.
const RECENT: usize = 64;

/// A recording of all loops.
pub(crate) struct Session {
    /// No other session of the process has it, or had it. From 1 on.
    number: u64,
    pub(crate) ticker: Ticker,
    /// When it began.
    pub(crate) began: Moment,
    /// How many events each loop keeps.
    events: usize,
    /// How much time is of interest; `None` if everything is.
    period: Option<Nanos>,
    /// The tapes of all loops, with the numbers of the loops.
    tapes: Mutex<Vec<(u32, Arc<Tape>)>>,
    pub(crate) labels: Labels,
    pub(crate) jobs: JobStore,
    stacks: Mutex<Stacks>,
}

/// The stacks refer to code only, which is part of no cycle.
impl Traverse for Session {
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        self.labels.traverse(visit)
    }
}

/// The stacks in which tasks were made. The same places make many tasks.
#[derive(Default)]
struct Stacks {
    known: std::collections::HashMap<Vec<(usize, i32)>, u32>,
    all: Vec<Vec<Place>>,
}

/// The events of one loop.
pub(crate) struct Tape(Leaf<Content>);

struct Content {
    ring: Ring,
    recent: [(usize, u32); RECENT],
    labels: ByAddress<u32>,
    /// Whether it is of interest where tasks are made.
    wants_stacks: bool,
}

/// A loop's tape in a session.
pub(crate) struct Recording {
    session: Arc<Session>,
    tape: Arc<Tape>,
    number: u32,
}

/// Where a loop has its tape, if it is recorded.
pub(crate) struct Slot(Guarded<Option<Recording>>);

impl Session {
    /// A session that records from now on. With a `period`, only the latest time is of interest, and no stack.
    pub(crate) fn new(events: usize, period: Option<Nanos>) -> Arc<Self> {
        static SESSIONS: AtomicU64 = AtomicU64::new(0);
        let ticker = Ticker::new();
        Arc::new(Self {
            number: SESSIONS.fetch_add(1, Ordering::Relaxed) + 1,
            ticker,
            began: ticker.moment(),
            events,
            period,
            tapes: Mutex::default(),
            labels: Labels::new(),
            jobs: JobStore::new(events / 8),
            stacks: Mutex::default(),
        })
    }

    /// The current session.
    #[inline]
    pub(crate) fn current() -> Option<Arc<Self>> {
        if IS_ON.load(Ordering::Relaxed) { lock(&CURRENT).clone() } else { None }
    }

    /// Makes `session` the current one, or none; returns the one before.
    pub(crate) fn set_current(session: Option<Arc<Self>>) -> Option<Arc<Self>> {
        let mut current = lock(&CURRENT);
        IS_ON.store(session.is_some(), Ordering::Relaxed);
        std::mem::replace(&mut *current, session)
    }

    /// Whether it is the current one.
    pub(crate) fn is_current(self: &Arc<Self>) -> bool {
        lock(&CURRENT).as_ref().is_some_and(|current| Arc::ptr_eq(current, self))
    }

    /// A tape for one more loop. Raises `MemoryError`.
    fn new_tape(&self) -> PyResult<(u32, Arc<Tape>)> {
        let ring = Ring::new(self.ticker, self.events).map_err(|_| PyMemoryError::new_err(()))?;
        let content = Content {
            ring,
            recent: [(0, 0); RECENT],
            labels: ByAddress::default(),
            wants_stacks: self.period.is_none(),
        };
        let tape = Arc::new(Tape(Leaf::new(content)));
        let mut tapes = lock(&self.tapes);
        let number = tapes.last().map_or(1, |(number, _)| number + 1);
        tapes.push((number, tape.clone()));
        Ok((number, tape))
    }

    /// Drops the tapes of loops that are gone, if what they recorded is no longer of interest.
    fn forget_old(&self, py: Python<'_>) {
        let Some(period) = self.period else { return };
        let now = self.ticker.moment();
        let scale = Scale::between(self.began, now);
        let is_old = |tape: &Arc<Tape>| {
            let latest = tape.0.with(py, |content| content.ring.latest());
            Arc::strong_count(tape) == 1
                && latest.is_none_or(|latest| scale.nanos(latest).saturating_add(period) < now.nanos)
        };
        let mut old = Vec::new();
        lock(&self.tapes).retain(|(_, tape)| {
            let keep = !is_old(tape);
            if !keep {
                old.push(tape.clone());
            }
            keep
        });
    }

    /// A copy of each tape: the loop's number, the events, and how many were lost.
    pub(crate) fn copies(&self, py: Python<'_>) -> Vec<(u32, Vec<Event>, u64)> {
        let tapes = lock(&self.tapes).clone();
        let copy = |(number, tape): &(u32, Arc<Tape>)| {
            tape.0.with(py, |content| (*number, content.ring.copy(), content.ring.lost()))
        };
        tapes.iter().map(copy).collect()
    }

    /// The stacks, each as its places with the innermost first.
    pub(crate) fn stacks(&self, py: Python<'_>) -> Vec<Vec<Place>> {
        let place = |(code, at): &Place| (code.clone_ref(py), *at);
        lock(&self.stacks).all.iter().map(|stack| stack.iter().map(place).collect()).collect()
    }

    /// The number of the calling thread's stack.
    fn stack(&self, py: Python<'_>) -> Option<u32> {
        let places = frames::innermost(py, FRAMES);
        let key: Vec<_> = places.iter().map(|(code, at)| (code.as_ptr().addr(), *at)).collect();
        let mut stacks = lock(&self.stacks);
        if let Some(known) = stacks.known.get(&key) {
            let known = *known;
            drop(stacks);
            return Some(known);
        }
        let number = u32::try_from(stacks.all.len()).ok()?;
        stacks.known.insert(key, number);
        stacks.all.push(places);
        Some(number)
    }
}

impl Content {
    #[inline]
    fn label(&mut self, address: usize) -> Option<u32> {
        let recent = &mut self.recent[(address >> 4) % RECENT];
        if recent.0 != address {
            *recent = (address, *self.labels.get(&address)?);
        }
        Some(recent.1)
    }
}

impl Slot {
    /// Of a loop that isn't recorded.
    pub(crate) const fn new() -> Self {
        Self(Guarded::new(None))
    }

    /// The session in which the loop is recorded, and its number there.
    pub(crate) fn session(&self, py: Python<'_>) -> Option<(Arc<Session>, u32)> {
        self.0.with(py, |slot| slot.as_ref().map(|recording| (recording.session.clone(), recording.number)))
    }

    /// Records in `session`, from now on. Raises `MemoryError`.
    pub(crate) fn join(&self, py: Python<'_>, session: &Arc<Session>) -> PyResult<()> {
        if self.session(py).is_some_and(|(known, _)| Arc::ptr_eq(&known, session)) {
            return Ok(());
        }
        session.forget_old(py);
        let (number, tape) = session.new_tape()?;
        let recording = Recording { session: session.clone(), tape, number };
        let old = self.0.with(py, |slot| slot.replace(recording));
        drop(old);
        Ok(())
    }

    /// Records no longer.
    pub(crate) fn leave(&self, py: Python<'_>) {
        let old = self.0.with(py, Option::take);
        drop(old);
    }

    /// Calls `look` with the tape, if there is one.
    #[inline]
    fn with<R>(&self, py: Python<'_>, look: impl FnOnce(&mut Content) -> R) -> Option<R> {
        self.0.with(py, |slot| slot.as_ref().map(|recording| recording.tape.0.with(py, look)))
    }

    /// Records that something happens now.
    #[inline]
    pub(crate) fn note(&self, py: Python<'_>, kind: Kind, id: Id) {
        self.with(py, |content| content.ring.note(kind, id));
    }

    /// Records what happened at an earlier moment.
    pub(crate) fn note_at(&self, py: Python<'_>, kind: Kind, id: Id, time: Ticks) {
        self.with(py, |content| content.ring.note_at(kind, id, time));
    }

    /// Records that something with a name begins now.
    #[inline]
    pub(crate) fn note_named(&self, py: Python<'_>, kind: Kind, named: &Named<'_, '_>) {
        let address = named.address();
        let noted = self.with(py, |content| match content.label(address) {
            Some(label) => {
                content.ring.note(kind, u64::from(label));
                true
            }
            None => false,
        });
        if noted == Some(false)
            && let Some(label) = self.learn(py, named)
        {
            self.note(py, kind, u64::from(label));
        }
    }

    /// Records what `actor` waits for from now on.
    #[inline]
    pub(crate) fn note_wait(&self, py: Python<'_>, actor: Id, named: &Named<'_, '_>) {
        if let Some(label) = self.label(py, named) {
            self.with(py, |content| content.ring.add(Kind::Await, actor, u64::from(label)));
        }
    }

    /// Records that `actor` waits for the actor `awaited` from now on.
    #[inline]
    pub(crate) fn note_wait_for_actor(&self, py: Python<'_>, actor: Id, awaited: Id) {
        self.with(py, |content| content.ring.add(Kind::AwaitActor, actor, awaited));
    }

    /// Records that `actor` was made.
    pub(crate) fn note_made(&self, py: Python<'_>, actor: Id) {
        let wants_stack = self.with(py, |content| {
            content.ring.note(Kind::Made, actor);
            content.wants_stacks
        });
        if wants_stack == Some(true)
            && let Some((session, _)) = self.session(py)
            && let Some(stack) = session.stack(py)
        {
            self.with(py, |content| content.ring.add(Kind::Origin, 0, u64::from(stack)));
        }
    }

    /// Records that `actor` has ended: `value` is `recorder::ended`. Its name is a number or a text.
    pub(crate) fn note_ended(&self, py: Python<'_>, actor: Id, value: u64, number: u64, text: Option<&str>) {
        self.with(py, |content| {
            content.ring.add(Kind::Ended, actor, value);
            match text {
                Some(text) => content.ring.add_text(text),
                None => content.ring.add(Kind::Number, 0, number),
            }
        });
    }

    /// The label of a name; `None` if nothing is recorded.
    #[inline]
    pub(crate) fn label(&self, py: Python<'_>, named: &Named<'_, '_>) -> Option<u32> {
        let address = named.address();
        self.with(py, |content| content.label(address))?.or_else(|| self.learn(py, named))
    }

    /// Finds the label of a name that this tape doesn't know.
    #[cold]
    fn learn(&self, py: Python<'_>, named: &Named<'_, '_>) -> Option<u32> {
        let (session, _) = self.session(py)?;
        let (label, is_kept) = session.labels.label(named);
        if is_kept {
            self.with(py, |content| content.labels.insert(named.address(), label));
        }
        Some(label)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
