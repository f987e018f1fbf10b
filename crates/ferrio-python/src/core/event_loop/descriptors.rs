//! Which file descriptors the loop watches, and what an event on one of them does.
//!
//! A descriptor has a side for reading and one for writing. Each side has one watcher, the one registered last: the
//! handle that `add_reader` or `add_writer` made, or a pipe's transport. Native operations (`sock_recv`...) may wait
//! there as well, and extension modules (`watches.rs`). Or the whole descriptor belongs to a native watcher, whose
//! function is called directly.
//!
//! Handles are level-triggered: the callback is called again while its condition lasts. Operations want one event. If
//! nothing else waits, the kernel is asked for one event only, and nothing needs to be unregistered afterwards. A
//! socket that is read repeatedly stays registered, until an event arrives that nothing waits for. A descriptor may
//! be closed without notice and its number reused. So the table's registration is repeated if the kernel may have
//! lost it, unless the socket object is known to be the same.

use std::io;
use std::sync::Arc;

use ferrio_engine::reactor::{Event, Events, Interest, Reactor};
use pyo3::prelude::*;
use pyo3::types::PyWeakrefReference;

use super::flush::flush_if_much;
use super::foreign::{self, Watch, WatchedDescriptor};
use super::{Item, Loop, debug, modes};
use crate::base::gc::gc;
use crate::core::future::callbacks::WatcherCall;
use crate::core::handle::Handle;
use crate::core::operation::{self, Operation};
use crate::core::task::current;

/// What to wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    /// Input, or the end of input.
    Reading,
    /// Room to write, or the end of a connection attempt.
    Writing,
}

/// What a native watcher does with an event; called while the loop handles the polled events.
pub(crate) type EventCall = for<'py> fn(&Bound<'py, Loop>, &Bound<'py, PyAny>, Event) -> PyResult<()>;

/// Every descriptor that was ever watched, by its number.
#[derive(Default)]
pub(crate) struct Descriptors {
    entries: Vec<Option<Box<Entry>>>,
    /// How many native watchers there were.
    watchers: u64,
}

gc!(Descriptors { entries } not { watchers });

/// One descriptor.
#[derive(Default)]
pub(crate) struct Entry {
    /// Part of the token, changed with every registration: events of an earlier one are ignored.
    generation: u32,
    kernel: Kernel,
    reading: Waiting,
    writing: Waiting,
    native: Option<Native>,
    /// What extension modules watch, on both sides.
    pub(super) foreign: Vec<WatchedDescriptor>,
    /// A weak reference to the socket object for which an operation last parked. A socket keeps its descriptor until
    /// it is closed. So if the same object comes again, the registration is still valid.
    known: Option<Py<PyWeakrefReference>>,
}

gc!(Entry { reading, writing, native, known } not { generation, kernel, foreign });

/// What the kernel was told about a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Kernel {
    #[default]
    Absent,
    /// Registered; its one event has come.
    Dormant,
    Armed(Interest),
}

/// What waits on one side. Only one of `handle` and `pipe` is set.
#[derive(Default)]
pub(crate) struct Waiting {
    pub(crate) handle: Option<Registered>,
    pub(crate) pipe: Option<Pipe>,
    parked: Vec<Py<Operation>>,
}

gc!(Waiting { handle, pipe, parked });

/// A pipe's transport that watches one side, and what it does with an event: in the turn of the event, as a handle.
pub(crate) struct Pipe {
    pub(crate) owner: Py<PyAny>,
    pub(crate) call: WatcherCall,
    /// It only wants to know when the other end goes away.
    pub(crate) breakage: bool,
}

gc!(Pipe { owner } not { call, breakage });

/// A handle, and the object by which it was registered unless that was a number: a closed socket no longer has one.
pub(crate) struct Registered {
    pub(crate) handle: Py<Handle>,
    given: Option<Py<PyAny>>,
}

gc!(Registered { handle, given });

struct Native {
    owner: Py<PyAny>,
    /// For a journal. Counted from 1 on.
    number: u64,
    call: EventCall,
    /// `None` while it wants no events; the descriptor still belongs to it.
    interest: Option<Interest>,
}

gc!(Native { owner } not { number, call, interest });

/// What an event sets off.
#[derive(Default)]
struct Fired {
    handles: [Option<Py<Handle>>; 2],
    pipes: [Option<(Py<PyAny>, WatcherCall)>; 2],
    first: Option<Py<Operation>>,
    others: Vec<Py<Operation>>,
    /// Watches of extension modules, and their events.
    foreign: Vec<(Arc<Watch>, u32)>,
    /// One of them reads, and may soon do so again.
    reads_again: bool,
}

