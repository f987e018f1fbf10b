//! What a backend does for the reactor: the contract at the head of the directory, as a trait.

use std::io;
use std::os::fd::RawFd;

use super::{Interest, Wait, Waker};
use crate::sys::events::RawEvent;

/// A set of watched descriptors in the kernel, or a list that the kernel gets with every wait.
pub(super) trait Backend: Sized {
    /// An empty set.
    fn new() -> io::Result<Self>;

    /// What ends its waits.
    fn waker(&self) -> &Waker;

    /// Watches a descriptor: `AlreadyExists` if it is watched, `PermissionDenied` if it can't be.
    fn add(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()>;

    /// Changes token and interest, and reports again what is ready: `NotFound` if the descriptor isn't watched, or was closed
    /// and its number used again.
    fn modify(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()>;

    /// Stops watching a descriptor: `NotFound` if it isn't watched.
    fn remove(&self, fd: RawFd) -> io::Result<()>;

    /// Waits, and writes at most `room.len()` events. Returns how many.
    fn wait(&self, room: &mut [RawEvent], timeout: Wait) -> io::Result<usize>;

    /// In a forked child, before any other use: replaces what the child shares with its parent, under the same descriptor
    /// numbers. What was watched still is.
    fn renew(&self) -> io::Result<()>;
}
