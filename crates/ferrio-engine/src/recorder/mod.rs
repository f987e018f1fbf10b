//! What happened on a loop, as a ring of small events that the loop's thread writes while it works.
//!
//! An event is two words: what happened to whom, and when. It tells where something begins; it ends where the next thing
//! begins. What comes right before another event needs no time of its own, and has room for a value instead. The host
//! says who an actor is (a task), and numbers its labels. [`picture`] shows them as slices, waits and wake-ups.
//!
//! Invariants: a ring allocates nothing while it records, once it has its room. The oldest events are overwritten, and
//! counted. An actor's number may be used again after its end.

pub mod jobs;
pub mod picture;
mod replay;
mod ticks;

pub use self::ticks::{Moment, Scale, Ticker, Ticks};
use crate::ready::OutOfMemory;

/// An actor's number or a label: what fits beside the kind of an event.
pub type Id = u64;

/// How many bits an [`Id`] has.
pub const ID_BITS: u32 = 56;

/// The label of a wake-up that came from outside of the loop's thread.
pub const OUTSIDE: u32 = 0;

/// What happened.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    // With a time.
    /// A step of an actor begins.
    Step = 1,
    /// A call with this label begins.
    Call,
    /// A call that a timer brought about begins, with this label.
    Timer,
    /// The handling of an event on a descriptor begins, with this label.
    Io,
    /// Nothing more runs.
    Idle,
    /// The loop begins to wait in the kernel.
    Sleep,
    /// The wait in the kernel is over; the loop waits for its host's interpreter.
    Awake,
    /// The loop's thread, whose name has this label, begins to run the loop.
    Run,
    /// What runs is set aside for something inside of it.
    Inner,
    /// What was set aside last goes on.
    Outer,
    /// An actor was made by what runs.
    Made,
    /// An actor was woken by what runs.
    Wake,
    /// An actor was woken from outside of the loop's thread.
    WakeOutside,
    /// What runs handed a job with this number to other threads.
    Submit,
    /// What runs was told that the job with this number has ended; whom it wakes next waited for that.
    Collect,
    // Without a time: the next event has it.
    /// The actor waits from now on, for what the value labels.
    Await = 32,
    /// The actor waits from now on for the actor whose number is the value.
    AwaitActor,
    /// The actor has ended. The value is an [`End`] and the label of what it ran (see [`ended`]).
    Ended,
    /// The value is the number in the name of the actor.
    Number,
    /// The next bytes of the name of the actor of the last event that names one.
    Text,
    /// The value is the number of the stack in which the actor was made.
    Origin,
}

impl Kind {
    const ALL: [Self; 21] = [
        Self::Step,
        Self::Call,
        Self::Timer,
        Self::Io,
        Self::Idle,
        Self::Sleep,
        Self::Awake,
        Self::Run,
        Self::Inner,
        Self::Outer,
        Self::Made,
        Self::Wake,
        Self::WakeOutside,
        Self::Submit,
        Self::Collect,
        Self::Await,
        Self::AwaitActor,
        Self::Ended,
        Self::Number,
        Self::Text,
        Self::Origin,
    ];

    /// Whether such events have a time.
    fn has_time(self) -> bool {
        (self as u8) < Self::Await as u8
    }
}

/// How an actor ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum End {
    /// It returned.
    Finished = 0,
    /// It was cancelled.
    Cancelled,
    /// It raised an error.
    Failed,
    /// It hadn't ended when its loop was closed.
    Abandoned,
}

/// The value of [`Kind::Ended`].
#[inline]
pub fn ended(how: End, label: u32) -> u64 {
    (how as u64) << 32 | u64::from(label)
}

/// The end and the label in the value of [`Kind::Ended`].
fn end_of(value: u64) -> (End, u32) {
    let how = match value >> 32 {
        0 => End::Finished,
        1 => End::Cancelled,
        2 => End::Failed,
        _ => End::Abandoned,
    };
    (how, value as u32)
}

/// One event.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Event {
    kind_and_id: u64,
    /// The time, or a value.
    value: u64,
}

