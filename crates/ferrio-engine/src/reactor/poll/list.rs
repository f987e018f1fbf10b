//! The list of what is watched, and which of the kernel's answers are events.
//!
//! `poll` knows levels only. Edges are made of them: what was told and is still ready isn't told again (`told`). A look before
//! each wait finds what is no longer ready, and so counts as an edge when it comes back. Input is also told when its amount
//! has changed. One edge stays unseen: everything was read, and just as much came, between two looks. So what is ready all
//! the time is told again after a pause, or after many looks. Pauses grow while nothing else happens.
//!
//! A number that was closed, or that means another file by now, brings no event and leaves the list.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::reactor::{Event, Interest};
use crate::sys::events::{self, RawEvent};
use crate::sys::poll::{self as calls, Asked, File, PollFlags};

/// The first pause; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(1);
/// How often it is doubled: up to 128 ms.
const DOUBLINGS: u32 = 7;
/// After so many looks what is ready all the time is told again.
const LOOKS: u32 = 64;

/// The number of an entry that was removed.
const GONE: RawFd = -1;

/// What to ask the kernel.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Look {
    /// For everything.
    Whole,
    /// For what wasn't told as an edge, because the rest would end the wait at once.
    Untold,
    /// For everything, and what was told may be told again.
    Again,
}

/// One watched descriptor.
struct Watched {
    fd: RawFd,
    file: File,
    token: u64,
    interest: Interest,
    /// Its one event has come.
    dormant: bool,
    /// Edge-triggered: what was told and is still ready, as far as is known.
    told: PollFlags,
    /// How much input there was then.
    input: u64,
}

/// All watched descriptors, in the order in which they were added.
#[derive(Default)]
pub(super) struct List {
    entries: Vec<Watched>,
    /// The place of each number in `entries`.
    places: HashMap<RawFd, usize>,
    /// Some entries are `GONE`.
    has_gone: bool,
    /// Changes with every change of the list.
    version: u64,
    /// Where the next answer begins if there was no room for all events.
    next: usize,
    /// A thread waits.
    waits: bool,
    /// How many entries there are with something told.
    told: usize,
    /// Looks since something was told again.
    looks: u32,
    /// How often in a row nothing but a pause ended a wait.
    pauses: u32,
    /// For the next wait.
    memory: Vec<Asked>,
}

