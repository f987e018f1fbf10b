//! TLS records in a stream that is cut anywhere. Oracle: the whole stream taken apart at once, from RFC 8446, 5.1.

use ferrio_engine::tls_record::Records;

use super::input::Input;

/// The longest body: 2^14 bytes, and what TLS 1.2 lets a cipher add.
const LONGEST: usize = (1 << 14) + 2048;

/// The offsets at which records end, and the one after the first header that is none.
fn take_apart(stream: &[u8]) -> (Vec<usize>, Option<usize>) {
    let (mut ends, mut at) = (Vec::new(), 0);
    while let Some([kind, major, _, high, low]) = stream[at..].first_chunk() {
        let length = usize::from(*high) * 256 + usize::from(*low);
        if !(20..=24).contains(kind) || *major != 3 || length > LONGEST {
            return (ends, Some(at + 5));
        }
        at += 5 + length;
        if at > stream.len() {
            break;
        }
        ends.push(at);
    }
    (ends, None)
}

/// A stream of good headers, bodies and anything else. So much of it must not be in the case, which would be too large.
fn stream(input: &mut Input<'_>) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..input.below(16) {
        match input.below(8) {
            0 => {
                let length = input.below(12);
                stream.extend(input.bytes(length));
            }
            kind => {
                let length = if kind < 6 { u16::from(input.byte()) } else { input.short() };
                stream.extend([20 + kind as u8 % 5, 3, input.byte()]);
                stream.extend(length.to_be_bytes());
                stream.extend(std::iter::repeat_n(kind as u8, usize::from(length).min(LONGEST + 1)));
            }
        }
    }
    stream
}

/// A stream, then the sizes of the pieces in which it comes and the limits.
pub(crate) fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let stream = stream(&mut input);
    let (ends, bad) = take_apart(&stream);
    let (mut records, mut at) = (Records::new(), 0);
    while at < stream.len() {
        let piece =
            if input.is_empty() { stream.len() } else { usize::from(input.short()) >> input.below(16) };
        let (limit, mut end) = (usize::from(input.short()), stream.len().min(at + piece + 1));
        while at < end {
            let part = records.take(&stream[at..end], limit);
            let after = at + part.length;
            assert!(part.length > 0 && after <= end);
            if records.is_lost() {
                assert!(bad.is_some_and(|bad| bad <= end), "every header was good until {end}");
                assert_eq!((after, part.complete, records.partial()), (end, 0, 0));
                // From then on nothing is known.
                return;
            }
            assert!(bad.is_none_or(|bad| bad > after), "the header at {bad:?} was bad");
            assert_eq!(part.complete, ends.iter().filter(|place| (at + 1..=after).contains(*place)).count());
            if part.complete == 0 {
                assert_eq!(after, end, "all of it, as no record ends there");
            } else {
                assert!(ends.contains(&after), "it ends with a record");
                assert!(part.complete == 1 || part.length <= limit);
                let next = ends.iter().find(|place| **place > after);
                assert!(
                    next.is_none_or(|next| *next > end || next - at > limit),
                    "one more would have fitted"
                );
            }
            let begin = ends.iter().rfind(|place| **place <= after).copied().unwrap_or(0);
            assert_eq!(records.partial(), after - begin);
            at = after;
            // What follows the last complete record comes again, with more.
            end = end.max(at);
        }
    }
}
