//! What becomes of a reactor in the child of a fork.
//!
//! An epoll set, an eventfd and a timerfd are shared by parent and child: a child that takes a descriptor out of its parent's
//! set takes it from the parent. So the first use of a reactor in a child puts new ones under the numbers of the old, with
//! the same descriptors watched; the kernel's list of them is in `/proc`. Without `/proc` the child's set begins empty.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use super::epoll::OWN_TOKEN;
use crate::sys;
use crate::sys::epoll::{self as epoll_calls, EventFlags};

/// Puts a new epoll set, eventfd and timerfd in the place of the parent's. `own_events` is what the latter two are watched for.
pub(super) fn renew(
    epoll: BorrowedFd<'_>,
    waker: BorrowedFd<'_>,
    timer: BorrowedFd<'_>,
    own_events: EventFlags,
) -> io::Result<()> {
    let fresh = epoll_calls::create()?;
    let watched = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", epoll.as_raw_fd()));
    sys::replace(waker, &sys::eventfd()?)?;
    sys::replace(timer, &sys::timerfd()?)?;
    for own in [waker, timer] {
        epoll_calls::add(&fresh, own.as_raw_fd(), own_events, OWN_TOKEN)?;
    }
    for (fd, events, token) in watched.unwrap_or_default().lines().filter_map(registration) {
        if token != OWN_TOKEN {
            // What was closed in the meantime is gone from the set, as it would be anyway.
            let _ = epoll_calls::add(&fresh, fd, EventFlags::from_bits_retain(events), token);
        }
    }
    sys::replace(epoll, &fresh)
}

/// A line such as `tfd:       12 events:       19 data:               2a  pos:0 ino:1 sdev:2`, the numbers but the first in
/// hexadecimal.
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
    fn lines_of_fdinfo() {
        let line = "tfd:       12 events: 80000019 data: ffffffffffffffff  pos:0 ino:2a sdev:e";
        assert_eq!(registration(line), Some((12, 0x8000_0019, u64::MAX)));
        assert_eq!(registration("flags:\t02000002"), None);
    }
}
