//! The journal of a loop: the tape to which it writes what it runs, or the script of an earlier run that it follows.
//!
//! There is one session at a time, for all loops of the process that are made while it lasts; `ferrio_engine::journal` has
//! the format. `core/event_loop/journaled.rs` says what is noted, `core/event_loop/followed.rs` follows a script.
//!
//! Numbers are the same in each run of a program, as long as it does the same. So nothing is named by its address, except within
//! a run: labels are found by the addresses of functions, jobs by those of their futures.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ferrio_engine::clock::Nanos;
use ferrio_engine::journal::{Actor, Id, Journal, Script, Sink, Step, Tape};
use pyo3::PyVisit;
use pyo3::prelude::*;

use crate::base::by_address::ByAddress;
use crate::base::ffi::Leaf;
use crate::base::gc::{Traverse, Visited};
use crate::base::recording::{Labels, Named};

static CURRENT: Mutex<Option<Arc<Session>>> = Mutex::new(None);

/// A file to which all loops write.
pub(crate) struct Session {
    sink: Sink,
    labels: Labels,
    loops: AtomicU32,
}

/// The labels refer to code only, which is part of no cycle.
impl Traverse for Session {
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        self.labels.traverse(visit)
    }
}

impl Session {
    /// A session that writes to a new file, which is made when the first loop writes if it is `lazy`.
    pub(crate) fn create(path: &Path, lazy: bool) -> io::Result<Arc<Self>> {
        let sink = if lazy { Sink::later(path) } else { Sink::create(path)? };
        Ok(Arc::new(Self { sink, labels: Labels::new(), loops: AtomicU32::new(0) }))
    }

    /// The current session.
    pub(crate) fn current() -> Option<Arc<Self>> {
        lock(&CURRENT).clone()
    }

    /// Makes `session` the current one, or none; returns the one before.
    pub(crate) fn set_current(session: Option<Arc<Self>>) -> Option<Arc<Self>> {
        std::mem::replace(&mut *lock(&CURRENT), session)
    }

    /// What went wrong with the file, once.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        self.sink.failure()
    }

    fn write(&self, tape: &mut Tape) {
        self.sink.append(tape, self.labels.texts().iter());
    }
}

/// Where a loop has its tape or script, if it has one.
pub(crate) struct Slot(Leaf<Option<Box<Content>>>);

struct Content {
    role: Role,
    /// Labels by the addresses of what has them.
    known: ByAddress<u32>,
    /// The jobs that aren't over, by the addresses of what waits for them, which is kept so long.
    jobs: ByAddress<(Id, Py<PyAny>)>,
    /// How many jobs there were.
    submitted: Id,
}

enum Role {
    Writes(Arc<Session>, Tape),
    Follows(Box<Followed>),
}

/// A script, and how far it was followed.
struct Followed {
    script: Script,
    /// Those of the script first, under their numbers there.
    labels: Arc<Labels>,
    /// Since when what is wanted hasn't been ready, and how often that was seen.
    missed: Option<(Instant, u32)>,
    state: Following,
}

/// How far a loop has followed its script.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Following {
    /// It does so.
    Still,
    /// To its end.
    Ended,
    /// Until the program did something else.
    Departed,
}

impl Traverse for Slot {
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        self.0.visit(visit, |content| {
            let jobs = content.iter().flat_map(|content| content.jobs.values());
            jobs.map(|(_, object)| object).try_for_each(|object| object.traverse(visit))
        })
    }
}

impl Slot {
    /// Of a loop without a journal.
    pub(crate) const fn new() -> Self {
        Self(Leaf::new(None))
    }

    /// Writes to `session` from now on. `note` is a number about the loop.
    pub(crate) fn write_to(&self, py: Python<'_>, session: Arc<Session>, note: u64) {
        let number = session.loops.fetch_add(1, Ordering::Relaxed) + 1;
        self.put(py, Some(Role::Writes(session, Tape::new(number, note))));
    }

