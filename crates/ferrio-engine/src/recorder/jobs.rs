//! Jobs in other threads: when each was handed out, when it began, when it ended.
//!
//! A job takes microseconds at least, so this needs no ring: many threads may share one store behind a lock.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use super::Ticks;

/// A job.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Job {
    /// Its number.
    pub number: u64,
    /// What it runs.
    pub label: u32,
    /// When it was handed out.
    pub submitted: Ticks,
    /// When it began, and where.
    pub began: Option<(Ticks, Worker)>,
    /// When it ended.
    pub ended: Option<Ticks>,
}

/// A thread that runs jobs.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Worker {
    /// No two threads have the same number at a time.
    pub number: u64,
    /// The label of its name.
    pub label: u32,
}

/// Hashes numbers that are counted up, which need no more than their bits spread.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(self.0 ^ u64::from(*byte)));
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

/// The latest jobs.
#[derive(Debug)]
pub struct Jobs {
    capacity: usize,
    next: u64,
    open: HashMap<u64, Job, BuildHasherDefault<Spread>>,
    over: VecDeque<Job>,
    lost: u64,
}

impl Jobs {
    /// A store that keeps that many jobs, and those that haven't ended.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, next: 0, open: HashMap::default(), over: VecDeque::new(), lost: 0 }
    }

    /// A job was handed out; returns its number.
    pub fn submit(&mut self, label: u32, now: Ticks) -> u64 {
        self.next += 1;
        let job = Job { number: self.next, label, submitted: now, began: None, ended: None };
        self.open.insert(self.next, job);
        self.next
    }

    /// A thread begins with a job.
    pub fn begin(&mut self, number: u64, worker: Worker, now: Ticks) {
        if let Some(job) = self.open.get_mut(&number) {
            job.began = Some((now, worker));
        }
    }

    /// A job has ended, or never will begin.
    pub fn end(&mut self, number: u64, now: Ticks) {
        let Some(mut job) = self.open.remove(&number) else { return };
        if job.began.is_none() {
            return;
        }
        job.ended = Some(now);
        if self.over.len() == self.capacity {
            self.over.pop_front();
            self.lost += 1;
        }
        self.over.push_back(job);
    }

    /// How many jobs were forgotten.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// All jobs that are known, those that haven't ended last.
    pub fn copy(&self) -> Vec<Job> {
        self.over.iter().chain(self.open.values()).copied().collect()
    }
}
