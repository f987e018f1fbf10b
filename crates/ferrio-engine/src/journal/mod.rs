//! A journal: in which order loops ran what was ready, in a file that a tester replays.
//!
//! A loop's thread writes to a [`Tape`], which hands full buffers to the [`Sink`], the file. [`Journal::read`] reads the
//! file, and a [`Script`] goes through the steps of one loop. The host says what an entry's numbers and labels mean.
//!
//! # The format, version 1
//!
//! A file begins with the twelve bytes `ferrio-order` and the version, one byte. Then come chunks until the end of the file: the
//! number of a loop, the length in bytes, and the bytes. The chunks of a loop, one after the other, are its entries. Loop 0
//! is none: its chunks are labels, each a length and text in UTF-8, numbered from 0 on. A file may end anywhere, as a program may
//! be killed; what isn't complete is left out.
//!
//! All numbers are unsigned, seven bits a byte, the lowest first; the highest bit says that more follow. An entry begins with
//! `number << 3 | kind`:
//!
//! | kind | what | number | then |
//! |---|---|---|---|
//! | 0 | a step of an actor | the actor | |
//! | 1 | the end of a wait of an actor | the actor | the label of what it waited for |
//! | 2 | a callback | its label | |
//! | 3 | the end of a job outside of the loop | the job | |
//! | 4 | an event on a descriptor | its watcher | |
//! | 5 | anything else | its label | |
//! | 6 | an answer that a step was given, such as whether data was there | 0 for no, 1 for yes | |
//! | 7 | about what follows | 0: the time | the nanoseconds since the last time |
//! | 7 | | 1: a new actor | the actor, the label of what it runs, the length of its name, and the name |
//! | 7 | | 2: about the loop | a number of the host's |
//!
//! Actors are numbered from 0 on as they are made, jobs and watchers from 1 on. Times count from the zero of the loop's clock.
//!
//! Invariant: an entry is never split between two chunks.

mod read;
mod write;

pub use self::read::{Actor, Broken, Journal, Script};
pub use self::write::{Sink, Tape};

/// The number of an actor, a job or a watcher.
pub type Id = u64;

/// How a file begins; the version is the last byte.
const MAGIC: [u8; 13] = *b"ferrio-order\x01";

/// What ran.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// A step of an actor.
    Actor(Id),
    /// The end of an actor's wait for what has this label.
    Wake(Id, u32),
    /// A callback with this label.
    Call(u32),
    /// The end of a job outside of the loop.
    Job(Id),
    /// An event on a descriptor that this watcher watches.
    Event(Id),
    /// Anything else, with this label.
    Other(u32),
}

// Kinds of entries.
const ACTOR: u64 = 0;
const WAKE: u64 = 1;
const CALL: u64 = 2;
const JOB: u64 = 3;
const EVENT: u64 = 4;
const OTHER: u64 = 5;
const ANSWER: u64 = 6;
const ABOUT: u64 = 7;

// What an entry of the kind `ABOUT` has.
const TIME: u64 = 0;
const MADE: u64 = 1;
const NOTE: u64 = 2;

#[inline]
fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a number from the front of `bytes`; `None` if it isn't complete, or too long.
fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for (place, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            *bytes = &bytes[place + 1..];
            return Some(number);
        }
    }
    None
}

