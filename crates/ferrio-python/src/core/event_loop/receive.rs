//! Receiving: one buffer for all connections of a loop, so that an idle connection needs none.
//!
//! Also decides how much the tasks are given in one turn before the loop polls for more.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use ferrio_engine::counter::Counter;
use ferrio_engine::net::{self, Address, Attempt};
use ferrio_engine::reactor::Events;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::base::ffi::{Leaf, bytes};

/// The most that one attempt takes from a socket, in bytes.
pub(crate) const LARGEST_RECEIVED: usize = 256 * 1024;

/// The initial room for events.
pub(super) const EVENTS: usize = 1024;

/// A loop's receive buffer, and how much it has received in this turn.
pub(crate) struct Receiving {
    /// Empty until the first socket receives.
    buffer: Leaf<Vec<u8>>,
    /// How many bytes have come, in all.
    received: Counter,
    /// How many bytes streams were given in this turn.
    handed_out: AtomicUsize,
    /// How many events of this turn were deferred because of that.
    deferred: AtomicUsize,
    /// How many events the next poll takes.
    poll_limit: AtomicUsize,
}

impl Receiving {
    pub(super) const fn new() -> Self {
        Self {
            buffer: Leaf::new(Vec::new()),
            received: Counter::new(),
            handed_out: AtomicUsize::new(0),
            deferred: AtomicUsize::new(0),
            poll_limit: AtomicUsize::new(EVENTS),
        }
    }
}

impl Receiving {
    /// Counts bytes that came another way.
    #[inline]
    pub(crate) fn note_received(&self, count: usize) {
        self.received.add(count as u64);
    }

    /// How many bytes have come, in all.
    pub(crate) fn received(&self) -> u64 {
        self.received.get()
    }

    /// Receives up to `size` bytes, at most `LARGEST_RECEIVED`; `None` if none are there, empty at the end of input.
    #[inline]
    pub(crate) fn receive<'py>(
        &self,
        py: Python<'py>,
        fd: i32,
        size: usize,
    ) -> io::Result<Option<Bound<'py, PyBytes>>> {
        self.buffer.with(py, |buffer| {
            let buffer = &mut whole(buffer)[..size.min(LARGEST_RECEIVED)];
            Ok(match net::receive(fd, buffer)? {
                Attempt::Done(count) => {
                    self.note_received(count);
                    Some(PyBytes::new(py, &buffer[..count]))
                }
                Attempt::WouldBlock => None,
            })
        })
    }

    /// Receives one datagram and stores its sender's address in `sender`; `None` if there is none.
    #[inline]
    pub(crate) fn receive_from<'py>(
        &self,
        py: Python<'py>,
        fd: i32,
        sender: &mut Address,
    ) -> io::Result<Option<Bound<'py, PyBytes>>> {
        self.buffer.with(py, |buffer| {
            let buffer = whole(buffer);
            Ok(match net::receive_from(fd, buffer, sender)? {
                Attempt::Done(count) => {
                    self.note_received(count);
                    Some(PyBytes::new(py, &buffer[..count]))
                }
                Attempt::WouldBlock => None,
            })
        })
    }

    /// Receives what is there and passes it to `take`, which may run Python code; `None` if nothing is there.
    #[inline]
    pub(crate) fn receive_for<R>(
        &self,
        py: Python<'_>,
        fd: i32,
        take: impl FnOnce(&[u8]) -> R,
    ) -> io::Result<Option<R>> {
        self.fetch_for(py, |buffer| net::receive(fd, buffer), take)
    }

    /// As `receive_for`, for descriptors that aren't sockets.
    #[inline]
    pub(crate) fn read_for<R>(
        &self,
        py: Python<'_>,
        fd: i32,
        take: impl FnOnce(&[u8]) -> R,
    ) -> io::Result<Option<R>> {
        self.fetch_for(py, |buffer| net::read(fd, buffer), take)
    }

    #[inline]
    fn fetch_for<R>(
        &self,
        py: Python<'_>,
        fetch: impl FnOnce(&mut [u8]) -> io::Result<Attempt>,
        take: impl FnOnce(&[u8]) -> R,
    ) -> io::Result<Option<R>> {
        // Taken out of the cell meanwhile: the code that runs may receive for another connection.
        let mut buffer = self.buffer.with(py, std::mem::take);
        let outcome = match fetch(whole(&mut buffer)) {
            Ok(Attempt::Done(count)) => {
                self.note_received(count);
                Ok(Some(take(&buffer[..count])))
            }
            Ok(Attempt::WouldBlock) => Ok(None),
            Err(failure) => Err(failure),
        };
        self.buffer.with(py, |place| *place = buffer);
        outcome
    }
}

