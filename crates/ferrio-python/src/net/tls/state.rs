//! The state of a TLS connection, and what an event means in it.
//!
//! No Python, no bytes, no transport: what to do is returned as a value. Each connection goes through the states in
//! one direction: unwrapped, handshake, wrapped, flushing, shutdown. From each of them it may fall back to unwrapped.

/// The state of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Stage {
    /// Before the handshake, or after the end.
    #[default]
    Unwrapped,
    Handshake,
    /// Both sides send and receive.
    Wrapped,
    /// One side has closed; what the program has written still goes out.
    Flushing,
    /// Closing notes are being exchanged.
    Shutdown,
}

/// What the program's protocol has been told about the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    Nothing,
    /// `connection_made` was called, or isn't wanted (`start_tls`).
    Made,
    /// `eof_received` too.
    Ended,
    /// `connection_lost` too.
    Lost,
}

/// What to do when the program closes the transport.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Close {
    /// It is closing already, or was never open.
    Nothing,
    /// No keys have been agreed on, so the peer could read nothing: break off.
    Abort,
    /// Send what is left, then shut down.
    Flush,
}

/// What to do when the transport below has reached the end of input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum End {
    Nothing,
    /// The peer left in the middle of the handshake.
    FailHandshake,
    /// Give the program what came before, then shut down.
    Flush,
    /// As `Flush`, when the program reads again.
    FlushLater,
    /// Go on with shutting down: no answer will come.
    Shutdown,
}

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Life {
    stage: Stage,
    told: Told,
    /// Whether the transport below has reached the end of input.
    ended: bool,
    /// Whether the handshake succeeded.
    shaken: bool,
}

impl Life {
    /// Before the handshake; `wants_made` says whether to call `connection_made` after it.
    pub(crate) const fn new(wants_made: bool) -> Self {
        let told = if wants_made { Told::Nothing } else { Told::Made };
        Self { stage: Stage::Unwrapped, told, ended: false, shaken: false }
    }

    #[inline]
    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    pub(crate) fn told(&self) -> Told {
        self.told
    }

    /// Whether the transport below gives no more input.
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether the handshake succeeded at some time.
    #[inline]
    pub(crate) fn has_shaken(&self) -> bool {
        self.shaken
    }

    /// Whether input may be decrypted for the program.
    #[inline]
    pub(crate) fn may_read(&self) -> bool {
        matches!(self.stage, Stage::Wrapped | Stage::Flushing)
    }

    /// Whether writes are accepted: until the end, and also during the handshake, for later.
    #[inline]
    pub(crate) fn takes_writes(&self) -> bool {
        matches!(self.stage, Stage::Handshake | Stage::Wrapped)
    }

    /// Whether what was written may be encrypted.
    #[inline]
    pub(crate) fn may_write(&self) -> bool {
        matches!(self.stage, Stage::Wrapped | Stage::Flushing)
    }

    /// The handshake begins; returns whether it may.
    #[must_use]
    pub(crate) fn begin_handshake(&mut self) -> bool {
        let may = self.stage == Stage::Unwrapped;
        if may {
            self.stage = Stage::Handshake;
        }
        may
    }

    /// The handshake succeeded; `false` if it is no longer wanted.
    #[must_use]
    pub(crate) fn end_handshake(&mut self) -> bool {
        let may = self.stage == Stage::Handshake;
        if may {
            self.stage = Stage::Wrapped;
            self.shaken = true;
        }
        may
    }

    /// The program closes the transport, or the peer's closing note has come.
    pub(crate) fn close(&mut self) -> Close {
        match self.stage {
            // The input has ended, and the program has paused reading.
            Stage::Flushing if self.ended => Close::Flush,
            Stage::Unwrapped | Stage::Flushing | Stage::Shutdown => Close::Nothing,
            Stage::Handshake => Close::Abort,
            Stage::Wrapped => {
                self.stage = Stage::Flushing;
                Close::Flush
            }
        }
    }

    /// The transport below has reached the end of input; `paused` says whether the program has paused reading.
    pub(crate) fn end(&mut self, paused: bool) -> End {
        self.ended = true;
        match self.stage {
            Stage::Unwrapped => End::Nothing,
            Stage::Handshake => End::FailHandshake,
            Stage::Wrapped => {
                self.stage = Stage::Flushing;
                if paused { End::FlushLater } else { End::Flush }
            }
            Stage::Flushing => End::Flush,
            Stage::Shutdown => End::Shutdown,
        }
    }

    /// Everything that the program wrote is encrypted. Returns whether shutting down begins.
    #[must_use]
    pub(crate) fn flushed(&mut self) -> bool {
        let may = self.stage == Stage::Flushing;
        if may {
            self.stage = Stage::Shutdown;
        }
        may
    }

    /// The connection is unwrapped again; returns its last stage.
    pub(crate) fn fall_back(&mut self) -> Stage {
        std::mem::take(&mut self.stage)
    }

    /// Whether to call `connection_made` now.
    #[must_use]
    pub(crate) fn tell_made(&mut self) -> bool {
        let due = self.told == Told::Nothing;
        if due {
            self.told = Told::Made;
        }
        due
    }

    /// Whether to call `eof_received` now.
    #[must_use]
    pub(crate) fn tell_ended(&mut self) -> bool {
        let due = self.told == Told::Made;
        if due {
            self.told = Told::Ended;
        }
        due
    }

    /// Whether to call `connection_lost` now.
    #[must_use]
    pub(crate) fn tell_lost(&mut self) -> bool {
        let due = matches!(self.told, Told::Made | Told::Ended);
        if due {
            self.told = Told::Lost;
        }
        due
    }
}