impl Waiting {
    /// Whether anything waits for the side to be ready.
    fn wanted(&self) -> bool {
        self.lasts() && !self.pipe.as_ref().is_some_and(|pipe| pipe.breakage) || !self.parked.is_empty()
    }

    /// Whether there is a watcher, which wants more than one event.
    fn lasts(&self) -> bool {
        self.handle.is_some() || self.pipe.is_some()
    }

    /// Moves what waits here to what an event sets off.
    fn fire(&mut self, py: Python<'_>, fired: &mut Fired, side: Side, broken: bool) {
        if let Some(registered) = &self.handle {
            fired.handles[side as usize] = Some(registered.handle.clone_ref(py));
        }
        if let Some(pipe) = self.pipe.as_ref().filter(|pipe| broken || !pipe.breakage) {
            fired.pipes[side as usize] = Some((pipe.owner.clone_ref(py), pipe.call));
        }
        fired.reads_again |= side == Side::Reading && !self.parked.is_empty();
        if fired.first.is_none() && self.parked.len() == 1 {
            fired.first = self.parked.pop();
        } else {
            fired.others.append(&mut self.parked);
        }
    }
}

impl Entry {
    pub(crate) fn side(&mut self, side: Side) -> &mut Waiting {
        match side {
            Side::Reading => &mut self.reading,
            Side::Writing => &mut self.writing,
        }
    }

    /// Whether the whole descriptor belongs to a native watcher.
    pub(super) fn is_native(&self) -> bool {
        self.native.is_some()
    }

    /// Whether a handle or a pipe's transport watches a side.
    fn has_watcher(&self) -> bool {
        self.native.is_none() && (self.reading.lasts() || self.writing.lasts())
    }

    /// What the kernel should watch for; `None` if nothing waits.
    fn wanted(&self) -> Option<Interest> {
        if let Some(native) = &self.native {
            return native.interest;
        }
        let own = self.wanted_here();
        if self.foreign.is_empty() { own } else { Some(foreign::add_interests(own, &self.foreign)) }
    }

    /// What the loop's own watchers and operations want.
    fn wanted_here(&self) -> Option<Interest> {
        let watched = self.reading.lasts() || self.writing.lasts();
        let interest = match (self.reading.wanted(), self.writing.wanted()) {
            (false, false) if watched => Interest::BREAKAGE,
            (false, false) => return None,
            (true, false) => Interest::READABLE,
            (false, true) => Interest::WRITABLE,
            (true, true) => Interest::BOTH,
        };
        // Room to write lasts, so staying registered would bring unwanted events.
        let lasts = self.known.is_some() && interest == Interest::READABLE;
        Some(if watched || lasts { interest } else { interest.only_once() })
    }

    /// Whether the socket behind the weak reference is the last one that an operation parked for. All references to
    /// one object are the same.
    fn knows(&self, reference: Option<&Py<PyWeakrefReference>>) -> bool {
        matches!((&self.known, reference), (Some(known), Some(reference)) if known.is(reference))
    }

    /// Tells the kernel what has changed.
    pub(crate) fn settle(&mut self, fd: i32, reactor: &Reactor) -> io::Result<()> {
        if matches!(self.kernel, Kernel::Armed(present) if !present.once && self.wanted() == Some(present)) {
            return Ok(());
        }
        self.tell(fd, reactor)
    }

    /// Tells the kernel what is wanted, even if it may know: a new watcher may bring a new file under an old number.
    pub(crate) fn tell(&mut self, fd: i32, reactor: &Reactor) -> io::Result<()> {
        let Some(wanted) = self.wanted() else {
            // A registration that brings no event may stay; the next operation on the descriptor reuses it.
            if matches!(self.kernel, Kernel::Armed(_)) {
                reactor.forget(fd);
                self.kernel = Kernel::Absent;
            }
            return Ok(());
        };
        let outcome = match self.kernel {
            Kernel::Armed(_) | Kernel::Dormant => reactor.rearm(fd, self.token(fd), wanted),
            Kernel::Absent => {
                self.generation = self.generation.wrapping_add(1);
                reactor.register(fd, self.token(fd), wanted)
            }
        };
        self.kernel = if outcome.is_ok() { Kernel::Armed(wanted) } else { Kernel::Absent };
        outcome
    }

    fn token(&self, fd: i32) -> u64 {
        u64::from(self.generation) << 32 | u64::from(fd.unsigned_abs())
    }

