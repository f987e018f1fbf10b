//! The timers. Oracle: a list of live timers that is searched from end to end.

use ferrio_engine::{ReadyQueue, Timers};

use super::input::Input;

/// Timers that neither fired nor were cancelled: deadline, and number in the order of insertion.
#[derive(Default)]
struct Model(Vec<(u64, u64)>);

impl Model {
    fn pop_due(&mut self, now: u64) -> Option<u64> {
        let (_, number) = self.0.iter().copied().min().filter(|(deadline, _)| *deadline <= now)?;
        self.cancel(number)
    }

    fn cancel(&mut self, number: u64) -> Option<u64> {
        let place = self.0.iter().position(|(_, other)| *other == number)?;
        Some(self.0.remove(place).1)
    }
}

/// Steps: a timer or many, one cancelled or many, time that passes.
pub(crate) fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let (mut timers, mut model, mut keys, mut now) = (Timers::new(), Model::default(), Vec::new(), 0_u64);
    while !input.is_empty() {
        match input.below(8) {
            kind @ 0..=2 => {
                let count = if kind == 0 { input.below(200) >> input.below(4) } else { 1 };
                let far = if kind == 1 { u64::from(input.byte()) } else { input.long() >> input.below(64) };
                for _ in 0..count {
                    let (deadline, number) = (now.saturating_add(far), keys.len() as u64);
                    keys.push(timers.insert(deadline, number).expect("there is memory"));
                    model.0.push((deadline, number));
                }
            }
            kind @ 3..=4 => {
                let (first, count) = (
                    usize::from(input.short()),
                    if kind == 3 { 1 } else { input.below(200) >> input.below(4) },
                );
                for place in (0..count).filter(|_| !keys.is_empty()).map(|more| (first + more) % keys.len()) {
                    let expected = model.cancel(place as u64);
                    assert_eq!(timers.get(keys[place]).copied(), expected);
                    assert_eq!(timers.cancel(keys[place]), expected);
                }
            }
            5 => {
                now = now.saturating_add(u64::from(input.byte()));
                let expected: Vec<_> = std::iter::from_fn(|| model.pop_due(now)).collect();
                let mut fired = ReadyQueue::new();
                timers.expire(now, &mut fired);
                assert_eq!(fired.drain(), expected);
            }
            6 => now = now.saturating_add(input.long() >> input.below(64)),
            _ => {
                for _ in 0..input.below(30) {
                    assert_eq!(timers.pop_due(now), model.pop_due(now));
                }
            }
        }
        assert_eq!((timers.len(), timers.is_empty()), (model.0.len(), model.0.is_empty()));
        assert_eq!(timers.next_deadline(), model.0.iter().map(|(deadline, _)| *deadline).min());
    }
    let mut left: Vec<_> = timers.entries().map(|(deadline, key, number)| (deadline, *number, key)).collect();
    left.sort_unstable_by_key(|(_, number, _)| *number);
    let expected: Vec<_> =
        model.0.iter().map(|(deadline, number)| (*deadline, *number, keys[*number as usize])).collect();
    assert_eq!(left, expected);
    for (deadline, number, key) in left {
        assert_eq!((timers.deadline(key), timers.get(key)), (Some(deadline), Some(&number)));
    }
}
