//! Writing a journal: a loop's buffer, and the file of all loops.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{
    ABOUT, ACTOR, ANSWER, CALL, EVENT, Id, JOB, MADE, MAGIC, NOTE, OTHER, Step, TIME, WAKE, put_number,
};
use crate::clock::Nanos;
use crate::fork;

/// A buffer with so many bytes is written.
const FULL: usize = 1 << 15;

/// How long what was noted may wait in the buffer while the loop sleeps.
const LATEST: Nanos = 50_000_000;

/// The steps of one loop that weren't written yet.
#[derive(Debug)]
pub struct Tape {
    number: u32,
    bytes: Vec<u8>,
    /// The time now, and the last one that was noted.
    now: Nanos,
    noted: Nanos,
    /// When the buffer was last written.
    written: Nanos,
}

impl Tape {
    /// The tape of the loop with this number, from 1 on, and a number of the host's about it.
    pub fn new(number: u32, note: u64) -> Self {
        let bytes = Vec::with_capacity(FULL + FULL / 8);
        let mut tape = Self { number, bytes, now: 0, noted: 0, written: 0 };
        tape.about(NOTE);
        put_number(&mut tape.bytes, note);
        tape
    }

    /// What runs from now on runs at this time.
    #[inline]
    pub fn time_is(&mut self, now: Nanos) {
        self.now = now;
    }

    /// Notes what runs now.
    #[inline]
    pub fn ran(&mut self, step: Step) {
        if self.now > self.noted {
            self.about(TIME);
            put_number(&mut self.bytes, self.now - self.noted);
            self.noted = self.now;
        }
        match step {
            Step::Actor(actor) => self.begin(ACTOR, actor),
            Step::Wake(actor, label) => {
                self.begin(WAKE, actor);
                put_number(&mut self.bytes, u64::from(label));
            }
            Step::Call(label) => self.begin(CALL, u64::from(label)),
            Step::Job(job) => self.begin(JOB, job),
            Step::Event(watcher) => self.begin(EVENT, watcher),
            Step::Other(label) => self.begin(OTHER, u64::from(label)),
        }
    }

    /// Notes an answer that the step which runs was given.
    #[inline]
    pub fn answered(&mut self, answer: bool) {
        self.begin(ANSWER, u64::from(answer));
    }

    /// Notes a new actor: the label of what it runs, and its name unless that is a default one.
    pub fn made(&mut self, actor: Id, label: u32, name: Option<&str>) {
        self.about(MADE);
        put_number(&mut self.bytes, actor);
        put_number(&mut self.bytes, u64::from(label));
        let name = name.unwrap_or_default().as_bytes();
        put_number(&mut self.bytes, name.len() as u64);
        self.bytes.extend(name);
    }

    /// Whether the buffer should be written at once.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= FULL
    }

    /// Whether the buffer should be written before a wait.
    #[inline]
    pub fn is_old(&self) -> bool {
        !self.bytes.is_empty() && self.now.saturating_sub(self.written) >= LATEST
    }

    fn about(&mut self, what: u64) {
        self.begin(ABOUT, what);
    }

    #[inline]
    fn begin(&mut self, kind: u64, number: u64) {
        put_number(&mut self.bytes, number << 3 | kind);
    }
}

/// The file of a journal. Any thread may append to it.
#[derive(Debug)]
pub struct Sink {
    state: Mutex<State>,
    /// A child has the same file open, but it must not write there.
    forks: u32,
}

#[derive(Debug)]
struct State {
    path: PathBuf,
    /// `None` until it is made.
    file: Option<File>,
    /// How many labels were written.
    labels: usize,
    /// The first error. Nothing is written after it.
    failure: Option<io::Error>,
}

impl Sink {
    /// Makes the file, or empties it.
    ///
    /// # Errors
    ///
    /// The system's, if the file can't be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        let sink = Self::later(path);
        sink.lock().open()?;
        Ok(sink)
    }

    /// Makes the file when there is something to write.
    pub fn later(path: &Path) -> Self {
        let state = State { path: path.to_owned(), file: None, labels: 0, failure: None };
        Self { state: Mutex::new(state), forks: fork::count() }
    }

    /// Writes what is on a tape, after those of `labels` (all there are, in order) that weren't written before.
    pub fn append<L: AsRef<str>>(&self, tape: &mut Tape, labels: impl Iterator<Item = L>) {
        tape.written = tape.now;
        if fork::count() != self.forks {
            tape.bytes.clear();
            return;
        }
        let mut state = self.lock();
        if state.failure.is_none() {
            let mut texts = Vec::new();
            for label in labels.skip(state.labels) {
                put_number(&mut texts, label.as_ref().len() as u64);
                texts.extend(label.as_ref().as_bytes());
                state.labels += 1;
            }
            let mut chunks = Vec::with_capacity(tape.bytes.len() + texts.len() + 16);
            for (number, bytes) in [(0, &texts), (tape.number, &tape.bytes)] {
                if !bytes.is_empty() {
                    put_number(&mut chunks, u64::from(number));
                    put_number(&mut chunks, bytes.len() as u64);
                    chunks.extend(bytes);
                }
            }
            // One write, so that a program that is killed leaves whole chunks.
            state.failure = state.open().and_then(|file| file.write_all(&chunks)).err();
        }
        tape.bytes.clear();
    }

    /// What went wrong, once.
    pub fn failure(&self) -> Option<io::Error> {
        self.lock().failure.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The file, with its beginning.
    fn open(&mut self) -> io::Result<&mut File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let mut file = File::create(&self.path)?;
                file.write_all(&MAGIC)?;
                file
            }
        };
        Ok(self.file.insert(file))
    }
}