    fn fire(&mut self, py: Python<'_>, fd: i32, event: Event, reactor: &Reactor) -> Fired {
        let mut fired = Fired::default();
        if matches!(self.kernel, Kernel::Armed(interest) if interest.once) {
            self.kernel = Kernel::Dormant;
        }
        // An error or a hang-up concerns both sides: the next attempt on each side reports it.
        let broken = event.error || event.hangup;
        if event.readable || broken {
            self.reading.fire(py, &mut fired, Side::Reading, broken);
        }
        if event.writable || broken {
            self.writing.fire(py, &mut fired, Side::Writing, broken);
        }
        if !self.foreign.is_empty() {
            fired.foreign = foreign::events(&self.foreign, event);
        }
        if fired.reads_again && self.known.is_some() && self.wanted().is_none() {
            return fired;
        }
        if self.settle(fd, reactor).is_err() {
            // Closed meanwhile: whatever still waits will notice.
            self.reading.fire(py, &mut fired, Side::Reading, true);
            self.writing.fire(py, &mut fired, Side::Writing, true);
        }
        fired
    }
}

impl Descriptors {
    pub(crate) fn entry(&mut self, fd: i32) -> &mut Entry {
        let index = fd.unsigned_abs() as usize;
        if index >= self.entries.len() {
            self.entries.resize_with(index + 1, || None);
        }
        self.entries[index].get_or_insert_default()
    }

    pub(crate) fn known(&mut self, fd: i32) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(fd).ok()?)?.as_deref_mut()
    }

    /// The descriptor by which `object` was registered on `side`.
    fn find(&self, object: &Bound<'_, PyAny>, side: Side) -> Option<i32> {
        self.entries.iter().enumerate().find_map(|(fd, entry)| {
            let entry = entry.as_ref()?;
            let waiting = if side == Side::Reading { &entry.reading } else { &entry.writing };
            let given = waiting.handle.as_ref()?.given.as_ref()?;
            given.is(object).then(|| i32::try_from(fd).ok())?
        })
    }
}

impl Loop {
    /// Lets `handle` run whenever `fd` is ready; returns the handle that it replaces. `given`: see `Registered`.
    ///
    /// Raises the `OSError` of a descriptor that is closed or can't be watched.
    pub(crate) fn watch_descriptor(
        &self,
        py: Python<'_>,
        fd: i32,
        side: Side,
        handle: Py<Handle>,
        given: Option<Py<PyAny>>,
    ) -> io::Result<Option<Py<Handle>>> {
        let (outcome, old, pipe) = self.owned.descriptors.with(py, |table| {
            let entry = table.entry(fd);
            let old = entry.side(side).handle.replace(Registered { handle, given });
            let pipe = entry.side(side).pipe.take();
            match entry.tell(fd, &self.shared.reactor) {
                Ok(()) => (Ok(()), old, pipe),
                Err(failure) => {
                    let refused = std::mem::replace(&mut entry.side(side).handle, old);
                    entry.side(side).pipe = pipe;
                    (Err(failure), refused, None)
                }
            }
        });
        drop(pipe);
        outcome.map(|()| old.map(|old| old.handle))
    }

    /// Removes the handle of `fd`, and returns it.
    pub(crate) fn unwatch_descriptor(&self, py: Python<'_>, fd: i32, side: Side) -> Option<Py<Handle>> {
        let old = self.owned.descriptors.with(py, |table| {
            let entry = table.known(fd)?;
            let old = entry.side(side).handle.take()?;
            // A closed descriptor needs no settling.
            let _ = entry.settle(fd, &self.shared.reactor);
            Some(old)
        });
        old.map(|old| old.handle)
    }

    /// The descriptor by which a closed object was registered.
    pub(crate) fn find_watched(&self, object: &Bound<'_, PyAny>, side: Side) -> Option<i32> {
        self.owned.descriptors.with(object.py(), |table| table.find(object, side))
    }

    /// Parks a native operation on `socket`, whose descriptor is `fd`; the next event there wakes it.
    pub(crate) fn park(
        &self,
        fd: i32,
        side: Side,
        operation: &Bound<'_, Operation>,
        socket: &Bound<'_, PyAny>,
    ) -> io::Result<()> {
        let (waiter, py) = (operation.clone().unbind(), operation.py());
        let reference = PyWeakrefReference::new(socket).ok().map(Bound::unbind);
        let (outcome, dropped) = self.owned.descriptors.with(py, |table| {
            let entry = table.entry(fd);
            entry.side(side).parked.push(waiter);
            let same = entry.knows(reference.as_ref());
            let replaced = if same { reference } else { std::mem::replace(&mut entry.known, reference) };
            match if same {
                entry.settle(fd, &self.shared.reactor)
            } else {
                entry.tell(fd, &self.shared.reactor)
            } {
                Ok(()) => (Ok(()), (replaced, None)),
                Err(failure) => (Err(failure), (replaced, entry.side(side).parked.pop())),
            }
        });
        drop(dropped);
        outcome
    }

