//! Journals: the file of a program's order. Any bytes are refused or read to an end. Oracle for steps that were written: they come
//! back, and those of a file that was cut are the first of them.

use std::fs;
use std::path::PathBuf;

use ferrio_engine::journal::{Journal, Sink, Step, Tape};

use super::input::Input;

/// How a file begins.
const MAGIC: &[u8] = b"ferrio-order\x01";

/// Reads everything in a journal; returns the steps of loop 1 with their times.
fn read(bytes: &[u8]) -> Vec<(Step, u64)> {
    let Ok(journal) = Journal::parse(bytes) else {
        assert!(!bytes.starts_with(MAGIC), "it begins as a journal does");
        return Vec::new();
    };
    let mut first = Vec::new();
    for number in journal.loops() {
        journal.note(number);
        let mut script = journal.script(number).expect("the loop is there");
        while let Some(step) = script.wanted() {
            if let Step::Actor(actor) = step {
                script.actor(actor);
            }
            if number == 1 {
                first.push((step, script.time()));
            }
            script.goes_on();
            while script.answer().is_some() {}
            assert!(script.ran() <= bytes.len() as u64, "an entry has at least one byte");
        }
    }
    assert!(journal.labels().len() <= bytes.len());
    first
}

/// A number of any size that an entry can have.
fn number(input: &mut Input<'_>) -> u64 {
    input.long() >> (3 + input.below(61))
}

fn step(input: &mut Input<'_>) -> Step {
    match input.below(6) {
        0 => Step::Actor(number(input)),
        1 => Step::Wake(number(input), number(input) as u32),
        2 => Step::Call(number(input) as u32),
        3 => Step::Job(number(input)),
        4 => Step::Event(number(input)),
        _ => Step::Other(number(input) as u32),
    }
}

/// A file that this thread writes and reads.
fn file() -> PathBuf {
    let thread = format!("{:?}", std::thread::current().id());
    std::env::temp_dir().join(format!("ferrio-fuzz-{}-{thread}", std::process::id()))
}

/// Writes steps to two tapes and reads the whole file, and a part of it.
fn written(input: &mut Input<'_>) {
    let path = file();
    let sink = Sink::create(&path).expect("the file can be made");
    let (mut tapes, mut now, mut steps) = ([Tape::new(1, 7), Tape::new(2, 8)], 0_u64, Vec::new());
    while !input.is_empty() {
        let (which, labels) = (input.below(2), input.below(5));
        match input.below(6) {
            0 => now = now.saturating_add(input.long() >> input.below(64)),
            1 => {
                let (actor, length) = (number(input), input.below(20));
                let name = String::from_utf8_lossy(input.bytes(length)).into_owned();
                tapes[which].made(actor, number(input) as u32, Some(&name));
            }
            2 => sink.append(&mut tapes[which], (0..labels).map(|label| format!("label {label}"))),
            3 => tapes[which].answered(input.below(2) == 1),
            _ => {
                let step = step(input);
                tapes[which].time_is(now);
                tapes[which].ran(step);
                if which == 0 {
                    steps.push((step, now));
                }
            }
        }
    }
    tapes.iter_mut().for_each(|tape| sink.append(tape, std::iter::empty::<&str>()));
    assert!(sink.failure().is_none());
    let bytes = fs::read(&path).expect("the file is there");
    fs::remove_file(&path).expect("the file is there");
    assert_eq!(read(&bytes), steps);
    let journal = Journal::parse(&bytes).expect("a whole file");
    assert_eq!((journal.note(1), journal.note(2)), (Some(7), Some(8)));
    let cut = read(&bytes[..bytes.len() * steps.len() % (bytes.len() + 1)]);
    assert_eq!(cut, steps[..cut.len()], "the first steps, unless the file was cut before them");
}

/// A file of anything, with or without the right beginning; or what is written to one.
pub(crate) fn check(data: &[u8]) {
    let mut input = Input::new(data);
    match input.below(4) {
        0 => drop(read(input.rest())),
        1 => drop(read(&[MAGIC, input.rest()].concat())),
        _ => written(&mut input),
    }
}
