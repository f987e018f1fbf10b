//! What a recording says, as tables: rows of actors with their slices, waits and wake-ups.
//!
//! Times count from the beginning of the picture; what was over before is left out, and what had begun is cut. `replay` fills
//! the tables. Invariants: slices of one lane never overlap, as only one thing runs at a time. Each table is sorted by
//! time, and names only rows that exist.

use std::collections::HashMap;

use super::jobs::Job;
use super::replay::Player;
use super::{End, Event, Id, Scale, Ticks};
use crate::clock::Nanos;

/// What a row shows.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum RowKind {
    /// An actor.
    Actor,
    /// The calls of a lane.
    Calls,
    /// The events on descriptors of a lane.
    Io,
    /// The jobs of a thread.
    Jobs,
}

/// The name of an actor.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Name {
    /// It isn't known.
    #[default]
    Unknown,
    /// A default name, with this number.
    Number(u64),
    /// A name.
    Text(Vec<u8>),
}

/// A row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// What it shows.
    pub kind: RowKind,
    /// Its lane.
    pub lane: u32,
    /// The number of an actor that hasn't ended.
    pub actor: Option<Id>,
    /// When the actor was made.
    pub created: Option<Nanos>,
    /// When the actor ended, and how.
    pub ended: Option<(Nanos, End)>,
    /// The row that made the actor.
    pub parent: Option<u32>,
    /// What the actor runs, if it has ended.
    pub label: Option<u32>,
    /// The name of the actor, if it has ended.
    pub name: Name,
    /// Where the actor was made.
    pub stack: Option<u32>,
}

/// What a slice is a part of.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum SliceKind {
    /// A step of an actor.
    Step = 0,
    /// A call.
    Call = 1,
    /// The handling of an event on a descriptor.
    Io = 2,
    /// A job.
    Job = 3,
    /// The wait for the host's interpreter.
    Interpreter = 4,
}

/// A time in which a row did something.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Slice {
    /// When it began.
    pub start: Nanos,
    /// How long it took.
    pub length: Nanos,
    /// Whose it is.
    pub row: u32,
    /// What was called.
    pub label: Option<u32>,
    /// What it is.
    pub kind: SliceKind,
}

/// A wake-up of an actor.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Wake {
    /// When.
    pub time: Nanos,
    /// What woke it; `None` for timers and other threads.
    pub from: Option<u32>,
    /// What was woken.
    pub to: u32,
    /// Why, if that is known.
    pub label: Option<u32>,
    /// How much later it ran; or until the end of the picture.
    pub delay: Nanos,
}

/// A time in which an actor waited.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Waited {
    /// When it began.
    pub start: Nanos,
    /// How long it took.
    pub length: Nanos,
    /// Who waited.
    pub row: u32,
    /// For what.
    pub what: Awaited,
}

/// What an actor waited for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Awaited {
    /// Something with this label.
    Label(u32),
    /// The actor in this row.
    Row(u32),
}

/// A wait of a loop in the kernel.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Poll {
    /// When it began.
    pub start: Nanos,
    /// How long it took.
    pub length: Nanos,
    /// Whose it is.
    pub lane: u32,
}

/// A thread, as far as it shows one loop, or jobs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lane {
    /// Whether it shows jobs.
    pub is_worker: bool,
    /// The labels of the threads' names: a loop may move to another thread.
    pub threads: Vec<u32>,
}

/// The whole picture.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// What the other tables name by number.
    pub rows: Vec<Row>,
    /// What ran.
    pub slices: Vec<Slice>,
    /// Who woke whom.
    pub wakes: Vec<Wake>,
    /// What actors waited for.
    pub waits: Vec<Waited>,
    /// When loops waited.
    pub polls: Vec<Poll>,
    /// The threads.
    pub lanes: Vec<Lane>,
    /// Who handed out which job.
    pub(super) submitters: HashMap<u64, u32>,
    /// The wakes that the ends of jobs have caused, by the jobs' numbers.
    pub(super) collectors: HashMap<u64, usize>,
}

/// The time that a picture shows.
#[derive(Copy, Clone, Debug)]
pub struct Span {
    /// What recorded times mean.
    pub scale: Scale,
    /// The first moment, by the monotonic clock.
    pub from: Nanos,
    /// The last one.
    pub until: Nanos,
}

impl Span {
    /// A recorded time; `Err` if it was before the first moment.
    pub(super) fn place(&self, time: Ticks) -> Result<Nanos, ()> {
        self.scale.nanos(time).min(self.until).checked_sub(self.from).ok_or(())
    }
}