impl List {
    pub(super) fn add(&mut self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        let (file, waits) = calls::file(fd)?;
        if !waits {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        let no_memory = |_| io::Error::from(io::ErrorKind::OutOfMemory);
        self.entries.try_reserve(1).map_err(no_memory)?;
        self.places.try_reserve(1).map_err(no_memory)?;
        let new = Watched { fd, file, token, interest, dormant: false, told: PollFlags::empty(), input: 0 };
        match self.places.entry(fd) {
            Entry::Vacant(place) => {
                place.insert(self.entries.len());
                self.entries.push(new);
            }
            Entry::Occupied(place) => {
                let old = &mut self.entries[*place.get()];
                if old.file == file {
                    return Err(io::Error::from_raw_os_error(libc::EEXIST));
                }
                *old = new;
            }
        }
        Ok(())
    }

    pub(super) fn modify(&mut self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        let now = calls::file(fd).map(|(file, _)| file);
        let known = self.places.get(&fd).map(|place| &mut self.entries[*place]);
        match (now, known) {
            (Ok(file), Some(entry)) if entry.file == file => {
                *entry = Watched { token, interest, dormant: false, told: PollFlags::empty(), ..*entry };
                Ok(())
            }
            (Ok(_), _) => {
                // Closed and used again.
                let _ = self.remove(fd);
                Err(missing())
            }
            (Err(failure), _) => {
                let _ = self.remove(fd);
                Err(failure)
            }
        }
    }

    pub(super) fn remove(&mut self, fd: RawFd) -> io::Result<()> {
        let place = self.places.remove(&fd).ok_or_else(missing)?;
        // Its place stays until the next look, so that closing many costs no more than closing one.
        let entry = &mut self.entries[place];
        *entry = Watched { fd: GONE, dormant: true, told: PollFlags::empty(), ..*entry };
        self.has_gone = true;
        Ok(())
    }

    /// Closes the gaps that `remove` has left. The others keep their order, in which events are reported.
    pub(super) fn close_gaps(&mut self) {
        if std::mem::take(&mut self.has_gone) {
            self.entries.retain(|entry| entry.fd != GONE);
            for (place, entry) in self.entries.iter().enumerate() {
                self.places.insert(entry.fd, place);
            }
        }
    }

    /// The list was changed. Returns whether a thread waits that doesn't know of it.
    pub(super) fn begin_change(&mut self) -> bool {
        self.version += 1;
        self.pauses = 0;
        self.told = self.entries.iter().filter(|entry| !entry.told.is_empty()).count();
        self.waits
    }

    /// A wait begins. Returns the list's version.
    pub(super) fn begin_wait(&mut self) -> u64 {
        self.waits = true;
        self.version
    }

    pub(super) fn end_wait(&mut self) {
        self.waits = false;
    }

    pub(super) fn is(&self, version: u64) -> bool {
        self.version == version
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether something that is ready isn't told again.
    pub(super) fn has_told(&self) -> bool {
        self.told > 0
    }

    /// After how long it is told again; `None` if there is nothing.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.has_told().then(|| PAUSE * (1 << self.pauses.min(DOUBLINGS)))
    }

    pub(super) fn take_memory(&mut self) -> Vec<Asked> {
        std::mem::take(&mut self.memory)
    }

    pub(super) fn give_memory(&mut self, memory: Vec<Asked>) {
        self.memory = memory;
    }

    /// Adds what to ask, one for each entry.
    pub(super) fn ask(&self, asked: &mut Vec<Asked>, look: Look) {
        asked.extend(self.entries.iter().map(|entry| entry.ask(look)));
    }

    /// Writes the events that the answers are, as many as there is room for.
    pub(super) fn collect(&mut self, answers: &[Asked], room: &mut [RawEvent], look: Look) -> usize {
        let again = look == Look::Again || self.tires(look);
        let (count, start) = (self.entries.len(), self.next);
        let (mut len, mut gone, mut edges) = (0, Vec::new(), false);
        self.next = 0;
        for index in (0..count).map(|index| (start + index) % count) {
            let (entry, seen) = (&mut self.entries[index], answers[index].revents());
            if look != Look::Untold {
                entry.told &= if again { PollFlags::empty() } else { seen };
            }
            if seen.is_empty() || !entry.has_news(seen) {
                continue;
            }
            if seen.contains(PollFlags::NVAL)
                || calls::file(entry.fd).map(|(file, _)| file).ok() != Some(entry.file)
            {
                gone.push(entry.fd);
                continue;
            }
            let Some(place) = room.get_mut(len) else {
                // The others have their turn first next time.
                self.next = index;
                break;
            };
            *place = events::write(entry.tell(seen));
            edges |= entry.interest.edge;
            len += 1;
        }
        if look == Look::Again {
            self.pauses += 1;
        } else if edges {
            self.pauses = 0;
        }
        for fd in gone {
            let _ = self.remove(fd);
        }
        self.told = self.entries.iter().filter(|entry| !entry.told.is_empty()).count();
        len
    }

    /// Whether there were so many looks that what is ready all the time is told again.
    fn tires(&mut self, look: Look) -> bool {
        self.looks = if look == Look::Whole && self.told > 0 { self.looks + 1 } else { 0 };
        if self.looks < LOOKS {
            return false;
        }
        self.looks = 0;
        true
    }
}

impl Watched {
    fn ask(&self, look: Look) -> Asked {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, self.interest.readable);
        flags.set(PollFlags::OUT, self.interest.writable);
        let told = if look == Look::Untold { self.told } else { PollFlags::empty() };
        // Hang-ups and errors can't be left out, so the descriptor is.
        if self.dormant || told.intersects(PollFlags::HUP | PollFlags::ERR) {
            return calls::ask_nothing();
        }
        calls::ask(self.fd, flags - told)
    }

    /// Whether there is anything to tell.
    fn has_news(&self, seen: PollFlags) -> bool {
        !self.interest.edge
            || !(seen - self.told).is_empty()
            || seen.contains(PollFlags::IN) && calls::pending(self.fd) != self.input
    }

    /// The event, which is told now.
    fn tell(&mut self, seen: PollFlags) -> Event {
        self.dormant = self.interest.once;
        if self.interest.edge && !self.dormant {
            self.told |= seen;
            self.input = if seen.contains(PollFlags::IN) { calls::pending(self.fd) } else { self.input };
        }
        Event {
            token: self.token,
            readable: seen.contains(PollFlags::IN),
            writable: seen.contains(PollFlags::OUT),
            hangup: seen.contains(PollFlags::HUP),
            error: seen.contains(PollFlags::ERR),
        }
    }
}

fn missing() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOENT)
}
