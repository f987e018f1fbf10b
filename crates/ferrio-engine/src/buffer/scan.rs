//! The search for the end of a message in bytes that are still arriving.
//!
//! A [`Scan`] remembers how far it has searched, so a message that arrives in many pieces is searched only once. The exception
//! is the few bytes at each joint, where a separator may be split. memchr does the search, many bytes at a time.

use memchr::{memchr, memmem};

/// What ends a message: one or more byte strings, none of them empty.
#[derive(Debug, Clone)]
pub enum Separators {
    /// A single byte, usually a newline.
    Byte(u8),
    /// Byte strings, the shortest first.
    Several(Vec<Vec<u8>>),
}

/// Where a separator was found, as offsets from the front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// The first byte of the separator: the length of the message without it.
    pub start: usize,
    /// The first byte after it.
    pub end: usize,
}

/// The result of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The message ends here, and its length is within the limit.
    Message(Match),
    /// The message ends here, and is longer than the limit.
    LongMessage(Match),
    /// No separator yet, within the limit.
    Nothing,
    /// No separator, and more bytes at the front than the limit allows. This many of them belong to no separator.
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
        // Stable: of two with the same length, the one named first comes first.
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

    /// The separator that ends first, searching from `offset` on; of several that end there, the shortest.
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
                    // Only a match that ends before the best so far is better.
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

/// A search in progress.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scan {
    /// No separator begins in this many bytes at the front.
    offset: usize,
}

impl Scan {
    /// A search that has seen nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { offset: 0 }
    }

    /// Searches what has arrived. `bytes` must begin where it began in the last call.
    ///
    /// `limit` is the greatest length of a message without its separator.
    #[inline]
    pub fn look(&mut self, bytes: &[u8], separators: &Separators, limit: usize) -> Found {
        if bytes.len().saturating_sub(self.offset) < separators.shortest() {
            return Found::Nothing;
        }
        if let Some(found) = separators.find(bytes, self.offset) {
            return if found.start > limit { Found::LongMessage(found) } else { Found::Message(found) };
        }
        // A separator may begin in the last bytes.
        self.offset = (bytes.len() + 1).saturating_sub(separators.longest());
        if self.offset > limit { Found::TooMuch(self.offset) } else { Found::Nothing }
    }
}
