//! TLS records: where each one ends in a stream of bytes (RFC 8446, 5.1). There is no cryptography here, and no byte is kept.
//!
//! Code that feeds a TLS library through memory must know whether reading from it makes sense: reading too early ends in an
//! error that is more expensive than the data. [`Records`] follows the stream and knows. It gives up on anything that isn't a
//! record or has an impossible length; then the library has to be asked.

/// The length of a record's header: type, version, and length of the body.
const HEADER: usize = 5;

/// The longest body that a peer may send: 2^14 bytes, plus what TLS 1.2 lets a cipher add.
const LONGEST: usize = (1 << 14) + 2048;

/// A position in a stream of records.
#[derive(Debug, Default, Clone)]
pub struct Records {
    /// The header, of which `read` bytes have been read.
    header: [u8; HEADER],
    read: usize,
    /// How much of the body is still to come, after the header is complete.
    missing: usize,
    /// How many bytes of the unfinished record have passed.
    partial: usize,
    lost: bool,
}

/// The content of a part of the stream.
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

    /// How many of the last bytes belong to an incomplete record.
    #[must_use]
    pub const fn partial(&self) -> usize {
        self.partial
    }

    /// Whether the stream doesn't consist of TLS records; then nothing is known about it.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.lost
    }

    /// Moves over the first bytes of `data` and describes them. These are as many complete records as fit into `limit` bytes,
    /// at least one, or all of `data` if no record ends in it.
    ///
    /// Pass what follows the last complete record in the next call.
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

    /// Moves to the end of the record, or of `data`. Returns the length and whether the record has ended.
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
