//! In which order a loop runs what is ready, when a tester decides it.
//!
//! Before each item the loop shows the candidates, and an [`Order`] chooses one. A candidate has a [`Key`]: items with
//! the same key keep their order, so only the first of them is a candidate. What was chosen is kept, so a run can be
//! repeated by its numbers ([`Order::fixed`]), or searched through.
//!
//! Invariant: the same candidates and the same seed give the same choices, on every machine.

use std::collections::HashMap;

/// Says which items keep their order among themselves: a task, or everything that is first in, first out.
pub type Key = u64;

/// How many candidates a choice has at most. With more, the first of them stand for all.
pub const CANDIDATES: usize = 64;

/// After so many choices in a row, an item that runs again and again gives way to the others.
const PATIENCE: u32 = 100;

/// One choice.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Choice {
    /// Which candidate, from zero on; zero is the one that has waited longest.
    pub chosen: u32,
    /// How many there were; at least two.
    pub of: u32,
}

/// Chooses, and remembers what it chose.
#[derive(Debug)]
pub struct Order {
    strategy: Strategy,
    choices: Vec<Choice>,
    departed: Option<usize>,
}

#[derive(Debug)]
enum Strategy {
    Fixed(Vec<u32>),
    Random(Random),
    Priorities(Priorities),
}

impl Order {
    /// Repeats choices. After the last, and where one isn't possible, the oldest candidate is chosen.
    pub fn fixed(choices: Vec<u32>) -> Self {
        Self::by(Strategy::Fixed(choices))
    }

    /// Chooses at random, each candidate with the same probability.
    pub fn random(seed: u64) -> Self {
        Self::by(Strategy::Random(Random(seed)))
    }

    /// Probabilistic concurrency testing (Burckhardt and others, 2010): each key has a random priority, the highest goes
    /// first, and at `depth - 1` random ones of the first `length` choices the key that would go falls behind all others. Finds
    /// a fault that needs `depth` orderings with a probability that is known.
    pub fn by_priorities(seed: u64, depth: usize, length: usize) -> Self {
        let mut random = Random(seed);
        let mut changes: Vec<_> =
            (1..depth.max(1)).map(|_| random.below(length.max(1) as u64) as usize).collect();
        changes.sort_unstable();
        let known = HashMap::new();
        Self::by(Strategy::Priorities(Priorities {
            random,
            known,
            changes,
            lowest: 0,
            last: None,
            in_a_row: 0,
        }))
    }

    fn by(strategy: Strategy) -> Self {
        Self { strategy, choices: Vec::new(), departed: None }
    }

    /// Chooses one of the candidates, of which there is at least one; they are in the order in which they became ready.
    pub fn choose(&mut self, candidates: &[Key]) -> usize {
        let of = candidates.len();
        if of < 2 {
            return 0;
        }
        let at = self.choices.len();
        let chosen = match &mut self.strategy {
            Strategy::Fixed(choices) => match choices.get(at) {
                Some(choice) if (*choice as usize) < of => *choice as usize,
                Some(_) => {
                    self.departed.get_or_insert(at);
                    0
                }
                None => 0,
            },
            Strategy::Random(random) => random.below(of as u64) as usize,
            Strategy::Priorities(priorities) => priorities.choose(at, candidates),
        };
        self.choices.push(Choice { chosen: chosen as u32, of: of as u32 });
        chosen
    }

    /// Notes what somebody else has chosen of so many candidates.
    pub fn note(&mut self, chosen: usize, of: usize) {
        if of >= 2 {
            self.choices.push(Choice { chosen: chosen as u32, of: of as u32 });
        }
    }

    /// What was chosen, where there was a choice.
    pub fn choices(&self) -> &[Choice] {
        &self.choices
    }

    /// The first of the fixed choices that wasn't possible.
    pub fn departed(&self) -> Option<usize> {
        self.departed
    }
}

/// SplitMix64, which may begin with any state.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// The strategy of [`Order::by_priorities`].
#[derive(Debug)]
struct Priorities {
    random: Random,
    known: HashMap<Key, i64>,
    /// At which choices somebody falls behind, in order.
    changes: Vec<usize>,
    lowest: i64,
    last: Option<Key>,
    in_a_row: u32,
}

impl Priorities {
    fn choose(&mut self, at: usize, candidates: &[Key]) -> usize {
        for key in candidates {
            // Above zero; below are those that fell behind.
            self.known.entry(*key).or_insert_with(|| (self.random.next() >> 1) as i64);
        }
        let mut highest = self.highest(candidates);
        let tired = self.last == Some(candidates[highest]) && self.in_a_row >= PATIENCE;
        if tired || self.changes.first().is_some_and(|change| *change <= at) {
            if !tired {
                self.changes.remove(0);
            }
            self.lowest -= 1;
            self.known.insert(candidates[highest], self.lowest);
            highest = self.highest(candidates);
        }
        let chosen = Some(candidates[highest]);
        self.in_a_row = if self.last == chosen { self.in_a_row + 1 } else { 0 };
        self.last = chosen;
        highest
    }

    fn highest(&self, candidates: &[Key]) -> usize {
        let of = |key: &Key| self.known.get(key).copied().unwrap_or(0);
        (0..candidates.len()).max_by_key(|at| (of(&candidates[*at]), usize::MAX - at)).unwrap_or(0)
    }
}