impl Event {
    /// An event; `value` is its time if it has one.
    #[inline]
    pub fn new(kind: Kind, id: Id, value: u64) -> Self {
        debug_assert!(id < 1 << ID_BITS, "an id has {ID_BITS} bits");
        Self { kind_and_id: (kind as u64) << ID_BITS | id, value }
    }

    fn kind(self) -> Option<Kind> {
        let code = (self.kind_and_id >> ID_BITS) as u8;
        Kind::ALL.into_iter().find(|kind| *kind as u8 == code)
    }

    fn id(self) -> Id {
        self.kind_and_id & ((1 << ID_BITS) - 1)
    }

    /// The bytes of a [`Kind::Text`].
    fn text(self) -> impl Iterator<Item = u8> {
        let bytes = self.value.to_le_bytes().into_iter().chain(self.id().to_le_bytes());
        bytes.take_while(|byte| *byte != 0)
    }
}

/// How many bytes a [`Kind::Text`] has.
const TEXT: usize = 15;

/// The longest text that is kept, in events.
const TEXTS: usize = 6;

/// The latest events of one loop.
#[derive(Debug)]
pub struct Ring {
    ticker: Ticker,
    events: Vec<Event>,
    mask: u64,
    written: u64,
}

impl Ring {
    /// A ring for that many events, rounded up to a power of two.
    ///
    /// # Errors
    ///
    /// If there is no memory for it.
    pub fn new(ticker: Ticker, capacity: usize) -> Result<Self, OutOfMemory<()>> {
        let capacity = capacity.max(2).checked_next_power_of_two().ok_or(OutOfMemory(()))?;
        let mut events = Vec::new();
        // The system gives the memory when it is first written.
        events.try_reserve_exact(capacity).map_err(|_| OutOfMemory(()))?;
        Ok(Self { ticker, events, mask: capacity as u64 - 1, written: 0 })
    }

    /// Records an event that happens now.
    #[inline]
    pub fn note(&mut self, kind: Kind, id: Id) {
        self.note_at(kind, id, self.ticker.now());
    }

    /// Records an event of an earlier moment.
    #[inline]
    pub fn note_at(&mut self, kind: Kind, id: Id, time: Ticks) {
        debug_assert!(kind.has_time());
        self.push(Event::new(kind, id, time));
    }

    /// Records an event without a time of its own.
    #[inline]
    pub fn add(&mut self, kind: Kind, id: Id, value: u64) {
        debug_assert!(!kind.has_time());
        self.push(Event::new(kind, id, value));
    }

    /// Records a name of the actor that was named last, as far as there is room for it.
    pub fn add_text(&mut self, text: &str) {
        for bytes in text.as_bytes().chunks(TEXT).take(TEXTS) {
            let mut padded = [0; 16];
            padded[..bytes.len()].copy_from_slice(bytes);
            let [value, id] = [&padded[..8], &padded[8..]]
                .map(|half| u64::from_le_bytes(half.try_into().expect("a half has eight bytes")));
            self.push(Event::new(Kind::Text, id, value));
        }
    }

    #[inline]
    fn push(&mut self, event: Event) {
        let at = (self.written & self.mask) as usize;
        self.written += 1;
        match self.events.get_mut(at) {
            Some(place) => *place = event,
            None => self.events.push(event),
        }
    }

    /// How many events were overwritten.
    pub fn lost(&self) -> u64 {
        self.written - self.events.len() as u64
    }

    /// The events that are left, the oldest first.
    pub fn copy(&self) -> Vec<Event> {
        if self.lost() == 0 {
            return self.events.clone();
        }
        let oldest = (self.written & self.mask) as usize;
        [&self.events[oldest..], &self.events[..oldest]].concat()
    }

    /// The time of the newest event that has one; `None` if there is none.
    pub fn latest(&self) -> Option<Ticks> {
        let newest = self.written.checked_sub(1)?;
        (0..=newest.min(self.mask)).find_map(|back| {
            let event = self.events.get(((newest - back) & self.mask) as usize)?;
            event.kind().filter(|kind| kind.has_time()).map(|_| event.value)
        })
    }
}
