//! `Io`: a nonblocking socket and its place in the loop.
//!
//! An operation is tried first. If it would block, its waker waits for the next event of its side. Events are counted, so that
//! one that comes between the two isn't lost, whatever thread polls.

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use pyo3::PyErr;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use crate::reactor::{self, Called, Descriptor, READABLE, WRITABLE};

/// A side of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Reading,
    Writing,
}

impl Side {
    fn bit(self) -> u32 {
        match self {
            Self::Reading => READABLE,
            Self::Writing => WRITABLE,
        }
    }
}

/// A socket in nonblocking mode.
#[derive(Debug)]
pub(super) struct Io<S: Socketlike> {
    inner: Arc<Inner<S>>,
    /// From the first wait on. The socket is taken from the loop when this is dropped.
    watch: Mutex<Option<Watch>>,
}

/// The standard library's sockets.
pub(super) trait Socketlike: AsRawFd + AsFd + Send + Sync + 'static {}

impl<S: AsRawFd + AsFd + Send + Sync + 'static> Socketlike for S {}

struct Watch(Descriptor);

impl std::fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Watch")
    }
}

/// What the loop keeps alive while it watches the descriptor.
#[derive(Debug)]
struct Inner<S> {
    sides: Mutex<Sides>,
    socket: S,
}

#[derive(Debug, Default)]
struct Sides {
    both: [Waiting; 2],
    /// The loop is closed.
    ended: bool,
}

/// What waits on one side.
#[derive(Debug, Default)]
struct Waiting {
    /// How many events there were.
    events: u64,
    wakers: Vec<Waker>,
}

