//! The events of one wait, in a reusable buffer, as the kernel has written them.

use super::Event;
use crate::sys::events::{self, Buffer, RawEvent};

/// The events of one wait.
pub struct Events {
    /// The first `len` are the events of the last wait.
    buffer: Buffer,
    len: usize,
    most: usize,
}

impl Events {
    /// Room for `capacity` events per wait (at least one). Further events stay in the kernel until the next wait.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { buffer: Buffer::new(capacity.max(1)), len: 0, most: usize::MAX }
    }

    /// Forgets the events of the last wait, for a host that skips a wait.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Makes room for at least `capacity` events. If memory is short the room stays as it is; it always suffices for a wait.
    #[inline]
    pub fn make_room(&mut self, capacity: usize) {
        if capacity > self.buffer.len() {
            self.len = 0;
            self.buffer.grow(capacity);
        }
    }

    /// Limits the next waits to `most` events (at least one, and no more than there is room for). The kernel reports the oldest
    /// ones first.
    #[inline]
    pub fn limit(&mut self, most: usize) {
        self.most = most.max(1);
    }

    /// How many events the last wait brought.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the last wait brought no events.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Event number `index` of the last wait.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Event> {
        self.buffer[..self.len].get(index).map(events::read)
    }

    /// The events of the last wait.
    pub fn iter(&self) -> impl Iterator<Item = Event> {
        self.buffer[..self.len].iter().map(events::read)
    }

    /// Forgets the events, and lends the memory for those of the next wait.
    pub(super) fn room(&mut self) -> &mut [RawEvent] {
        self.len = 0;
        let most = self.most.min(self.buffer.len());
        &mut self.buffer[..most]
    }

    /// The wait has written `len` events.
    pub(super) fn written(&mut self, len: usize) {
        self.len = len;
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}
