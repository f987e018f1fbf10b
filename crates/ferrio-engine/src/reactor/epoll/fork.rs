//! What happens to an epoll set in a forked child.
//!
//! Parent and child share it, with the eventfd and the timerfd: what the child removes from the set is removed for the parent
//! too. So the first use of a reactor in a child replaces all three, under the same descriptor numbers and with the same
//! descriptors watched. The kernel lists those in `/proc`; without `/proc` the child's set starts empty.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use super::OWN_EVENTS;
use crate::reactor::OWN_TOKEN;
use crate::sys::epoll::{self as calls, EventFlags};
use crate::sys::{eventfd, replace, timerfd};

/// Replaces the parent's epoll set, eventfd and timerfd with new ones.
pub(super) fn renew(epoll: BorrowedFd<'_>, waker: BorrowedFd<'_>, timer: BorrowedFd<'_>) -> io::Result<()> {
    let fresh = calls::create()?;
    let watched = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", epoll.as_raw_fd()));
    replace(waker, &eventfd::create()?)?;
    replace(timer, &timerfd::create()?)?;
    for own in [waker, timer] {
        calls::add(&fresh, own.as_raw_fd(), OWN_EVENTS, OWN_TOKEN)?;
    }
    for (fd, events, token) in watched.unwrap_or_default().lines().filter_map(registration) {
        if token != OWN_TOKEN {
            // A descriptor that has been closed is missing from the set, as it should be.
            let _ = calls::add(&fresh, fd, EventFlags::from_bits_retain(events), token);
        }
    }
    replace(epoll, &fresh)
}

/// Parses a line like `tfd:       12 events:       19 data:               2a  pos:0 ino:1 sdev:2`. All numbers but the first
/// are hexadecimal.
fn registration(line: &str) -> Option<(RawFd, u32, u64)> {
    let mut words = line.split_whitespace();
    let mut after = |name| words.find(|word| *word == name).and_then(|_| words.next());
    let fd = after("tfd:")?.parse().ok()?;
    let events = u32::from_str_radix(after("events:")?, 16).ok()?;
    let token = u64::from_str_radix(after("data:")?, 16).ok()?;
    Some((fd, events, token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fdinfo_lines_are_parsed() {
        let line = "tfd:       12 events: 80000019 data: ffffffffffffffff  pos:0 ino:2a sdev:e";
        assert_eq!(registration(line), Some((12, 0x8000_0019, u64::MAX)));
        assert_eq!(registration("flags:\t02000002"), None);
    }
}