impl Picture {
    /// Adds a lane with the events of one loop.
    pub fn play(&mut self, events: &[Event], span: &Span) {
        let lane = self.lanes.len() as u32;
        self.lanes.push(Lane { is_worker: false, threads: Vec::new() });
        Player::new(self, lane, span).play(events);
    }

    /// Adds a lane for each thread that ran jobs. The loops' lanes come first, to know who handed them out.
    pub fn add_jobs(&mut self, jobs: &[Job], span: &Span) {
        let end = span.until.saturating_sub(span.from);
        let mut rows = HashMap::new();
        for job in jobs {
            let Some((began, worker)) = job.began else { continue };
            let ended = job.ended.map_or(Ok(end), |ended| span.place(ended));
            let Ok(ended) = ended else { continue };
            let row = *rows.entry(worker.number).or_insert_with(|| self.add_worker(worker.label));
            let (submitted, began) = (span.place(job.submitted), span.place(began));
            let start = began.unwrap_or(0);
            if let Some(wake) = self.collectors.get(&job.number).and_then(|at| self.wakes.get_mut(*at)) {
                let arrived = wake.time + wake.delay;
                *wake = Wake {
                    time: ended,
                    from: Some(row),
                    label: Some(job.label),
                    delay: arrived.saturating_sub(ended),
                    ..*wake
                };
            }
            let (label, kind) = (Some(job.label), SliceKind::Job);
            self.slices.push(Slice { start, length: ended.saturating_sub(start), row, label, kind });
            let Ok(began) = began else { continue };
            let queued = submitted.unwrap_or(0);
            let delay = began.saturating_sub(queued);
            self.waits.push(Waited { start: queued, length: delay, row, what: Awaited::Label(job.label) });
            if submitted.is_ok() {
                let from = self.submitters.get(&job.number).copied();
                self.wakes.push(Wake { time: queued, from, to: row, label, delay });
            }
        }
    }

    fn add_worker(&mut self, label: u32) -> u32 {
        let lane = self.lanes.len() as u32;
        self.lanes.push(Lane { is_worker: true, threads: vec![label] });
        self.add_row(RowKind::Jobs, lane, None)
    }

    pub(super) fn add_row(&mut self, kind: RowKind, lane: u32, actor: Option<Id>) -> u32 {
        let row = self.rows.len() as u32;
        self.rows.push(Row {
            kind,
            lane,
            actor,
            created: None,
            ended: None,
            parent: None,
            label: None,
            name: Name::Unknown,
            stack: None,
        });
        row
    }

    /// Sorts the tables, and leaves out the rows that show nothing.
    pub fn finish(&mut self) {
        self.slices.sort_by_key(|slice| slice.start);
        self.wakes.sort_by_key(|wake| wake.time);
        self.waits.sort_by_key(|wait| wait.start);
        self.polls.sort_by_key(|poll| poll.start);
        let mut seen: Vec<bool> =
            self.rows.iter().map(|row| row.kind == RowKind::Actor && row.ended.is_none()).collect();
        let mut see = |row: u32| seen[row as usize] = true;
        self.slices.iter().for_each(|slice| see(slice.row));
        self.waits.iter().for_each(|wait| see(wait.row));
        for wake in &self.wakes {
            see(wake.to);
            wake.from.into_iter().for_each(&mut see);
        }
        self.waits.iter().for_each(|wait| {
            if let Awaited::Row(row) = wait.what {
                see(row);
            }
        });
        // An actor's maker may have been made after it only if its number was used again, so parents come first.
        for at in (0..self.rows.len()).rev() {
            if seen[at]
                && let Some(parent) = self.rows[at].parent
            {
                seen[parent as usize] = true;
            }
        }
        let mut places = Vec::with_capacity(seen.len());
        let mut next = 0;
        for seen in &seen {
            places.push(next);
            next += u32::from(*seen);
        }
        let place = |row: &mut u32| *row = places[*row as usize];
        let mut seen = seen.into_iter();
        self.rows.retain(|_| seen.next().unwrap_or(false));
        self.rows.iter_mut().filter_map(|row| row.parent.as_mut()).for_each(place);
        self.slices.iter_mut().for_each(|slice| place(&mut slice.row));
        for wake in &mut self.wakes {
            place(&mut wake.to);
            wake.from.as_mut().map(place);
        }
        for wait in &mut self.waits {
            place(&mut wait.row);
            if let Awaited::Row(row) = &mut wait.what {
                place(row);
            }
        }
    }
}