impl<S> Inner<S> {
    fn sides(&self) -> MutexGuard<'_, Sides> {
        // Nothing under the lock can panic, except for the clone of a waker, which changes nothing.
        self.sides.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, sides: &[Side], ended: bool) {
        let wakers: Vec<_> = {
            let mut all = self.sides();
            all.ended |= ended;
            let wakers = sides.iter().flat_map(|side| {
                let waiting = &mut all.both[*side as usize];
                waiting.events += 1;
                std::mem::take(&mut waiting.wakers)
            });
            wakers.collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<S: Socketlike> Called for Inner<S> {
    fn called(&self, events: u32) {
        for side in [Side::Reading, Side::Writing] {
            if events & side.bit() != 0 {
                self.wake(&[side], false);
            }
        }
    }

    fn ended(&self) {
        self.wake(&[Side::Reading, Side::Writing], true);
    }
}

impl<S: AsRawFd> AsRawFd for Inner<S> {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Python's error as one of the system's, with its text.
fn system_error(failure: PyErr) -> io::Error {
    io::Error::other(failure.to_string())
}

impl<S: Socketlike> Io<S> {
    /// Takes over a socket and makes it nonblocking.
    pub(super) fn new(socket: S) -> io::Result<Self> {
        SockRef::from(&socket).set_nonblocking(true)?;
        Ok(Self::nonblocking(socket))
    }

    /// Takes over a socket that is nonblocking.
    pub(super) fn nonblocking(socket: S) -> Self {
        Self { inner: Arc::new(Inner { sides: Mutex::default(), socket }), watch: Mutex::default() }
    }

    pub(super) fn socket(&self) -> &S {
        &self.inner.socket
    }

    /// Does `operation`, as soon as it doesn't block.
    pub(super) fn poll<R>(
        &self,
        context: &mut Context<'_>,
        side: Side,
        mut operation: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            let events = {
                let sides = self.inner.sides();
                if sides.ended {
                    return Poll::Ready(Err(io::Error::new(
                        ErrorKind::NotConnected,
                        "the event loop is closed",
                    )));
                }
                sides.both[side as usize].events
            };
            match operation(&self.inner.socket) {
                Err(failure) if failure.kind() == ErrorKind::WouldBlock => {
                    self.join()?;
                    if self.inner.park(context, side, events) {
                        self.arm(side)?;
                        return Poll::Pending;
                    }
                }
                Err(failure) if failure.kind() == ErrorKind::Interrupted => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    /// As `poll`, as a future.
    pub(super) async fn run<R>(
        &self,
        side: Side,
        mut operation: impl FnMut(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        poll_fn(|context| self.poll(context, side, &mut operation)).await
    }

    fn watch(&self) -> MutexGuard<'_, Option<Watch>> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the loop that runs in this thread, if it hasn't joined one.
    fn join(&self) -> io::Result<()> {
        if self.watch().is_some() {
            return Ok(());
        }
        // Not under the lock, as it may run Python code. Only the loop's thread comes this far.
        let watch = Watch(Descriptor::watch(&self.inner).map_err(system_error)?);
        let second = self.watch().replace(watch);
        drop(second);
        Ok(())
    }

    fn arm(&self, side: Side) -> io::Result<()> {
        match &*self.watch() {
            Some(Watch(descriptor)) => descriptor.arm(side.bit()).map_err(system_error),
            None => Ok(()),
        }
    }
}

impl<S> Inner<S> {
    /// Lets the next event of `side` wake the caller. Returns `false` if one has come since there were `events`.
    fn park(&self, context: &Context<'_>, side: Side, events: u64) -> bool {
        let mut sides = self.sides();
        let ended = sides.ended;
        let waiting = &mut sides.both[side as usize];
        if ended || waiting.events != events {
            return false;
        }
        if !waiting.wakers.iter().any(|known| reactor::wakes_same(known, context.waker())) {
            waiting.wakers.push(reactor::here(context.waker()));
        }
        true
    }
}

impl<S: Socketlike> Io<S>
where
    for<'a> &'a S: Read + Write,
{
    pub(super) fn poll_read(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll(context, Side::Reading, |mut socket| socket.read(buffer))
    }

    pub(super) fn poll_read_vectored(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [io::IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(context, Side::Reading, |mut socket| socket.read_vectored(buffers))
    }

    pub(super) fn poll_write(&self, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(context, Side::Writing, |mut socket| socket.write(buffer))
    }

    pub(super) fn poll_write_vectored(
        &self,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(context, Side::Writing, |mut socket| socket.write_vectored(buffers))
    }

    /// Tells the peer that nothing more is written.
    pub(super) fn poll_close(&self) -> Poll<io::Result<()>> {
        Poll::Ready(match SockRef::from(self.socket()).shutdown(Shutdown::Write) {
            // The peer has closed the connection before.
            Err(failure) if failure.kind() == ErrorKind::NotConnected => Ok(()),
            outcome => outcome,
        })
    }
}

/// A stream socket that is connected to `address`.
pub(super) async fn connect<S: Socketlike + From<Socket>>(
    domain: Domain,
    address: &SockAddr,
) -> io::Result<Io<S>> {
    let socket = Socket::new(domain, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let mut begun = socket.connect(address);
    let io = Io::nonblocking(S::from(socket));
    io.run(Side::Writing, |socket| match std::mem::replace(&mut begun, Ok(())) {
        // The kernel goes on connecting, and reports the end as room to write.
        Err(failure) if is_in_progress(&failure) => Err(ErrorKind::WouldBlock.into()),
        Err(failure) => Err(failure),
        Ok(()) => SockRef::from(socket).take_error()?.map_or(Ok(()), Err),
    })
    .await?;
    Ok(io)
}

fn is_in_progress(failure: &io::Error) -> bool {
    // A UNIX socket that says "would block" isn't being connected: its peer's queue is full.
    failure.raw_os_error() == Some(libc::EINPROGRESS)
}

/// `AsyncRead` and `AsyncWrite` for a stream and for a reference to it.
macro_rules! read_and_write {
    ($stream:ty) => {
        read_and_write! { @ $stream }
        read_and_write! { @ &$stream }
    };
    (@ $stream:ty) => {
        impl futures_io::AsyncRead for $stream {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
                buffer: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.io.poll_read(context, buffer)
            }

            fn poll_read_vectored(
                self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
                buffers: &mut [std::io::IoSliceMut<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.io.poll_read_vectored(context, buffers)
            }
        }

        impl futures_io::AsyncWrite for $stream {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
                buffer: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.io.poll_write(context, buffer)
            }

            fn poll_write_vectored(
                self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
                buffers: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.io.poll_write_vectored(context, buffers)
            }

            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                _context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::task::Poll::Ready(Ok(()))
            }

            /// Shuts the writing side down; the peer reads to the end.
            fn poll_close(
                self: std::pin::Pin<&mut Self>,
                _context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                self.io.poll_close()
            }
        }
    };
}

pub(super) use read_and_write;
