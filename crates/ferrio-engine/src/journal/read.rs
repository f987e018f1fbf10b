//! Reading a journal, and going through the steps of one of its loops.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::{
    ABOUT, ACTOR, ANSWER, CALL, EVENT, Id, JOB, MADE, MAGIC, NOTE, OTHER, Step, TIME, WAKE, take_bytes,
    take_number,
};
use crate::clock::Nanos;

/// Why a file can't be read.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Broken {
    /// It isn't a journal.
    NoJournal,
    /// It has a version that isn't known.
    Version(u8),
}

impl fmt::Display for Broken {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoJournal => write!(to, "it isn't a recording of a program's order"),
            Self::Version(version) => write!(to, "it has version {version}, and only version 1 is known"),
        }
    }
}

/// What a file has.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    labels: Vec<String>,
    loops: BTreeMap<u32, Vec<u8>>,
}

impl Journal {
    /// The journal in the bytes of a file.
    ///
    /// # Errors
    ///
    /// If it isn't one, or of another version.
    pub fn parse(mut bytes: &[u8]) -> Result<Self, Broken> {
        let (name, version) = (&MAGIC[..MAGIC.len() - 1], MAGIC[MAGIC.len() - 1]);
        match bytes.strip_prefix(name).and_then(<[u8]>::split_first) {
            Some((found, rest)) if *found == version => bytes = rest,
            Some((found, _)) => return Err(Broken::Version(*found)),
            None => return Err(Broken::NoJournal),
        }
        let mut journal = Self::default();
        while let Some(number) = take_number(&mut bytes) {
            let mut rest = bytes;
            let (chunk, is_whole) = match take_bytes(&mut bytes) {
                Some(chunk) => (chunk, true),
                // The program was killed: what has come is good.
                None if take_number(&mut rest).is_some() => (rest, false),
                None => break,
            };
            match u32::try_from(number) {
                Ok(0) => journal.read_labels(chunk),
                Ok(number) => journal.loops.entry(number).or_default().extend(chunk),
                Err(_) => break,
            }
            if !is_whole {
                break;
            }
        }
        Ok(journal)
    }

    fn read_labels(&mut self, mut bytes: &[u8]) {
        while let Some(text) = take_bytes(&mut bytes) {
            self.labels.push(String::from_utf8_lossy(text).into_owned());
        }
    }

    /// The labels, in the order of their numbers.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The numbers of the loops that ran something.
    pub fn loops(&self) -> Vec<u32> {
        self.loops.keys().copied().collect()
    }

    /// The host's number about a loop.
    pub fn note(&self, number: u32) -> Option<u64> {
        match take_entry(&mut &self.loops.get(&number)?[..]) {
            Some(Entry::Note(note)) => Some(note),
            _ => None,
        }
    }

    /// The steps of a loop.
    pub fn script(&self, number: u32) -> Option<Script> {
        Some(Script {
            bytes: self.loops.get(&number)?.clone(),
            at: 0,
            time: 0,
            ran: 0,
            wanted: None,
            actors: HashMap::new(),
        })
    }
}

/// An actor, as it was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor {
    /// The label of what it runs.
    pub label: u32,
    /// Its name, unless that is a default one.
    pub name: Option<String>,
}

/// The steps of one loop, one after the other.
#[derive(Clone, Debug)]
pub struct Script {
    bytes: Vec<u8>,
    at: usize,
    time: Nanos,
    ran: u64,
    /// What runs next, if that was read.
    wanted: Option<Step>,
    actors: HashMap<Id, Actor>,
}

/// One entry.
enum Entry {
    Step(Step),
    Answer(bool),
    Time(Nanos),
    Made(Id, Actor),
    Note(u64),
}

impl Script {
    /// What runs next; `None` at the end.
    pub fn wanted(&mut self) -> Option<Step> {
        while self.wanted.is_none() {
            let (entry, next) = self.peek()?;
            self.at = next;
            match entry {
                Entry::Step(step) => self.wanted = Some(step),
                Entry::Answer(_) | Entry::Note(_) => {}
                Entry::Time(passed) => self.time = self.time.saturating_add(passed),
                Entry::Made(number, actor) => drop(self.actors.insert(number, actor)),
            }
        }
        self.wanted
    }

    /// What was wanted runs now.
    pub fn goes_on(&mut self) {
        if self.wanted.take().is_some() {
            self.ran += 1;
        }
    }

    /// The next answer that what runs now was given.
    pub fn answer(&mut self) -> Option<bool> {
        while self.wanted.is_none() {
            let (entry, next) = self.peek()?;
            match entry {
                Entry::Step(_) | Entry::Time(_) | Entry::Note(_) => return None,
                Entry::Answer(answer) => {
                    self.at = next;
                    return Some(answer);
                }
                Entry::Made(number, actor) => {
                    self.at = next;
                    self.actors.insert(number, actor);
                }
            }
        }
        None
    }

    /// When what is wanted ran.
    pub fn time(&self) -> Nanos {
        self.time
    }

    /// How many steps have run.
    pub fn ran(&self) -> u64 {
        self.ran
    }

    /// An actor that was made before what is wanted ran.
    pub fn actor(&self, number: Id) -> Option<&Actor> {
        self.actors.get(&number)
    }

    /// The next entry and where it ends; `None` at the end, and where the file isn't complete.
    fn peek(&self) -> Option<(Entry, usize)> {
        let mut rest = self.bytes.get(self.at..)?;
        let entry = take_entry(&mut rest)?;
        Some((entry, self.bytes.len() - rest.len()))
    }
}

fn take_entry(bytes: &mut &[u8]) -> Option<Entry> {
    let begin = take_number(bytes)?;
    let (kind, number) = (begin & 7, begin >> 3);
    let label = |number| u32::try_from(number).ok();
    Some(match kind {
        ACTOR => Entry::Step(Step::Actor(number)),
        WAKE => Entry::Step(Step::Wake(number, label(take_number(bytes)?)?)),
        CALL => Entry::Step(Step::Call(label(number)?)),
        JOB => Entry::Step(Step::Job(number)),
        EVENT => Entry::Step(Step::Event(number)),
        OTHER => Entry::Step(Step::Other(label(number)?)),
        ANSWER => Entry::Answer(number != 0),
        ABOUT if number == TIME => Entry::Time(take_number(bytes)?),
        ABOUT if number == NOTE => Entry::Note(take_number(bytes)?),
        ABOUT if number == MADE => {
            let (actor, label) = (take_number(bytes)?, label(take_number(bytes)?)?);
            let name = take_bytes(bytes)?;
            let name = (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned());
            Entry::Made(actor, Actor { label, name })
        }
        _ => return None,
    })
}
