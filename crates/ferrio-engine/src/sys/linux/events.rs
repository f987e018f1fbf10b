//! An event as the kernel writes it, and the memory for those of a wait.
//!
//! Each backend writes its events in this form, so that those of the system's own need no copy.

pub(crate) use rustix::event::epoll::Event as RawEvent;
use rustix::event::epoll::{EventData, EventFlags};

use crate::reactor::Event;

/// Reads an event.
#[inline]
pub(crate) fn read(raw: &RawEvent) -> Event {
    let flags = raw.flags;
    Event {
        token: raw.data.u64(),
        readable: flags.contains(EventFlags::IN),
        writable: flags.contains(EventFlags::OUT),
        hangup: flags.contains(EventFlags::HUP),
        error: flags.contains(EventFlags::ERR),
    }
}

/// The number that the event's descriptor was registered with.
#[inline]
pub(crate) fn token(raw: &RawEvent) -> u64 {
    raw.data.u64()
}

/// Writes an event, for backends that aren't the system's own.
pub(crate) fn write(event: Event) -> RawEvent {
    let mut flags = EventFlags::empty();
    flags.set(EventFlags::IN, event.readable);
    flags.set(EventFlags::OUT, event.writable);
    flags.set(EventFlags::HUP, event.hangup);
    flags.set(EventFlags::ERR, event.error);
    RawEvent { flags, data: EventData::new_u64(event.token) }
}

/// Memory for the events of a wait, all of it initialised.
pub(crate) struct Buffer(Vec<RawEvent>);

// SAFETY: an event's data may be a pointer, so rustix doesn't make it `Send`. Here it is always a number: `epoll` and
// `write` take nothing else.
unsafe impl Send for Buffer {}

impl Buffer {
    /// Room for `capacity` events.
    pub(crate) fn new(capacity: usize) -> Self {
        Self(vec![NOTHING; capacity])
    }

    /// Makes room for at least `capacity` events, if there is memory for them.
    pub(crate) fn grow(&mut self, capacity: usize) {
        if self.0.try_reserve(capacity.saturating_sub(self.0.len())).is_ok() {
            self.0.resize(self.0.capacity(), NOTHING);
        }
    }
}

impl std::ops::Deref for Buffer {
    type Target = [RawEvent];

    #[inline]
    fn deref(&self) -> &[RawEvent] {
        &self.0
    }
}

impl std::ops::DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [RawEvent] {
        &mut self.0
    }
}

const NOTHING: RawEvent = RawEvent { flags: EventFlags::empty(), data: EventData::new_u64(0) };