    /// Removes an operation that is parked on `fd`, if it is still there.
    pub(crate) fn unpark(&self, fd: i32, side: Side, operation: &Bound<'_, Operation>) {
        let found = self.owned.descriptors.with(operation.py(), |table| {
            let entry = table.known(fd)?;
            let parked = &mut entry.side(side).parked;
            let found = parked.iter().position(|parked| parked.is(operation)).map(|at| parked.remove(at));
            if found.is_some() {
                let _ = entry.settle(fd, &self.shared.reactor);
            }
            found
        });
        drop(found);
    }

    /// Gives `fd` to a native watcher: `call(loop, owner, event)` at each event. `owner` is a transport, or `None`.
    /// Without an interest the descriptor is reserved but not polled.
    pub(crate) fn watch_natively(
        &self,
        fd: i32,
        owner: &Bound<'_, PyAny>,
        call: EventCall,
        interest: Option<Interest>,
    ) -> io::Result<()> {
        let (py, owner) = (owner.py(), owner.clone().unbind());
        let (outcome, old) = self.owned.descriptors.with(py, |table| {
            table.watchers += 1;
            let native = Native { owner, number: table.watchers, call, interest };
            let entry = table.entry(fd);
            let old = entry.native.replace(native);
            match entry.tell(fd, &self.shared.reactor) {
                Ok(()) => (Ok(()), old),
                Err(failure) => (Err(failure), std::mem::replace(&mut entry.native, old)),
            }
        });
        drop(old);
        outcome
    }

    /// Changes what the native watcher of `fd` waits for; does nothing if there is none.
    pub(crate) fn change_interest(
        &self,
        py: Python<'_>,
        fd: i32,
        interest: Option<Interest>,
    ) -> io::Result<()> {
        self.owned.descriptors.with(py, |table| {
            let Some(entry) = table.known(fd) else { return Ok(()) };
            let Some(native) = &mut entry.native else { return Ok(()) };
            native.interest = interest;
            entry.settle(fd, &self.shared.reactor)
        })
    }

    /// Takes `fd` back from its native watcher; to be called before the descriptor is closed.
    pub(crate) fn unwatch_natively(&self, py: Python<'_>, fd: i32) {
        let old = self.owned.descriptors.with(py, |table| {
            let entry = table.known(fd)?;
            let old = entry.native.take();
            // A closed descriptor needs no settling.
            let _ = entry.settle(fd, &self.shared.reactor);
            old
        });
        drop(old);
    }

    /// Wakes the operations that wait for `fd`, which is about to be closed: their next attempt fails.
    pub(crate) fn wake_parked(&self, py: Python<'_>, fd: i32) -> PyResult<()> {
        let parked = self.owned.descriptors.with(py, |table| {
            let entry = table.known(fd)?;
            let mut parked = std::mem::take(&mut entry.reading.parked);
            parked.append(&mut entry.writing.parked);
            let _ = entry.settle(fd, &self.shared.reactor);
            Some(parked)
        });
        parked.into_iter().flatten().try_for_each(|operation| operation::wake(operation.bind(py)).map(drop))
    }

    /// The number of the native watcher of `fd`.
    pub(super) fn watcher_number(&self, py: Python<'_>, fd: i32) -> Option<u64> {
        self.owned.descriptors.with(py, |table| table.known(fd)?.native.as_ref().map(|native| native.number))
    }

    /// The owner of a natively watched descriptor.
    pub(crate) fn native_owner<'py>(&self, py: Python<'py>, fd: i32) -> Option<Bound<'py, PyAny>> {
        self.owned
            .descriptors
            .with(py, |table| table.known(fd)?.native.as_ref().map(|native| native.owner.bind(py).clone()))
    }
}

/// The descriptor on which `event` happened.
#[inline]
pub(crate) fn descriptor_of(event: &Event) -> i32 {
    (event.token & u64::from(u32::MAX)) as i32
}

