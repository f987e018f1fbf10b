//! The search for the end of a message in bytes that are still arriving.
//!
//! A [`Scan`] remembers how far it has looked, so that a message that arrives in many pieces is searched once, but for the
//! few bytes at the joints where a separator may be split. The search itself is memchr's, which compares many bytes at a time.

use memchr::{memchr, memmem};

/// What ends a message: one or several byte strings, none of them empty.
#[derive(Debug, Clone)]
pub enum Separators {
    /// A single byte, a newline mostly.
    Byte(u8),
    /// Byte strings, the shortest first.
    Several(Vec<Vec<u8>>),
}

/// Where a separator was found, as offsets from the front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// The first byte of the separator: the length of the message without it.
    pub start: usize,
    /// The first byte behind it.
    pub end: usize,
}

/// What a look at the bytes gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The message ends here, and its length is within the limit.
    Message(Match),
    /// The message ends here, and is longer than the limit.
    LongMessage(Match),
    /// No separator yet, within the limit.
    Nothing,
    /// No separator, and so many bytes at the front that belong to none are more than the limit.
    TooMuch(usize),
}

impl Separators {
    /// From byte strings in any order; `None` if there are none or one of them is empty.
    #[must_use]
    pub fn new(mut strings: Vec<Vec<u8>>) -> Option<Self> {
        if strings.is_empty() || strings.iter().any(Vec::is_empty) {
            return None;
        }
        if let [only] = strings.as_slice()
            && let [byte] = only.as_slice()
        {
            return Some(Self::Byte(*byte));
        }
        // Stable: of two of the same length the first named comes first.
        strings.sort_by_key(Vec::len);
        Some(Self::Several(strings))
    }

    /// The length of the shortest.
    #[must_use]
    #[inline]
    pub fn shortest(&self) -> usize {
        match self {
            Self::Byte(_) => 1,
            Self::Several(strings) => strings.first().map_or(0, Vec::len),
        }
    }

    /// The length of the longest.
    #[must_use]
    #[inline]
    pub fn longest(&self) -> usize {
        match self {
            Self::Byte(_) => 1,
            Self::Several(strings) => strings.last().map_or(0, Vec::len),
        }
    }

    /// The separator that ends first, looking from `offset` on; of several that end there the shortest.
    #[must_use]
    #[inline]
    pub fn find(&self, bytes: &[u8], offset: usize) -> Option<Match> {
        let rest = bytes.get(offset..)?;
        match self {
            Self::Byte(byte) => {
                memchr(*byte, rest).map(|place| Match { start: offset + place, end: offset + place + 1 })
            }
            Self::Several(strings) => {
                let mut first: Option<Match> = None;
                for string in strings {
                    // Only one that ends before the best so far is better.
                    let window = first.map_or(rest.len(), |found| found.end - 1 - offset);
                    if let Some(place) = memmem::find(&rest[..window], string) {
                        let start = offset + place;
                        first = Some(Match { start, end: start + string.len() });
                    }
                }
                first
            }
        }
    }
}

/// A search under way.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scan {
    /// So many bytes at the front are known to be no beginning of a separator.
    offset: usize,
}

impl Scan {
    /// A search that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { offset: 0 }
    }

    /// Looks at what arrived. `bytes` begins where it began the last time.
    ///
    /// `limit` is how long a message may be, its separator not counted.
    #[inline]
    pub fn look(&mut self, bytes: &[u8], separators: &Separators, limit: usize) -> Found {
        if bytes.len().saturating_sub(self.offset) < separators.shortest() {
            return Found::Nothing;
        }
        if let Some(found) = separators.find(bytes, self.offset) {
            return if found.start > limit { Found::LongMessage(found) } else { Found::Message(found) };
        }
        // The last bytes may be the beginning of a separator.
        self.offset = (bytes.len() + 1).saturating_sub(separators.longest());
        if self.offset > limit { Found::TooMuch(self.offset) } else { Found::Nothing }
    }
}
