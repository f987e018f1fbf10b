//! The search for separators in what arrives piece by piece. Oracle: every place where a separator stands, found byte by byte in
//! everything that has arrived; the one that ends first is meant, and of those the shortest.

use ferrio_engine::buffer::{Found, Match, Scan, Separators};

use super::input::Input;

fn expected(bytes: &[u8], strings: &[Vec<u8>], limit: usize) -> Found {
    let places = strings.iter().flat_map(|string| {
        (0..bytes.len())
            .filter(|start| bytes[*start..].starts_with(string))
            .map(|start| (start + string.len(), string.len()))
    });
    if let Some((end, length)) = places.min() {
        let found = Match { start: end - length, end };
        return if found.start > limit { Found::LongMessage(found) } else { Found::Message(found) };
    }
    // The last bytes may begin a separator.
    let longest = strings.iter().map(Vec::len).max().expect("there is one");
    let certain = (bytes.len() + 1).saturating_sub(longest);
    if certain > limit { Found::TooMuch(certain) } else { Found::Nothing }
}

/// A limit, some separators, and pieces, each with its length.
pub(crate) fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let limit = input.below(64);
    let count = input.below(4) + 1;
    let strings: Vec<Vec<u8>> = (0..count)
        .map(|_| {
            let length = input.below(5) + 1;
            input.bytes(length).to_vec()
        })
        .collect();
    let Some(separators) = Separators::new(strings.clone()) else {
        assert!(strings.iter().any(Vec::is_empty), "none of them is empty");
        return;
    };
    assert_eq!(separators.shortest(), strings.iter().map(Vec::len).min().expect("there is one"));
    assert_eq!(separators.longest(), strings.iter().map(Vec::len).max().expect("there is one"));
    let (mut bytes, mut scan) = (Vec::new(), Scan::new());
    while !input.is_empty() {
        let length = input.below(32);
        bytes.extend(input.bytes(length));
        let found = scan.look(&bytes, &separators, limit);
        assert_eq!(found, expected(&bytes, &strings, limit), "{strings:?} in {bytes:?}, limit {limit}");
        if found != Found::Nothing {
            return;
        }
    }
}