    /// Follows the steps of a loop in `journal` from now on. Returns whether it has that loop.
    pub(crate) fn follow(&self, py: Python<'_>, journal: &Journal, number: u32) -> bool {
        let Some(script) = journal.script(number) else { return false };
        let labels = Labels::of_texts(journal.labels());
        let followed = Followed { script, labels: Arc::new(labels), missed: None, state: Following::Still };
        self.put(py, Some(Role::Follows(Box::new(followed))));
        true
    }

    /// Writes what wasn't written yet, and writes or follows no longer.
    pub(crate) fn leave(&self, py: Python<'_>) {
        self.write(py);
        self.put(py, None);
    }

    fn put(&self, py: Python<'_>, role: Option<Role>) {
        let (known, jobs) = (ByAddress::default(), ByAddress::default());
        let content = role.map(|role| Box::new(Content { role, known, jobs, submitted: 0 }));
        let old = self.0.with(py, |place| std::mem::replace(place, content));
        drop(old);
    }

    #[inline]
    fn with<R>(&self, py: Python<'_>, look: impl FnOnce(&mut Content) -> R) -> Option<R> {
        self.0.with(py, |content| content.as_mut().map(|content| look(content)))
    }

    // ---- for both

    /// The label of a name.
    #[inline]
    pub(crate) fn label(&self, py: Python<'_>, named: &Named<'_, '_>) -> u32 {
        let address = named.address();
        match self.with(py, |content| content.known.get(&address).copied()).flatten() {
            Some(label) => label,
            None => self.learn(py, named),
        }
    }

    #[cold]
    fn learn(&self, py: Python<'_>, named: &Named<'_, '_>) -> u32 {
        let Some(label) = self.with_labels(py, |labels| labels.label(named)) else { return 0 };
        let (label, is_kept) = label;
        if is_kept {
            self.with(py, |content| content.known.insert(named.address(), label));
        }
        label
    }

    /// Calls `look` with the labels, outside of the cell.
    pub(crate) fn with_labels<R>(&self, py: Python<'_>, look: impl FnOnce(&Labels) -> R) -> Option<R> {
        let (session, labels) = self.with(py, |content| match &content.role {
            Role::Writes(session, _) => (Some(session.clone()), None),
            Role::Follows(followed) => (None, Some(followed.labels.clone())),
        })?;
        session.as_ref().map(|session| &session.labels).or(labels.as_deref()).map(look)
    }

    /// A job was handed out, and `waiter` waits for it: a future, usually.
    pub(crate) fn job_begins(&self, waiter: &Bound<'_, PyAny>) {
        let (address, waiter) = (waiter.as_ptr().addr(), (waiter.py(), waiter.clone().unbind()));
        let old = self.with(waiter.0, |content| {
            content.submitted += 1;
            content.jobs.insert(address, (content.submitted, waiter.1))
        });
        drop(old);
    }

    /// The number of the job for which `waiter` waits.
    pub(crate) fn job_of(&self, waiter: &Bound<'_, PyAny>) -> Option<Id> {
        let address = waiter.as_ptr().addr();
        self.with(waiter.py(), |content| content.jobs.get(&address).map(|(number, _)| *number)).flatten()
    }

    /// A job is over.
    pub(crate) fn job_ends(&self, waiter: &Bound<'_, PyAny>) {
        let address = waiter.as_ptr().addr();
        let old = self.with(waiter.py(), |content| content.jobs.remove(&address));
        drop(old);
    }

    /// The answer that what runs now gets: that of the earlier run, or `actual`, which is noted.
    pub(crate) fn answer(&self, py: Python<'_>, actual: bool) -> bool {
        self.with(py, |content| match &mut content.role {
            Role::Writes(_, tape) => {
                tape.answered(actual);
                actual
            }
            Role::Follows(followed) => followed.answer().unwrap_or(actual),
        })
        .unwrap_or(actual)
    }

