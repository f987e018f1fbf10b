//! Where a loop's time goes, as looks at it from another thread show: what ran, what was ready, and when things began.
//!
//! The loop's thread reads no clock for this. The looking thread says how much time each look stands for. Things are known by
//! an address, which the host may use again, and by a number, which it never does. Invariant: time is counted only for a
//! thing that existed when the look was taken.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::clock::Nanos;
use crate::sys;

/// How many looks at a counter are kept. The older ones are thinned out, so that old things have a less exact age.
const LOOKS: usize = 4096;

/// How many samples are kept until somebody settles them.
const UNSETTLED: usize = 1 << 16;

/// Waits until `fd` can be read, at most for `timeout`; returns whether it can.
///
/// # Errors
///
/// Those of `poll`, but an interruption counts as the end of the wait.
pub fn wait_readable(fd: RawFd, timeout: Duration) -> io::Result<bool> {
    match sys::socket::is_readable_within(fd, timeout) {
        Err(failure) if failure.kind() == io::ErrorKind::Interrupted => Ok(false),
        outcome => outcome,
    }
}

/// What one look has shown at an address.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// The address.
    pub address: usize,
    /// How many things there had been at that moment.
    pub created: u64,
    /// The time that the look stands for.
    pub time: Nanos,
}

/// The time that one thing has spent.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Spent {
    /// It ran.
    pub busy: Nanos,
    /// It was ready to run.
    pub ready: Nanos,
}

/// What the samples of one loop add up to.
#[derive(Debug, Default)]
pub struct Tally {
    /// The time for which samples were taken.
    pub time: Nanos,
    /// The part of it in which the loop didn't wait in the kernel.
    pub busy: Nanos,
    ran: Vec<Seen>,
    spent: HashMap<u64, Spent>,
}

impl Tally {
    /// Notes a look at the loop: for how long it stands, whether the loop was busy, and what it was running.
    pub fn look(&mut self, time: Nanos, busy: bool, ran: Option<(usize, u64)>) {
        self.time += time;
        if !busy {
            return;
        }
        self.busy += time;
        let Some((address, created)) = ran else { return };
        let unsettled = self.ran.len();
        match self.ran.last_mut() {
            Some(last) if last.address == address && last.created == created => last.time += time,
            _ if unsettled < UNSETTLED => self.ran.push(Seen { address, created, time }),
            _ => {}
        }
    }

    /// Gives the time of all looks since the last call to the things that are `alive`, and forgets the others.
    /// `alive` has the address and the number of each; `ready` is what was seen to be ready.
    pub fn settle(&mut self, ready: &[Seen], alive: impl Iterator<Item = (usize, u64)>) {
        let mut by_address: HashMap<usize, Vec<(Seen, bool)>> = HashMap::new();
        let ran = std::mem::take(&mut self.ran);
        let all = ran.iter().map(|seen| (*seen, true)).chain(ready.iter().map(|seen| (*seen, false)));
        for (seen, busy) in all {
            by_address.entry(seen.address).or_default().push((seen, busy));
        }
        let mut before = std::mem::take(&mut self.spent);
        for (address, number) in alive {
            let mut spent = before.remove(&number).unwrap_or_default();
            for (seen, busy) in by_address.get(&address).into_iter().flatten() {
                if number < seen.created {
                    *(if *busy { &mut spent.busy } else { &mut spent.ready }) += seen.time;
                }
            }
            if spent != Spent::default() {
                self.spent.insert(number, spent);
            }
        }
    }

    /// What the thing with this number has spent, as of the last settlement.
    pub fn spent(&self, number: u64) -> Spent {
        self.spent.get(&number).copied().unwrap_or_default()
    }
}

/// When a thing began.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Birth {
    /// Between the look before this time and this time.
    Until(Nanos),
    /// Before this time, which is the first look.
    Before(Nanos),
}

/// When things began, as looks at their counter show.
#[derive(Debug, Default)]
pub struct Births {
    /// How many things there had been, and when.
    looks: VecDeque<(u64, Nanos)>,
}

impl Births {
    /// Notes that `created` things have begun by now.
    pub fn look(&mut self, created: u64, now: Nanos) {
        if self.looks.back().is_some_and(|(known, _)| *known == created) {
            return;
        }
        if self.looks.len() >= LOOKS {
            let mut at = 0;
            self.looks.retain(|_| {
                at += 1;
                at > LOOKS / 2 || at % 2 == 1
            });
        }
        self.looks.push_back((created, now));
    }

    /// When the thing with this number began; the first one is 0. `None` if it began after the last look.
    pub fn of(&self, number: u64) -> Option<Birth> {
        let at = self.looks.partition_point(|(created, _)| *created <= number);
        let (_, time) = *self.looks.get(at)?;
        Some(if at == 0 { Birth::Before(time) } else { Birth::Until(time) })
    }
}

#[cfg(test)]
mod tests {
    use super::{Birth, Births, LOOKS, Seen, Tally};

    #[test]
    fn time_goes_to_what_existed_when_it_was_seen() {
        let mut tally = Tally::default();
        tally.look(5, true, Some((100, 3)));
        tally.look(5, true, Some((100, 4)));
        tally.look(5, false, None);
        // Number 3 took the address after the first look.
        tally.settle(&[Seen { address: 200, created: 4, time: 7 }], [(100, 3), (200, 1)].into_iter());
        assert_eq!((tally.spent(3).busy, tally.spent(3).ready), (5, 0));
        assert_eq!((tally.spent(1).busy, tally.spent(1).ready), (0, 7));
        assert_eq!((tally.time, tally.busy), (15, 10));
    }

    #[test]
    fn time_adds_up_and_what_is_gone_is_forgotten() {
        let mut tally = Tally::default();
        tally.look(5, true, Some((100, 1)));
        tally.settle(&[], [(100, 0)].into_iter());
        tally.look(5, true, Some((100, 1)));
        tally.look(5, true, Some((100, 1)));
        tally.settle(&[], [(100, 0)].into_iter());
        assert_eq!(tally.spent(0).busy, 15);
        tally.settle(&[], [(100, 1)].into_iter());
        assert_eq!(tally.spent(0).busy, 0);
        assert_eq!(tally.spent(1).busy, 0);
    }

    #[test]
    fn births_lie_between_two_looks() {
        let mut births = Births::default();
        births.look(2, 10);
        births.look(2, 20);
        births.look(5, 30);
        assert_eq!(births.of(1), Some(Birth::Before(10)));
        assert_eq!(births.of(2), Some(Birth::Until(30)));
        assert_eq!(births.of(4), Some(Birth::Until(30)));
        assert_eq!(births.of(5), None);
    }

    #[test]
    fn many_looks_are_thinned_out() {
        let mut births = Births::default();
        for at in 0..10 * LOOKS as u64 {
            births.look(at, at);
        }
        assert!(births.looks.len() <= LOOKS);
        let last = 10 * LOOKS as u64 - 2;
        assert_eq!(births.of(last), Some(Birth::Until(last + 1)));
        assert!(births.looks.iter().is_sorted());
    }
}
