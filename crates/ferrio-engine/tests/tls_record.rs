//! `Records` finds the ends of records however the stream is cut, and gives up if there are none.

mod support;

use ferrio_engine::tls_record::{Part, Records};
use support::Random;

fn record(length: usize) -> Vec<u8> {
    let size = u16::try_from(length).expect("a test's record is short");
    let mut bytes = vec![23, 3, 3];
    bytes.extend(size.to_be_bytes());
    bytes.extend(std::iter::repeat_n(0xA5, length));
    bytes
}

#[test]
fn whole_records_are_taken_up_to_the_limit() {
    let data = [record(10), record(20), record(30)].concat();
    let mut records = Records::new();
    assert_eq!(records.take(&data, 40), Part { length: 40, complete: 2 });
    assert_eq!(records.take(&data[40..], 40), Part { length: 35, complete: 1 });
    assert_eq!(records.partial(), 0);
    assert_eq!(Records::new().take(&data, 1), Part { length: 15, complete: 1 }, "at least one");
    assert_eq!(Records::new().take(&data, 1 << 20), Part { length: 75, complete: 3 });
    assert_eq!(Records::new().take(&[], 1), Part { length: 0, complete: 0 });
}

#[test]
fn what_follows_the_last_whole_record_waits() {
    let data = [record(10), record(20)].concat();
    let mut records = Records::new();
    assert_eq!(records.take(&data[..18], 1 << 20), Part { length: 15, complete: 1 });
    assert_eq!(records.partial(), 0);
    assert_eq!(records.take(&data[15..18], 1 << 20), Part { length: 3, complete: 0 });
    assert_eq!(records.partial(), 3);
    assert_eq!(records.take(&data[18..39], 1 << 20), Part { length: 21, complete: 0 });
    assert_eq!(records.partial(), 24);
    assert_eq!(records.take(&data[39..], 1 << 20), Part { length: 1, complete: 1 });
    assert_eq!(records.partial(), 0);
}

#[test]
fn an_empty_record_is_a_record() {
    assert_eq!(Records::new().take(&[record(0), record(0)].concat(), 100), Part { length: 10, complete: 2 });
}

#[test]
fn what_is_no_record_makes_it_give_up() {
    for bytes in [
        b"GET / HTTP/1.1\r\n".to_vec(),
        vec![23, 2, 0, 0, 1, 0],
        vec![23, 3, 3, 0xFF, 0xFF],
        [record(3), b"nonsense".to_vec()].concat(),
    ] {
        let mut records = Records::new();
        assert_eq!(records.take(&bytes, 1 << 20), Part { length: bytes.len(), complete: 0 });
        assert!(records.is_lost());
        assert_eq!(records.partial(), 0);
        assert_eq!(records.take(&record(1), 9), Part { length: 6, complete: 0 });
    }
}

#[test]
fn any_cut_of_a_stream_gives_the_same_records() {
    let mut random = Random::new(7);
    for _ in 0..500 {
        let lengths: Vec<usize> =
            (0..random.below(8)).map(|_| usize::try_from(random.below(400)).expect("below 400")).collect();
        let data: Vec<u8> = lengths.iter().flat_map(|length| record(*length)).collect();
        let (mut records, mut complete, mut at) = (Records::new(), 0, 0);
        while at < data.len() {
            let mut end = data.len().min(at + 1 + usize::try_from(random.below(300)).expect("below 300"));
            while at < end {
                let part =
                    records.take(&data[at..end], usize::try_from(random.below(600)).expect("below 600"));
                assert!(part.length > 0);
                at += part.length;
                complete += part.complete;
                end = end.max(at);
            }
        }
        assert_eq!((complete, records.partial(), records.is_lost()), (lengths.len(), 0, false));
    }
}
