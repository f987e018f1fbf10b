//! Sleepers: values that wait in a loop until somebody names their key.
//!
//! A key is a plain number. So a thread can carry it, post it and drop it without touching the value. The value stays with
//! the loop. Invariant: a key names its value until that is taken, and nothing after that.

use std::num::NonZeroU64;

use crate::ready::OutOfMemory;

/// Generations use 31 bits, so that a key has room for one more bit.
const LAST_GENERATION: u32 = u32::MAX >> 1;

/// Names one sleeper of a loop.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SleeperKey(NonZeroU64);

impl SleeperKey {
    fn new(index: u32, generation: u32) -> Self {
        let bits = u64::from(generation) << 32 | u64::from(index);
        Self(NonZeroU64::new(bits).expect("generations begin with 1"))
    }

    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        NonZeroU64::new(bits).map(Self)
    }

    pub(crate) fn to_bits(self) -> u64 {
        self.0.get()
    }

    fn index(self) -> usize {
        self.0.get() as u32 as usize
    }

    fn generation(self) -> u32 {
        (self.0.get() >> 32) as u32
    }
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    value: Option<T>,
}

/// The sleepers of one loop, by key.
#[derive(Debug)]
pub struct Sleepers<T> {
    places: Vec<Place<T>>,
    /// Places without a value.
    free: Vec<u32>,
}

impl<T> Sleepers<T> {
    /// No sleepers.
    #[must_use]
    pub const fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }

    /// Adds a sleeper.
    ///
    /// # Errors
    ///
    /// Hands the value back if there is no memory for it.
    pub fn add(&mut self, value: T) -> Result<SleeperKey, OutOfMemory<T>> {
        if let Some(index) = self.free.pop() {
            let place = &mut self.places[index as usize];
            place.value = Some(value);
            return Ok(SleeperKey::new(index, place.generation));
        }
        // Room to free all of them, so that `take` needs no memory.
        let reserved =
            self.places.try_reserve(1).is_ok() && self.free.try_reserve(self.places.len() + 1).is_ok();
        let Some(index) = u32::try_from(self.places.len()).ok().filter(|_| reserved) else {
            return Err(OutOfMemory(value));
        };
        self.places.push(Place { generation: 1, value: Some(value) });
        Ok(SleeperKey::new(index, 1))
    }

    /// The sleeper that `key` names.
    #[inline]
    pub fn get(&self, key: SleeperKey) -> Option<&T> {
        let place = self.places.get(key.index()).filter(|place| place.generation == key.generation())?;
        place.value.as_ref()
    }

    /// Takes out the sleeper that `key` names.
    pub fn take(&mut self, key: SleeperKey) -> Option<T> {
        let place = self.places.get_mut(key.index()).filter(|place| place.generation == key.generation())?;
        let value = place.value.take()?;
        place.generation = if place.generation == LAST_GENERATION { 1 } else { place.generation + 1 };
        self.free.push(key.index() as u32);
        Some(value)
    }

    /// All sleepers, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().filter_map(|place| place.value.as_ref())
    }
}

impl<T> Default for Sleepers<T> {
    fn default() -> Self {
        Self::new()
    }
}
