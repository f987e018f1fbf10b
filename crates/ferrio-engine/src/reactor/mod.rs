//! Readiness of file descriptors.
//!
//! # Contract of a backend
//!
//! * `register`, `modify` and `deregister` may be called from the loop's thread between waits, and take effect at the next
//!   wait. A descriptor is registered at most once (`AlreadyExists`), and should be deregistered before it is closed. If it
//!   isn't, it brings no events, and neither does another file that gets its number.
//! * Readiness is level-triggered unless [`Interest::edge`] is set; with [`Interest::once`] the first event is the last one.
//! * With [`Interest::edge`], whatever becomes ready after it wasn't is reported, as is all that is ready at first and after
//!   `modify`. What stays ready isn't reported all the time, but it may be, now and then.
//! * `wait` blocks no longer than requested, apart from the kernel's timer slack. It may return early and without events, so
//!   a caller that waits for a deadline checks the clock.
//! * `wait` never changes the set of descriptors. It takes `&self` because it runs while the host's interpreter is released.
//! * A signal ends `wait` with `ErrorKind::Interrupted`.
//! * [`wake`](crate::Wake::wake) on a [`Waker`] ends the current or next `wait`, from any thread, without an event of its own.
//! * In a forked child, which must call [`forked`](crate::fork::forked) first, a reactor watches what it watched before, and
//!   no change to it reaches the parent's.
//! * Errors and hang-ups are reported whatever the interest.
//!
//! # What a kqueue backend would do
//!
//! | contract | with kqueue |
//! |---|---|
//! | `register`, `modify`, `deregister` | `EV_ADD` and `EV_DELETE` of `EVFILT_READ` and `EVFILT_WRITE`, whose `udata` is the token |
//! | an interest in nothing but breakage | `EVFILT_READ` with `NOTE_LOWAT` at its greatest, which still reports `EV_EOF` |
//! | edges, one event | `EV_CLEAR`, `EV_DISPATCH` (rearmed by `EV_ENABLE`) |
//! | two sides in one event | two events with one token; hosts take both |
//! | hang-ups and errors | `EV_EOF` on both filters; `fflags` has the error of a socket |
//! | `wait` | `kevent`, whose timeout is in nanoseconds: no second timer is needed |
//! | `wake` | `EVFILT_USER` with `NOTE_TRIGGER` and `EV_CLEAR`, or the pipe of the poll backend for hosts that only write |
//! | a forked child | the kernel closes a kqueue at a fork, so the backend has a list of what it watches |
//! | numbers that were closed | the kernel drops their filters, as epoll does |
//! | regular files | kqueue takes them, so `register` asks `fstat` first, as the poll backend does |

mod backend;
mod epoll;
mod events;
mod kind;
mod poll;
mod set;
mod wake;

use std::time::Duration;

pub use events::Events;
pub use kind::Kind;
pub use set::Reactor;
pub use wake::Waker;

/// The token of a backend's own descriptors. No other descriptor may have it.
const OWN_TOKEN: u64 = u64::MAX;

/// What to watch a file descriptor for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Interest {
    /// Watch for input or end of input.
    pub readable: bool,
    /// Watch for room to write.
    pub writable: bool,
    /// Report changes, not states.
    pub edge: bool,
    /// Report one event, then nothing (not even errors) until `modify`.
    pub once: bool,
}

impl Interest {
    /// Errors and hang-ups only, which are always reported.
    pub const BREAKAGE: Interest = Interest { readable: false, writable: false, edge: false, once: false };
    /// Input, level-triggered.
    pub const READABLE: Interest = Interest { readable: true, writable: false, edge: false, once: false };
    /// Room to write, level-triggered.
    pub const WRITABLE: Interest = Interest { readable: false, writable: true, edge: false, once: false };
    /// Both, level-triggered.
    pub const BOTH: Interest = Interest { readable: true, writable: true, edge: false, once: false };

    /// This interest, edge-triggered.
    #[must_use]
    pub const fn edge_triggered(self) -> Interest {
        Interest { edge: true, ..self }
    }

    /// This interest, for one event.
    #[must_use]
    pub const fn only_once(self) -> Interest {
        Interest { once: true, ..self }
    }
}

/// What happened to a file descriptor.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// The number that the descriptor was registered with.
    pub token: u64,
    /// There is input or end of input.
    pub readable: bool,
    /// There is room to write.
    pub writable: bool,
    /// Both directions are closed.
    pub hangup: bool,
    /// An error is pending, or a pipe has no reader any more.
    pub error: bool,
}

/// How long a wait may block.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Wait {
    /// Not at all.
    Now,
    /// For this long.
    Until(Duration),
    /// Until an event or a wake-up.
    Forever,
}