/// From this many bytes on, it pays to let the kernel write into a new object.
const DIRECT: usize = 4096;

/// In bytes: the size of such an object is a multiple of it, and exceeds the expected amount by it.
const GRAIN: usize = 4096;

/// How much a connection received lately. If much is expected, it is received without a copy.
#[derive(Clone, Copy, Default)]
pub(crate) struct Expected(u32);

impl Expected {
    /// What to expect after `count` bytes came: as much, or a bit less than before.
    #[inline]
    fn after(self, count: usize) -> Self {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Self(count.max(self.0 - self.0 / 8))
    }

    #[inline]
    fn room(self) -> usize {
        (self.0 as usize / GRAIN + 1).saturating_mul(GRAIN).min(LARGEST_RECEIVED)
    }
}

impl Receiving {
    /// As `receive`, as much as there is; updates `expected`.
    ///
    /// The outer error is a `MemoryError`.
    #[inline]
    pub(crate) fn receive_expecting<'py>(
        &self,
        py: Python<'py>,
        fd: i32,
        expected: &mut Expected,
    ) -> PyResult<io::Result<Option<Bound<'py, PyBytes>>>> {
        let room = expected.room();
        let outcome = if room <= DIRECT {
            Ok(self.receive(py, fd, LARGEST_RECEIVED))
        } else {
            let direct = bytes::receive(py, fd, room);
            if let Ok(Ok(Some(bytes))) = &direct {
                self.note_received(bytes.as_bytes().len());
            }
            direct
        };
        if let Ok(Ok(Some(bytes))) = &outcome {
            let count = bytes.as_bytes().len();
            // If the object is full there is more, but it is unknown how much.
            *expected = expected.after(if count == room { count.saturating_mul(2) } else { count });
        }
        outcome
    }
}

/// How many bytes may wait for tasks that read streams, before the loop receives from more sockets.
///
/// Such a task only runs after everything that came with its data. Otherwise all that a hundred connections bring at
/// once would be in memory before the first of them is answered. By then it would have left the processor's caches.
const HANDED_OUT: usize = 256 * 1024;

impl Receiving {
    /// Whether streams were given so much in this turn that their tasks should run before they get more. If so,
    /// further events are deferred.
    #[inline]
    pub(crate) fn defers(&self) -> bool {
        let enough = self.handed_out.load(Ordering::Relaxed) >= HANDED_OUT;
        if enough {
            self.deferred.store(self.deferred.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
        enough
    }

    /// Notes that a stream was given `count` bytes.
    #[inline]
    pub(crate) fn hand_out(&self, count: usize) {
        self.handed_out
            .store(self.handed_out.load(Ordering::Relaxed).saturating_add(count), Ordering::Relaxed);
    }

    /// The tasks that read streams have run. The next poll takes as many events as this turn could handle. The kernel
    /// checks each descriptor that it reports, and would check it again if its event were deferred.
    #[inline]
    pub(super) fn tasks_have_run(&self, events: &mut Events) {
        let (deferred, limit) =
            (self.deferred.load(Ordering::Relaxed), self.poll_limit.load(Ordering::Relaxed));
        self.handed_out.store(0, Ordering::Relaxed);
        if deferred == 0 && limit == EVENTS {
            return;
        }
        let limit =
            if deferred > 0 { events.len().saturating_sub(deferred).max(1) } else { (2 * limit).min(EVENTS) };
        self.deferred.store(0, Ordering::Relaxed);
        self.poll_limit.store(limit, Ordering::Relaxed);
        events.limit(if limit == EVENTS { usize::MAX } else { limit });
    }
}

impl Receiving {
    /// Lends the loop's receive buffer, `LARGEST_RECEIVED` bytes, to `work`, which runs no Python code.
    #[inline]
    pub(crate) fn with_scratch<R>(&self, py: Python<'_>, work: impl FnOnce(&mut [u8]) -> R) -> R {
        self.buffer.with(py, |buffer| work(whole(buffer)))
    }
}

#[inline]
fn whole(buffer: &mut Vec<u8>) -> &mut [u8] {
    if buffer.is_empty() {
        buffer.resize(LARGEST_RECEIVED, 0);
    }
    buffer
}
