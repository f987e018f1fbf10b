//! The parts of a `sockaddr` that systems lay out differently.

/// The offset of the path in a Unix address.
pub(crate) const UNIX_PATH: usize = 2;

/// The greatest length of a Unix address's path in bytes, including the final zero.
pub(crate) const LARGEST_PATH: usize = 108;

/// The family at the beginning of an address.
#[inline]
pub(crate) fn family(address: &[u8]) -> i32 {
    match address {
        [first, second, ..] => i32::from(u16::from_ne_bytes([*first, *second])),
        _ => 0,
    }
}

/// Writes the family of an address.
#[inline]
pub(crate) fn set_family(address: &mut [u8], family: i32) {
    if let Some(place) = address.first_chunk_mut() {
        *place = (family as u16).to_ne_bytes();
    }
}
