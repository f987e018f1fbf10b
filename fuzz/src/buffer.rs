//! The buffer of unread bytes. Oracle: a vector from whose front bytes are removed.

use ferrio_engine::ByteBuffer;
use ferrio_engine::buffer::bytes::KEPT;

use super::input::Input;

/// Steps: bytes that come, bytes that are consumed, everything dropped.
pub(crate) fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let (mut buffer, mut model) = (ByteBuffer::new(), Vec::new());
    while !input.is_empty() {
        match input.below(8) {
            0..=2 => {
                let length = input.below(64);
                let piece = input.bytes(length);
                buffer.extend(piece).expect("there is memory");
                model.extend(piece);
            }
            // Large ones, which a case doesn't have to contain.
            3 => {
                let piece = vec![input.byte(); usize::from(input.short()) % 8192];
                buffer.extend(&piece).expect("there is memory");
                model.extend(&piece);
            }
            4 => {
                buffer.clear();
                model.clear();
            }
            5 => {
                let size = usize::from(input.short());
                buffer.consume(size);
                model.drain(..size.min(model.len()));
            }
            _ => {
                let size = input.below(64);
                buffer.consume(size);
                model.drain(..size.min(model.len()));
            }
        }
        assert_eq!((buffer.len(), buffer.is_empty()), (model.len(), model.is_empty()));
        assert_eq!(buffer.as_slice(), model);
        assert!(!buffer.is_empty() || buffer.capacity() <= KEPT, "an empty buffer keeps little");
    }
}
