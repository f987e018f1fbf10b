//! TLS records: where one ends in a stream of bytes (RFC 8446, 5.1). No cryptography is here, and no byte is kept.
//!
//! Whoever feeds a TLS library through memory wants to know whether asking it for data makes sense: a question that comes
//! too early is answered by an error that costs more than the answer. [`Records`] counts along and knows. It believes
//! nothing: what is no record, or a record of impossible length, makes it give up, and then the library has to be asked.

/// The length of a record's header: type, version, length of what follows.
const HEADER: usize = 5;

/// The longest record that a peer may send after the header: 2^14 bytes and what TLS 1.2 lets a cipher add.
const LONGEST: usize = (1 << 14) + 2048;

/// The place in a stream of records.
#[derive(Debug, Default, Clone)]
pub struct Records {
    /// The header that is being read, `read` bytes of it.
    header: [u8; HEADER],
    read: usize,
    /// How much of the record's body is still to come, once the header is whole.
    missing: usize,
    /// How many bytes of the record that is under way have passed.
    partial: usize,
    lost: bool,
}

/// What a part of the stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// How many bytes the part has.
    pub length: usize,
    /// How many records end in it.
    pub complete: usize,
}

impl Records {
    /// At the start of a stream.
    #[must_use]
    pub const fn new() -> Self {
        Self { header: [0; HEADER], read: 0, missing: 0, partial: 0, lost: false }
    }

    /// How many bytes at the end of what was seen belong to a record that is not whole yet.
    #[must_use]
    pub const fn partial(&self) -> usize {
        self.partial
    }

    /// Whether the stream is not what it should be: then nothing is known about it.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.lost
    }

    /// Moves over the first bytes of `data` and says what they hold: as many whole records as fit into `limit` bytes, at
    /// least one; all of `data` where no record ends in it.
    ///
    /// What follows the last whole record is for the next call.
    pub fn take(&mut self, data: &[u8], limit: usize) -> Part {
        let mut part = Part { length: 0, complete: 0 };
        while part.length < data.len() {
            let before = self.clone();
            let (length, ended) = self.step(&data[part.length..]);
            if self.lost {
                return Part { length: data.len(), complete: 0 };
            }
            if part.complete > 0 && (!ended || part.length + length > limit) {
                *self = before;
                return part;
            }
            part.length += length;
            part.complete += usize::from(ended);
        }
        part
    }

    /// Moves to the end of the record, or of `data`; whether the record has ended.
    fn step(&mut self, data: &[u8]) -> (usize, bool) {
        let mut length = 0;
        if self.read < HEADER {
            length = data.len().min(HEADER - self.read);
            self.header[self.read..self.read + length].copy_from_slice(&data[..length]);
            self.read += length;
            self.partial += length;
            if self.read < HEADER {
                return (length, false);
            }
            self.missing = usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
            if !(20..=24).contains(&self.header[0]) || self.header[1] != 3 || self.missing > LONGEST {
                self.lost = true;
                self.partial = 0;
                return (data.len(), false);
            }
        }
        let rest = self.missing.min(data.len() - length);
        self.missing -= rest;
        self.partial += rest;
        if self.missing == 0 {
            self.read = 0;
            self.partial = 0;
        }
        (length + rest, self.missing == 0)
    }
}
