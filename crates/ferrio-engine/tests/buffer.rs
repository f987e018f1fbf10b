//! The buffer of unread bytes and the search for separators, each compared with a simple model.

use std::collections::VecDeque;

use ferrio_engine::buffer::bytes::KEPT;
use ferrio_engine::buffer::{ByteBuffer, Found, Match, Scan, Separators};

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits fit") % bound
    }
}

#[test]
fn what_goes_in_comes_out_in_order() {
    for seed in 0..50 {
        let mut numbers = Numbers(seed);
        let (mut buffer, mut model) = (ByteBuffer::new(), VecDeque::new());
        let mut next = 0_u8;
        for _ in 0..400 {
            let size = numbers.below(3000);
            match numbers.below(4) {
                0 | 1 => {
                    let data: Vec<u8> = (0..size).map(|place| next.wrapping_add(place as u8)).collect();
                    buffer.extend(&data).expect("there is memory");
                    model.extend(&data);
                }
                _ => {
                    buffer.consume(size);
                    model.drain(..size.min(model.len()));
                }
            }
            next = next.wrapping_add(17);
            assert_eq!(buffer.len(), model.len());
            assert_eq!(buffer.is_empty(), model.is_empty());
            assert_eq!(buffer.as_slice(), model.make_contiguous());
        }
        buffer.clear();
        assert!(buffer.is_empty());
    }
}

#[test]
fn an_empty_buffer_keeps_little_memory() {
    let mut buffer = ByteBuffer::new();
    buffer.extend(&[7; 100_000]).expect("there is memory");
    buffer.consume(99_999);
    assert_eq!(buffer.as_slice(), [7]);
    buffer.consume(1);
    assert!(buffer.capacity() <= KEPT);
}

#[test]
fn many_small_messages_in_a_steady_stream_need_no_more_memory_than_a_few() {
    let mut buffer = ByteBuffer::new();
    buffer.extend(&[1; 300]).expect("there is memory");
    for _ in 0..10_000 {
        buffer.extend(&[2; 100]).expect("there is memory");
        buffer.consume(100);
    }
    assert_eq!(buffer.len(), 300);
    assert!(buffer.capacity() < 4096);
}

#[test]
fn separators_are_never_none_and_never_empty() {
    assert!(Separators::new(vec![]).is_none());
    assert!(Separators::new(vec![b"a".to_vec(), vec![]]).is_none());
    assert!(matches!(Separators::new(vec![b"\n".to_vec()]), Some(Separators::Byte(b'\n'))));
    let several = Separators::new(vec![b"abc".to_vec(), b"x".to_vec()]).expect("neither is empty");
    assert_eq!((several.shortest(), several.longest()), (1, 3));
}

#[test]
fn the_separator_that_ends_first_wins_and_of_equals_the_shortest() {
    let separators = |strings: &[&[u8]]| {
        Separators::new(strings.iter().map(|string| string.to_vec()).collect()).expect("none is empty")
    };
    assert_eq!(
        separators(&[b"long", b"on"]).find(b"a long day", 0),
        Some(Match { start: 3, end: 5 }),
        "the shorter one ends inside the longer one"
    );
    assert_eq!(separators(&[b"a\n", b"\n"]).find(b"ba\n", 0), Some(Match { start: 2, end: 3 }));
    assert_eq!(separators(&[b"ab"]).find(b"abab", 1), Some(Match { start: 2, end: 4 }));
    assert_eq!(separators(&[b"ab"]).find(b"ab", 3), None);
}

/// The result of searching everything that has arrived from the start: asyncio's rules, literally.
fn model(bytes: &[u8], strings: &[Vec<u8>], limit: usize, offset: &mut usize) -> Found {
    let shortest = strings.iter().map(Vec::len).min().expect("there is one");
    let longest = strings.iter().map(Vec::len).max().expect("there is one");
    if bytes.len() - *offset < shortest {
        return Found::Nothing;
    }
    let mut best: Option<Match> = None;
    let mut ordered = strings.to_vec();
    ordered.sort_by_key(Vec::len);
    for string in &ordered {
        if let Some(start) = (*offset..bytes.len()).find(|start| bytes[*start..].starts_with(string)) {
            let end = start + string.len();
            if best.is_none_or(|best| end < best.end) {
                best = Some(Match { start, end });
            }
        }
    }
    if let Some(best) = best {
        return if best.start > limit { Found::LongMessage(best) } else { Found::Message(best) };
    }
    *offset = (bytes.len() + 1).saturating_sub(longest);
    if *offset > limit { Found::TooMuch(*offset) } else { Found::Nothing }
}

#[test]
fn a_search_in_pieces_finds_what_the_model_finds() {
    for seed in 0..3000 {
        let mut numbers = Numbers(seed);
        let strings: Vec<Vec<u8>> = (0..=numbers.below(3))
            .map(|_| (0..=numbers.below(3)).map(|_| b"ab\n"[numbers.below(3)]).collect())
            .collect();
        let separators = Separators::new(strings.clone()).expect("none is empty");
        let limit = numbers.below(12) + 1;
        let (mut bytes, mut scan, mut offset) = (Vec::new(), Scan::new(), 0);
        for _ in 0..10 {
            for _ in 0..numbers.below(4) {
                bytes.push(b"abcc\n"[numbers.below(5)]);
            }
            let found = scan.look(&bytes, &separators, limit);
            assert_eq!(
                found,
                model(&bytes, &strings, limit, &mut offset),
                "{strings:?} in {bytes:?}, limit {limit}"
            );
            if found != Found::Nothing {
                break;
            }
        }
    }
}
