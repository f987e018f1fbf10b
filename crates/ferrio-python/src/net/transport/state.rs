//! A stream transport's state, and how it changes. Nothing here runs Python code or makes a system call.

use ferrio_engine::buffer::Watermarks;
use ferrio_engine::reactor::Interest;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::channel::{Channel, Names};
use super::host::Host;
use super::outgoing::Outgoing;
use super::receiver::Receiver;
use crate::core::event_loop::received::Expected;

/// All that changes in a transport's life.
pub(super) struct State {
    pub(super) receiver: Receiver,
    /// The owner of the descriptor.
    pub(super) channel: Channel,
    /// The addresses of an accepted connection, as far as nobody asked for them.
    pub(super) names: Option<Box<Names>>,
    /// The server that the connection came by.
    pub(super) host: Option<Host>,
    /// Who waits for an empty write buffer, with writing forbidden meanwhile: `sendfile`.
    pub(super) empty_waiter: Option<Py<PyAny>>,
    pub(super) outgoing: Outgoing,
    pub(super) marks: Watermarks,
    /// What the peer is known to send.
    pub(super) expected: Expected,
    /// What the loop watches for.
    interest: Option<Interest>,
    /// `connection_made` has been called: from now on it reads.
    pub(super) started: bool,
    /// By `pause_reading`.
    pub(super) paused: bool,
    /// `close` was called, or the connection failed: it reads no more, and ends once everything is sent.
    pub(super) closing: bool,
    /// The end of input has come, and the protocol keeps the connection.
    pub(super) input_ended: bool,
    /// `write_eof` was called.
    pub(super) output_ended: bool,
    /// The socket was full at the last attempt.
    pub(super) blocked: bool,
    /// The loop will call `flush` at the end of the turn.
    pub(super) queued: bool,
    /// `connection_lost` is on its way (1), and how often somebody wrote since.
    pub(super) lost: u32,
}

impl State {
    pub(super) fn new(
        receiver: Receiver,
        channel: Channel,
        names: Option<Box<Names>>,
        host: Option<Host>,
    ) -> Self {
        Self {
            receiver,
            channel,
            names,
            host,
            empty_waiter: None,
            outgoing: Outgoing::default(),
            marks: Watermarks::default(),
            expected: Expected::default(),
            interest: None,
            started: false,
            paused: false,
            closing: false,
            input_ended: false,
            output_ended: false,
            blocked: false,
            queued: false,
            lost: 0,
        }
    }

    /// Whether the protocol gets what arrives.
    #[inline]
    pub(super) fn is_reading(&self) -> bool {
        !self.closing && !self.paused
    }

    /// Whether input is wanted from the socket.
    #[inline]
    pub(super) fn wants_input(&self) -> bool {
        self.started && self.is_reading() && !self.input_ended
    }

    /// What the loop has to be told to watch for; `None` if it knows.
    #[inline]
    #[must_use]
    pub(super) fn changed_interest(&mut self) -> Option<Option<Interest>> {
        let wanted = match (self.wants_input(), self.blocked) {
            (true, false) => Some(Interest::READABLE),
            (false, true) => Some(Interest::WRITABLE),
            (true, true) => Some(Interest::BOTH),
            (false, false) => None,
        };
        if wanted == self.interest {
            return None;
        }
        self.interest = wanted;
        Some(wanted)
    }

    /// The loop watches for nothing any more.
    pub(super) fn forget_interest(&mut self) {
        self.interest = None;
    }

    /// Begins to close; whether `connection_lost` is to be scheduled now.
    #[must_use]
    pub(super) fn close(&mut self) -> bool {
        if self.closing {
            return false;
        }
        self.closing = true;
        self.lose_if_sent()
    }

    /// Ends the connection, sent or not; whether `connection_lost` is to be scheduled now.
    #[must_use]
    pub(super) fn force_close(&mut self) -> bool {
        if self.lost > 0 {
            return false;
        }
        self.outgoing.clear();
        self.blocked = false;
        self.closing = true;
        self.lose_if_sent()
    }

    /// Whether what is written now may go to the socket before anything else does.
    #[must_use]
    pub(super) fn may_send_at_once(&self) -> bool {
        let allowed = !self.output_ended && self.empty_waiter.is_none() && self.lost == 0;
        allowed && !self.blocked && self.outgoing.is_empty()
    }

    /// Whether a closing transport has nothing left to do; true once.
    #[must_use]
    pub(super) fn lose_if_sent(&mut self) -> bool {
        let loses = self.closing && self.lost == 0 && self.outgoing.is_empty();
        if loses {
            self.lost = 1;
        }
        loses
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.receiver.traverse(visit)?;
        self.channel.traverse(visit)?;
        visit.call(self.host.as_ref().map(|host| &host.server))?;
        visit.call(&self.empty_waiter)
    }
}
