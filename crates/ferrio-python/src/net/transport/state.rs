//! What a stream socket's transport has in addition, and how it changes. Nothing here runs Python code or makes a
//! system call.

use ferrio_engine::buffer::Watermarks;
use ferrio_engine::reactor::Interest;
use pyo3::prelude::*;

use super::channel::{Channel, Names};
use super::core::{Own, State};
use super::host::Host;
use super::outgoing::Outgoing;
use crate::base::gc::gc;
use crate::core::event_loop::receive::Expected;

/// The state of a connection.
pub(crate) struct Connection {
    /// The owner of the descriptor.
    pub(super) channel: Channel,
    /// The addresses of an accepted connection, until they are asked for.
    pub(super) names: Option<Box<Names>>,
    /// The server that accepted the connection.
    pub(super) host: Option<Host>,
    /// The future of `sendfile`, which waits for an empty write buffer. Writing is forbidden meanwhile.
    pub(super) empty_waiter: Option<Py<PyAny>>,
    pub(super) outgoing: Outgoing,
    pub(super) marks: Watermarks,
    /// How much the peer usually sends.
    pub(super) expected: Expected,
    /// What the loop watches for.
    interest: Option<Interest>,
    /// The end of input has come, and the protocol keeps the connection open.
    pub(super) input_ended: bool,
    /// `write_eof` was called.
    pub(super) output_ended: bool,
    /// The socket was full at the last attempt.
    pub(super) blocked: bool,
    /// The loop will call `flush` at the end of the turn.
    pub(super) queued: bool,
}

gc!(Connection { channel, host, empty_waiter } not { names, outgoing, marks, expected, interest, input_ended, output_ended, blocked, queued });

impl Connection {
    pub(super) fn new(channel: Channel, names: Option<Box<Names>>, host: Option<Host>) -> Self {
        Self {
            channel,
            names,
            host,
            empty_waiter: None,
            outgoing: Outgoing::default(),
            marks: Watermarks::default(),
            expected: Expected::default(),
            interest: None,
            input_ended: false,
            output_ended: false,
            blocked: false,
            queued: false,
        }
    }

    /// Notes that the loop no longer watches for anything.
    pub(super) fn forget_interest(&mut self) {
        self.interest = None;
    }
}

/// What ends with a connection.
pub(crate) struct Ended {
    pub(super) channel: Channel,
    pub(super) host: Option<Host>,
    pub(super) empty_waiter: Option<Py<PyAny>>,
}

impl Own for Connection {
    type References = (Option<Host>, Option<Py<PyAny>>);
    type Resource = Ended;
    type Unsent = ();

    #[inline]
    fn is_open(&self) -> bool {
        !self.channel.is_closed()
    }

    fn take(&mut self) -> Option<Ended> {
        let channel = self.channel.take()?;
        if let Some(names) = &mut self.names {
            names.learn();
        }
        Some(Ended { channel, host: self.host.take(), empty_waiter: self.empty_waiter.take() })
    }

    #[inline]
    fn is_sent(&self) -> bool {
        self.outgoing.is_empty()
    }

    fn take_unsent(&mut self) {
        // Dropping it runs no Python code.
        self.outgoing.clear();
        self.blocked = false;
    }

    fn clear(&mut self) -> Self::References {
        (self.host.take(), self.empty_waiter.take())
    }
}

impl State<Connection> {
    /// Whether the transport wants input from the socket.
    #[inline]
    pub(super) fn wants_input(&self) -> bool {
        self.started && self.is_reading() && !self.own.input_ended
    }

    /// Whether the loop watches for room to send.
    #[inline]
    pub(super) fn waits_to_send(&self) -> bool {
        self.own.blocked
    }

    /// What the loop must be told to watch for; `None` if it knows.
    #[inline]
    #[must_use]
    pub(super) fn changed_interest(&mut self) -> Option<Option<Interest>> {
        let wanted = wanted(self.wants_input(), self.own.blocked);
        (std::mem::replace(&mut self.own.interest, wanted) != wanted).then_some(wanted)
    }

    /// Whether a new write may go to the socket directly, because nothing else comes first.
    #[must_use]
    pub(super) fn may_send_at_once(&self) -> bool {
        let allowed = !self.own.output_ended && self.own.empty_waiter.is_none() && !self.ended;
        allowed && !self.own.blocked && self.own.outgoing.is_empty()
    }
}

/// What the loop must watch a descriptor for.
#[inline]
pub(super) fn wanted(input: bool, room: bool) -> Option<Interest> {
    match (input, room) {
        (true, false) => Some(Interest::READABLE),
        (false, true) => Some(Interest::WRITABLE),
        (true, true) => Some(Interest::BOTH),
        (false, false) => None,
    }
}
