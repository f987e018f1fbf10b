//! Which modes of a loop are on, as bits. Without any, a turn takes the shortest way.

/// asyncio's debug mode.
pub(super) const DEBUG: u8 = 1;
/// A watchdog watches.
pub(super) const WATCHED: u8 = 2;
/// A program's own function runs the handles.
pub(super) const TRACED: u8 = 4;
/// Metrics are counted.
pub(super) const METERED: u8 = 8;
/// A sampler looks at what it spends its time on.
pub(super) const SAMPLED: u8 = 16;
/// What happens is recorded.
pub(super) const RECORDED: u8 = 32;
/// A tester chooses what runs next.
pub(super) const ORDERED: u8 = 64;
/// What runs is noted in a journal.
pub(super) const JOURNALED: u8 = 128;
/// The modes in which what runs is shown to other threads.
pub(super) const SHOWN: u8 = WATCHED | SAMPLED;
/// The modes in which items are shown while they run.
pub(super) const LOOKED_AT: u8 = SHOWN | METERED | RECORDED;
/// The modes in which a turn is slower than usual.
pub(super) const ANY: u8 = u8::MAX;
/// The modes in which events are shown, too.
pub(super) const SHOWING_EVENTS: u8 = ANY & !METERED;