/// Takes a length and so many bytes from the front of `bytes`; `None` if they aren't complete.
fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut rest = *bytes;
    let length = usize::try_from(take_number(&mut rest)?).ok()?;
    let (taken, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn file(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("ferrio-journal-{}-{name}", std::process::id()))
    }

    fn written(name: &str, write: impl FnOnce(&Sink)) -> Vec<u8> {
        let path = file(name);
        let sink = Sink::create(&path).expect("the file can be made");
        write(&sink);
        assert!(sink.failure().is_none());
        let bytes = std::fs::read(&path).expect("the file is there");
        std::fs::remove_file(path).expect("the file is there");
        bytes
    }

    #[test]
    fn numbers_of_all_sizes_come_back() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            let mut rest = &bytes[..];
            assert_eq!((take_number(&mut rest), rest.len()), (Some(number), 0));
            assert_eq!(take_number(&mut &bytes[..bytes.len() - 1]), None);
        }
    }

    #[test]
    fn steps_come_back_in_order_with_their_times_and_actors() {
        let all = [
            Step::Actor(0),
            Step::Wake(700, 1),
            Step::Call(0),
            Step::Job(3),
            Step::Event(1 << 40),
            Step::Other(1),
        ];
        let bytes = written("all", |sink| {
            let mut tape = Tape::new(1, 7);
            tape.made(0, 1, Some("first"));
            for (place, step) in all.into_iter().enumerate() {
                tape.time_is(1_000 + place as u64 / 2);
                tape.ran(step);
            }
            sink.append(&mut tape, ["a", "b"].into_iter());
        });
        let journal = Journal::parse(&bytes).expect("a whole file");
        assert_eq!(journal.labels(), ["a", "b"]);
        assert_eq!((journal.note(1), journal.note(2)), (Some(7), None));
        let mut script = journal.script(1).expect("the loop was recorded");
        for (place, step) in all.into_iter().enumerate() {
            assert_eq!(script.wanted(), Some(step));
            assert_eq!(script.time(), 1_000 + place as u64 / 2);
            assert_eq!(script.ran(), place as u64);
            script.goes_on();
        }
        assert_eq!(script.wanted(), None);
        assert_eq!(script.actor(0), Some(&Actor { label: 1, name: Some("first".into()) }));
        assert!(journal.script(2).is_none());
    }

    #[test]
    fn answers_belong_to_the_step_before_them() {
        let bytes = written("answers", |sink| {
            let mut tape = Tape::new(1, 0);
            tape.ran(Step::Actor(0));
            tape.answered(true);
            tape.answered(false);
            tape.ran(Step::Actor(0));
            tape.answered(true);
            tape.ran(Step::Actor(1));
            sink.append(&mut tape, std::iter::empty::<&str>());
        });
        let mut script =
            Journal::parse(&bytes).expect("a whole file").script(1).expect("the loop was recorded");
        assert_eq!(script.wanted(), Some(Step::Actor(0)));
        assert_eq!(script.answer(), None, "the step hasn't run");
        script.goes_on();
        assert_eq!((script.answer(), script.answer(), script.answer()), (Some(true), Some(false), None));
        script.wanted();
        script.goes_on();
        // An answer that isn't asked for is left out.
        assert_eq!(script.wanted(), Some(Step::Actor(1)));
    }

    #[test]
    fn a_file_that_ends_anywhere_has_what_is_complete() {
        let bytes = written("cut", |sink| {
            for round in 0..3 {
                let mut tape = Tape::new(1, 0);
                (0..10).for_each(|number| tape.ran(Step::Wake(number * 100, round)));
                sink.append(&mut tape, [&*format!("label {round}")].into_iter());
            }
        });
        let mut most = 0;
        for end in MAGIC.len()..=bytes.len() {
            let journal = Journal::parse(&bytes[..end]).expect("a whole file");
            let Some(mut script) = journal.script(1) else { continue };
            let mut count = 0;
            while script.wanted() == Some(Step::Wake(count % 10 * 100, count as u32 / 10)) {
                script.goes_on();
                count += 1;
            }
            assert_eq!(script.wanted(), None);
            assert!(count >= most, "no less of a longer file");
            most = count;
        }
        assert_eq!(most, 30);
    }

    #[test]
    fn other_files_are_refused() {
        assert_eq!(Journal::parse(b"").err(), Some(Broken::NoJournal));
        assert_eq!(Journal::parse(b"#!/usr/bin/python").err(), Some(Broken::NoJournal));
        assert_eq!(Journal::parse(b"ferrio-order\x02").err(), Some(Broken::Version(2)));
        assert!(Journal::parse(&MAGIC).expect("a whole file").loops().is_empty());
    }

    #[test]
    fn a_full_disk_is_told_once() {
        // Not even the beginning fits.
        assert!(Sink::create("/dev/full".as_ref()).is_err());
        let sink = Sink::later("/dev/full".as_ref());
        assert!(sink.failure().is_none());
        for _ in 0..2 {
            let mut tape = Tape::new(1, 0);
            tape.ran(Step::Actor(0));
            sink.append(&mut tape, std::iter::empty::<&str>());
        }
        assert_eq!(sink.failure().expect("the disk is full").kind(), std::io::ErrorKind::StorageFull);
        assert!(sink.failure().is_none());
    }

    #[test]
    fn a_file_may_be_made_later() {
        let path = file("later");
        let sink = Sink::later(&path);
        assert!(!path.exists());
        let mut tape = Tape::new(3, 0);
        tape.ran(Step::Call(0));
        sink.append(&mut tape, ["f"].into_iter());
        let journal =
            Journal::parse(&std::fs::read(&path).expect("the file is there")).expect("a whole file");
        assert_eq!((journal.loops(), journal.labels()), (vec![3], &["f".to_owned()][..]));
        std::fs::remove_file(path).expect("the file is there");
    }
}