/// Handles the events of one poll: handles join the ready queue, operations are woken, native watchers are called.
///
/// An event isn't reported again, so if one of them raises, the error waits until all others are handled.
///
/// Native watchers and operations act at once only if it makes no difference. If the turn has more to run, they join
/// the queue, each in its place. An operation that is woken there goes on in the next turn, like asyncio's futures.
/// Programs count turns, and a protocol must get no data before `create_connection` has returned it.
#[inline]
pub(crate) fn dispatch(native: &Bound<'_, Loop>, events: &Events) -> PyResult<()> {
    let mut outcome = Ok(());
    let late = !events.is_empty() && has_company(native, events);
    for event in events.iter() {
        if let Err(failure) = act(native, event, late, false) {
            outcome = outcome.and(Err(failure));
        }
    }
    outcome
}

/// Whether something else runs in this turn: an item that is ready anyway, or the handle of another of these events.
#[inline]
fn has_company(native: &Bound<'_, Loop>, events: &Events) -> bool {
    let py = native.py();
    // A tester chooses when an event acts.
    if native.get().has_company(py) || native.get().has_mode(modes::ORDERED) {
        return true;
    }
    events.len() > 1
        && native.get().owned.descriptors.with(py, |table| {
            events
                .iter()
                .any(|event| table.known(descriptor_of(&event)).is_some_and(|entry| entry.has_watcher()))
        })
}

/// What `Item::Event` does, if the descriptor still has a native watcher.
pub(crate) fn act_late(native: &Bound<'_, Loop>, event: Event) -> PyResult<()> {
    // A watcher that was registered meanwhile has no event yet.
    let watched = native.get().native_owner(native.py(), descriptor_of(&event)).is_some();
    if watched { act(native, event, false, true) } else { Ok(()) }
}

#[inline]
fn act(native: &Bound<'_, Loop>, event: Event, late: bool, queued: bool) -> PyResult<()> {
    let py = native.py();
    let (fd, generation) = (descriptor_of(&event), (event.token >> 32) as u32);
    let fired = native.get().owned.descriptors.with(py, |table| {
        let entry = table.known(fd).filter(|entry| entry.generation == generation)?;
        Some(match &entry.native {
            Some(_) if late => Target::Later,
            Some(native) => Target::Native(native.owner.clone_ref(py), native.call, native.number),
            None => Target::Waiting(entry.fire(py, fd, event, &native.get().shared.reactor)),
        })
    });
    match fired {
        Some(Target::Native(owner, call, number)) => {
            current::retire(native)?;
            let outcome = if native.get().shows_events() {
                if !queued {
                    native.get().note_event(py, number);
                }
                debug::during_event(native, owner.bind(py), || call(native, owner.bind(py), event))
            } else {
                call(native, owner.bind(py), event)
            };
            owner.drop_ref(py);
            outcome.and_then(|()| flush_if_much(native))
        }
        Some(Target::Waiting(fired)) => release(native, fd, fired, late),
        Some(Target::Later) => native.get().queue_event(py, Item::Event(event)),
        None => Ok(()),
    }
}

/// What an event concerns.
enum Target {
    Native(Py<PyAny>, EventCall, u64),
    Waiting(Fired),
    /// A native watcher, which acts after everything that was ready before.
    Later,
}

/// Wakes what waited for an event of `fd`. If it is `late`, operations join the queue instead of going on at once.
fn release(native: &Bound<'_, Loop>, fd: i32, fired: Fired, late: bool) -> PyResult<()> {
    let py = native.py();
    let mut outcome = Ok(());
    for (handle, side) in fired.handles.into_iter().zip([Side::Reading, Side::Writing]) {
        let Some(handle) = handle else { continue };
        if handle.get().cancelled(py) {
            // A program that cancels the handle itself wants no more of its events.
            drop(native.get().unwatch_descriptor(py, fd, side));
        } else {
            outcome = outcome.and(native.get().queue_event(py, Item::Handle(handle)));
        }
    }
    for (owner, call) in fired.pipes.into_iter().flatten() {
        outcome = outcome.and(native.get().queue_event(py, Item::Watch(owner, py.None(), call)));
    }
    for (watch, events) in fired.foreign {
        outcome = outcome.and(Loop::watch_is_ready(native, watch, events, late));
    }
    for operation in fired.first.into_iter().chain(fired.others) {
        if late {
            outcome = outcome.and(native.get().push_here(py, Item::Wake(operation)));
            continue;
        }
        let wake = || operation::wake(operation.bind(py)).map(drop);
        outcome = outcome.and(if native.get().shows_events() {
            native.get().note_wake(operation.bind(py));
            debug::during_event(native, operation.bind(py).as_any(), wake)
        } else {
            wake()
        });
        operation.drop_ref(py);
    }
    outcome
}