    // ---- for one that writes

    /// What runs from now on runs at this time.
    #[inline]
    pub(crate) fn time_is(&self, py: Python<'_>, now: Nanos) {
        self.with(py, |content| {
            if let Role::Writes(_, tape) = &mut content.role {
                tape.time_is(now);
            }
        });
    }

    /// Notes what runs now.
    #[inline]
    pub(crate) fn ran(&self, py: Python<'_>, step: Step) {
        self.with(py, |content| {
            if let Role::Writes(session, tape) = &mut content.role {
                tape.ran(step);
                if tape.is_full() {
                    session.write(tape);
                }
            }
        });
    }

    /// Notes a new actor.
    pub(crate) fn made(&self, py: Python<'_>, actor: Id, label: u32, name: Option<&str>) {
        self.with(py, |content| {
            if let Role::Writes(_, tape) = &mut content.role {
                tape.made(actor, label, name);
            }
        });
    }

    /// The loop is about to sleep: writes what has waited for long.
    pub(crate) fn write_old(&self, py: Python<'_>) {
        self.with(py, |content| {
            if let Role::Writes(session, tape) = &mut content.role
                && tape.is_old()
            {
                session.write(tape);
            }
        });
    }

    /// Writes what wasn't written yet.
    pub(crate) fn write(&self, py: Python<'_>) {
        self.with(py, |content| {
            if let Role::Writes(session, tape) = &mut content.role {
                session.write(tape);
            }
        });
    }

    // ---- for one that follows

    #[inline]
    fn followed<R>(&self, py: Python<'_>, look: impl FnOnce(&mut Followed) -> R) -> Option<R> {
        self.with(py, |content| match &mut content.role {
            Role::Writes(..) => None,
            Role::Follows(followed) => Some(look(followed)),
        })
        .flatten()
    }

    /// How far it has followed, and after how many steps; `None` if it follows nothing.
    pub(crate) fn following(&self, py: Python<'_>) -> Option<(Following, u64)> {
        self.followed(py, |followed| (followed.state, followed.script.ran()))
    }

    /// What runs next, and when it ran; `None` if it follows no longer.
    pub(crate) fn wanted(&self, py: Python<'_>) -> Option<(Step, Nanos)> {
        self.followed(py, |followed| {
            if followed.state != Following::Still {
                return None;
            }
            let wanted = followed.script.wanted();
            if wanted.is_none() {
                followed.state = Following::Ended;
            }
            wanted.map(|wanted| (wanted, followed.script.time()))
        })
        .flatten()
    }

    /// What was wanted runs now.
    pub(crate) fn goes_on(&self, py: Python<'_>) {
        self.followed(py, |followed| {
            followed.missed = None;
            followed.script.goes_on();
        });
    }

    /// What is wanted isn't ready: since when not, and how often that was seen before.
    pub(crate) fn misses(&self, py: Python<'_>) -> Option<(Instant, u32)> {
        self.followed(py, |followed| {
            let (since, count) = followed.missed.get_or_insert_with(|| (Instant::now(), 0));
            let before = (*since, *count);
            *count += 1;
            before
        })
    }

    /// The program does something else than before: it follows no longer.
    pub(crate) fn departs(&self, py: Python<'_>) {
        self.followed(py, |followed| followed.state = Following::Departed);
    }

    /// An actor of the script.
    pub(crate) fn actor(&self, py: Python<'_>, number: Id) -> Option<Actor> {
        self.followed(py, |followed| followed.script.actor(number).cloned()).flatten()
    }

    /// The answer that what runs now got in the earlier run.
    pub(crate) fn earlier_answer(&self, py: Python<'_>) -> Option<bool> {
        self.followed(py, Followed::answer).flatten()
    }
}

impl Followed {
    fn answer(&mut self) -> Option<bool> {
        if self.state == Following::Still { self.script.answer() } else { None }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
