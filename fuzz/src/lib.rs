//! An oracle for each thing that the engine parses or orders: it takes any bytes, makes a case of them, and panics if the
//! engine does something else than a simple model.
//!
//! `fuzz_targets` has a program for each, for libFuzzer. The engine's `tests/fuzz.rs` runs them over `corpus` and over random
//! bytes. An oracle that is new goes into [`ALL`].

mod address;
mod buffer;
mod inbox;
mod input;
mod journal;
mod seconds;
mod separators;
mod timers;
mod tls_records;
mod turns;

/// What an oracle is: it panics if the engine is wrong.
pub type Oracle = fn(&[u8]);

/// Every oracle, with the name of its target and of its directory in `corpus`.
pub const ALL: [(&str, Oracle); 9] = [
    ("address", address::check),
    ("buffer", buffer::check),
    ("inbox", inbox::check),
    ("journal", journal::check),
    ("seconds", seconds::check),
    ("separators", separators::check),
    ("timers", timers::check),
    ("tls_records", tls_records::check),
    ("turns", turns::check),
];

/// Runs the oracle with this name.
///
/// # Panics
///
/// If the engine is wrong, or there is no such oracle.
pub fn run(name: &str, data: &[u8]) {
    let (_, oracle) = ALL.iter().find(|(known, _)| *known == name).expect("it is in the list");
    oracle(data);
}
