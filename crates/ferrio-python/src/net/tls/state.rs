//! In which part of its life a TLS connection is, and what an event means there.
//!
//! No Python, no bytes, no transport: what is to be done comes out as a value. Each connection goes one way only: it is
//! made, shakes hands, is wrapped, flushes, shuts down; from anywhere it may fall back to being no TLS connection.

/// How far the connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Stage {
    /// Before the handshake, or after the end.
    #[default]
    Unwrapped,
    Handshake,
    /// Both sides send and receive.
    Wrapped,
    /// Closed by one side; what the program has written still goes out.
    Flushing,
    /// The notes that say "I close" are being exchanged.
    Shutdown,
}

/// What the program's protocol knows of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    Nothing,
    /// `connection_made` was called, or is not wanted (`start_tls`).
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
    /// Nothing that the peer could read has been agreed: break off.
    Abort,
    /// Send what is left, then shut down.
    Flush,
}

/// What to do when the transport below has come to the end of input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum End {
    Nothing,
    /// The peer left in the middle of the handshake.
    FailHandshake,
    /// Give the program what came before, then shut down.
    Flush,
    /// As `Flush`, once the program reads again.
    FlushLater,
    /// Go on with shutting down: no answer will come.
    Shutdown,
}

/// The life of one connection.
#[derive(Debug)]
pub(crate) struct Life {
    stage: Stage,
    told: Told,
    /// Whether the transport below has come to its end of input.
    ended: bool,
    /// Whether the handshake was successful.
    shaken: bool,
}

impl Life {
    /// Before the handshake; `wants_made` says whether `connection_made` is to be called after it.
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

    /// Whether the handshake was successful, now or in the past.
    #[inline]
    pub(crate) fn has_shaken(&self) -> bool {
        self.shaken
    }

    /// Whether input may be decrypted for the program.
    #[inline]
    pub(crate) fn may_read(&self) -> bool {
        matches!(self.stage, Stage::Wrapped | Stage::Flushing)
    }

    /// Whether what the program writes is taken: before the end, and before the beginning too, for later.
    #[inline]
    pub(crate) fn takes_writes(&self) -> bool {
        matches!(self.stage, Stage::Handshake | Stage::Wrapped)
    }

    /// Whether what was written may be encrypted.
    #[inline]
    pub(crate) fn may_write(&self) -> bool {
        matches!(self.stage, Stage::Wrapped | Stage::Flushing)
    }

    /// The handshake begins; whether it may.
    #[must_use]
    pub(crate) fn begin_handshake(&mut self) -> bool {
        let may = self.stage == Stage::Unwrapped;
        if may {
            self.stage = Stage::Handshake;
        }
        may
    }

    /// The handshake was successful; `false` if nobody waits for it any more.
    #[must_use]
    pub(crate) fn end_handshake(&mut self) -> bool {
        let may = self.stage == Stage::Handshake;
        if may {
            self.stage = Stage::Wrapped;
            self.shaken = true;
        }
        may
    }

    /// The program closes, or the peer has said that it closes.
    pub(crate) fn close(&mut self) -> Close {
        match self.stage {
            // The input has ended and waits for a program that reads no more.
            Stage::Flushing if self.ended => Close::Flush,
            Stage::Unwrapped | Stage::Flushing | Stage::Shutdown => Close::Nothing,
            Stage::Handshake => Close::Abort,
            Stage::Wrapped => {
                self.stage = Stage::Flushing;
                Close::Flush
            }
        }
    }

    /// The transport below has come to the end of input; `paused` says whether the program reads no more for now.
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

    /// Everything that the program wrote is encrypted; whether shutting down begins.
    #[must_use]
    pub(crate) fn flushed(&mut self) -> bool {
        let may = self.stage == Stage::Flushing;
        if may {
            self.stage = Stage::Shutdown;
        }
        may
    }

    /// The connection is none any more; the stage it was in.
    pub(crate) fn fall_back(&mut self) -> Stage {
        std::mem::take(&mut self.stage)
    }

    /// Whether `connection_made` is to be called now.
    #[must_use]
    pub(crate) fn tell_made(&mut self) -> bool {
        let due = self.told == Told::Nothing;
        if due {
            self.told = Told::Made;
        }
        due
    }

    /// Whether `eof_received` is to be called now.
    #[must_use]
    pub(crate) fn tell_ended(&mut self) -> bool {
        let due = self.told == Told::Made;
        if due {
            self.told = Told::Ended;
        }
        due
    }

    /// Whether `connection_lost` is to be called now.
    #[must_use]
    pub(crate) fn tell_lost(&mut self) -> bool {
        let due = matches!(self.told, Told::Made | Told::Ended);
        if due {
            self.told = Told::Lost;
        }
        due
    }
}
