//! How much a loop has received and sent, and how many connections it has had.
//!
//! Always counted: next to the system call, an addition costs nothing. Only the loop's thread writes. If a program
//! uses a transport in another thread, which asyncio forbids, a number may be lost.

use ferrio_engine::counter::Counter;

/// The traffic of one loop.
#[derive(Default)]
pub(crate) struct Traffic {
    /// Bytes. What came is counted where it is received (`receive.rs`).
    pub(crate) sent: Counter,
    /// Connections that servers accepted.
    pub(crate) accepted: Counter,
    /// All other connections.
    pub(crate) made: Counter,
    /// Connections of both kinds that were closed.
    pub(crate) closed: Counter,
}

impl Traffic {
    /// How many connections are open.
    pub(crate) fn open(&self) -> u64 {
        (self.accepted.get() + self.made.get()).saturating_sub(self.closed.get())
    }
}
