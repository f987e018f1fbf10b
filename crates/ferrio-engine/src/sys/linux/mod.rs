//! What only Linux has, a contract a file. A port is a directory beside this one with the same names; `docs/porting.md` has
//! the steps. `epoll`, `eventfd` and `timerfd` are used by nothing but the epoll backend, whose place another backend takes.
//!
//! | name | what it is for | Linux | with kqueue (macOS, the BSDs) |
//! |---|---|---|---|
//! | `events` | one event as the kernel writes it | `epoll_event` | `kevent`, one a filter |
//! | `epoll` | the set of watched descriptors | epoll | `kqueue`; the head of `reactor` says how |
//! | `eventfd` | a wake-up that needs no read | eventfd | `EVFILT_USER`, or the pipe of the poll backend |
//! | `pipe`, `replace` | descriptors that no child of another thread inherits | `pipe2`, `dup3` | `pipe`, `dup2`, then `fcntl` |
//! | `timerfd` | waits shorter than the slack | timerfd | nothing: `kevent` takes nanoseconds |
//! | `end_of_child` | a descriptor that tells of a child's end | pidfd | a kqueue with `EVFILT_PROC` and `NOTE_EXIT`, which can be watched itself; waits and signals go by number |
//! | `spawn` | a child beside the running loop | `clone` with shared memory | `is_available` is false: `Popen` starts children |
//! | `server` | an accepted connection, ready to use | `accept4` | `accept`, then `fcntl` |
//! | `socket` | sending | `MSG_NOSIGNAL`, `sendfile` | `SO_NOSIGPIPE` on each socket, `sendfile` with its other arguments |
//! | `address` | where a `sockaddr` has its family | two bytes | one byte after the length |
//! | `cached` | reading what needs no disk | `preadv2` with `RWF_NOWAIT` | `ENOSYS`: a thread reads |
//! | `clock` | a cheap clock, and the slack of waits | `CLOCK_MONOTONIC_COARSE` | the exact clock |
//! | `thread` | what a thread has used | `/proc`, its clock | `thread_info` |
//! | `ticks` | whether the processor's counter tells the time | `/sys` | `false`, or `mach_absolute_time` |
//! | `object` | the host's calls of `pthread_exit` | ELF relocations | does nothing: threads end as before |

pub(crate) mod address;
pub(crate) mod cached;
mod child;
pub(crate) mod clock;
mod descriptor;
pub(crate) mod end_of_child;
pub(crate) mod epoll;
pub(crate) mod eventfd;
pub(crate) mod events;
pub(crate) mod object;
mod other_user;
pub(crate) mod server;
pub(super) mod socket;
pub(crate) mod spawn;
pub(crate) mod thread;
pub(crate) mod ticks;
pub(crate) mod timerfd;

pub(crate) use self::descriptor::{pipe, replace};
