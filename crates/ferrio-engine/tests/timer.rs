//! Timers: order, cancellation, stale keys, and ten thousand random steps compared with a trivial model.
mod support;

use std::rc::Rc;

use ferrio_engine::{ReadyQueue, TimerKey, Timers};
use support::Random;

fn fire_all<T>(timers: &mut Timers<T>, now: u64) -> Vec<T> {
    let mut fired = ReadyQueue::new();
    timers.expire(now, &mut fired);
    fired.drain().into()
}

fn pop_all<T>(timers: &mut Timers<T>) -> Vec<T> {
    std::iter::from_fn(|| timers.pop_due(u64::MAX)).collect()
}

#[test]
fn key_is_eight_bytes_also_when_optional() {
    assert_eq!(size_of::<TimerKey>(), 8);
    assert_eq!(size_of::<Option<TimerKey>>(), 8);
}

#[test]
fn timers_fire_by_deadline_then_by_insertion_and_not_before() {
    let mut timers = Timers::new();
    for (deadline, name) in [(30, "e"), (10, "a"), (20, "c"), (10, "b"), (20, "d")] {
        timers.insert(deadline, name).expect("there is memory");
    }
    assert_eq!(timers.next_deadline(), Some(10));
    assert_eq!(timers.pop_due(9), None);
    assert_eq!(fire_all(&mut timers, 10), ["a", "b"]);
    assert_eq!(timers.len(), 3);
    assert_eq!(fire_all(&mut timers, u64::MAX), ["c", "d", "e"]);
    assert!(timers.is_empty());
    assert_eq!(timers.next_deadline(), None);
}

#[test]
fn cancelling_hands_the_payload_back_at_once_and_only_once() {
    let mut timers = Timers::new();
    let payload = Rc::new(());
    let first = timers.insert(1, payload.clone()).expect("there is memory");
    timers.insert(2, payload.clone()).expect("there is memory");
    timers.insert(3, payload.clone()).expect("there is memory");
    assert_eq!(Rc::strong_count(&payload), 4);
    drop(timers.cancel(first));
    assert_eq!(Rc::strong_count(&payload), 3, "not kept by the dead entry");
    assert_eq!(timers.cancel(first), None);
    assert_eq!(timers.len(), 2);
    assert_eq!(timers.next_deadline(), Some(2), "the dead timer is no deadline");
}

#[test]
fn key_of_a_timer_that_is_gone_names_nothing() {
    let mut timers = Timers::new();
    let fired = timers.insert(1, "fired").expect("there is memory");
    assert_eq!(timers.get(fired), Some(&"fired"));
    assert_eq!(timers.pop_due(1), Some("fired"));
    let heir = timers.insert(1, "heir").expect("there is memory");
    assert_ne!(fired, heir, "the slot is used again, by another key");
    assert_eq!(timers.get(fired), None);
    assert_eq!(timers.cancel(fired), None);
    assert_eq!(timers.cancel(heir), Some("heir"));
    assert_eq!(timers.get(heir), None);
}

#[test]
fn popped_timers_come_out_in_firing_order_without_the_cancelled() {
    let mut timers = Timers::new();
    let keys: Vec<_> = [4, 2, 3, 2, 1]
        .iter()
        .enumerate()
        .map(|(index, &at)| timers.insert(at, index).expect("there is memory"))
        .collect();
    timers.cancel(keys[2]);
    assert_eq!(timers.iter().copied().collect::<Vec<_>>(), [0, 1, 3, 4]);
    assert_eq!(pop_all(&mut timers), [4, 1, 3, 0]);
    assert!(timers.is_empty());
    assert_eq!(timers.cancel(keys[0]), None);
    timers.insert(9, 9).expect("there is memory");
    assert_eq!(fire_all(&mut timers, 9), [9]);
}

#[test]
fn many_timers_due_at_once_fire_in_order_without_the_cancelled() {
    let (mut timers, mut random) = (Timers::new(), Random::new(3));
    let deadlines: Vec<_> = (0..5_000u64).map(|_| random.below(100)).collect();
    let keys: Vec<_> = (0..)
        .zip(&deadlines)
        .map(|(number, &at)| timers.insert(at, number).expect("there is memory"))
        .collect();
    let mut expected: Vec<_> = (0..5_000usize).filter(|number| number % 3 != 0).collect();
    (0..5_000).step_by(3).for_each(|number| assert_eq!(timers.cancel(keys[number]), Some(number)));
    expected.sort_by_key(|&number| deadlines[number]); // stable: insertion order stays
    let due = expected.partition_point(|&number| deadlines[number] <= 60);
    assert_eq!(fire_all(&mut timers, 60), expected[..due]);
    assert_eq!(timers.len(), expected.len() - due);
    assert_eq!(timers.next_deadline(), Some(61));
    assert_eq!(fire_all(&mut timers, 99), expected[due..]);
    assert!(timers.footprint() <= 5_000);
    (0..5_000).for_each(|number| {
        timers.insert(1, number).expect("there is memory");
    });
    assert_eq!(timers.footprint(), 5_000, "every slot was freed");
}

#[test]
fn cancelled_timers_take_no_lasting_room() {
    // A server that sets a timeout for each request and cancels it: the set must not grow with the requests served.
    let mut timers = Timers::new();
    timers.insert(u64::MAX, 0).expect("there is memory");
    let mut pending = std::collections::VecDeque::new();
    let mut greatest = 0;
    for request in 0..100_000u64 {
        pending.push_back(timers.insert(1_000_000 + request, request).expect("there is memory"));
        if pending.len() > 50 {
            let key = pending.pop_front().expect("more than fifty");
            assert_eq!(timers.cancel(key), Some(request - 50));
        }
        greatest = greatest.max(timers.footprint());
    }
    assert_eq!(timers.len(), 51);
    assert!(greatest <= 200, "{greatest} slots for 51 live timers");
}

/// The model: a list of live timers that is searched from end to end.
#[derive(Default)]
struct Model {
    live: Vec<(u64, u64)>, // deadline, number in the order of insertion
}

impl Model {
    fn pop_due(&mut self, now: u64) -> Option<u64> {
        let (deadline, number) = self.live.iter().copied().min()?;
        if deadline > now {
            return None;
        }
        self.live.retain(|&(_, other)| other != number);
        Some(number)
    }

    fn cancel(&mut self, number: u64) -> Option<u64> {
        let index = self.live.iter().position(|&(_, other)| other == number)?;
        Some(self.live.swap_remove(index).1)
    }
}

#[test]
fn random_steps_agree_with_the_model() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        // Some runs insert more, some cancel more; some have few distinct deadlines, some many.
        let (inserts, cancels) = (2 + random.below(5), 1 + random.below(6));
        let spread = 1 + random.below([3, 50, 1_000_000][seed as usize % 3]);
        let (mut timers, mut model, mut keys) = (Timers::new(), Model::default(), Vec::new());
        let mut now = 0;
        for _ in 0..3_000 {
            let choice = random.below(inserts + cancels + 2);
            if choice < inserts {
                let (deadline, number) = (now + random.below(spread), keys.len() as u64);
                keys.push(timers.insert(deadline, number).expect("there is memory"));
                model.live.push((deadline, number));
            } else if choice < inserts + cancels && !keys.is_empty() {
                // Any key that was ever returned; recent ones more often, as in practice.
                let back = random.below(keys.len() as u64).min(random.below(200));
                let number = keys.len() as u64 - 1 - back;
                let (expected, key) = (model.cancel(number), keys[number as usize]);
                assert_eq!(timers.get(key).copied(), expected, "seed {seed}");
                assert_eq!(timers.cancel(key), expected, "seed {seed}");
            } else {
                now += random.below(1 + spread / 8);
                if choice & 1 == 0 {
                    let expected: Vec<_> = std::iter::from_fn(|| model.pop_due(now)).collect();
                    assert_eq!(fire_all(&mut timers, now), expected, "seed {seed}");
                } else {
                    for _ in 0..random.below(30) {
                        assert_eq!(timers.pop_due(now), model.pop_due(now), "seed {seed}");
                    }
                }
            }
            assert_eq!(timers.len(), model.live.len(), "seed {seed}");
            let earliest = model.live.iter().map(|&(deadline, _)| deadline).min();
            assert_eq!(timers.next_deadline(), earliest, "seed {seed}");
        }
        let mut alive: Vec<_> = timers.iter().copied().collect();
        let mut expected: Vec<_> = model.live.iter().map(|&(_, number)| number).collect();
        alive.sort_unstable();
        expected.sort_unstable();
        assert_eq!(alive, expected, "seed {seed}");
        let rest: Vec<_> = std::iter::from_fn(|| model.pop_due(u64::MAX)).collect();
        if seed % 2 == 0 {
            assert_eq!(pop_all(&mut timers), rest, "seed {seed}");
        } else {
            assert_eq!(fire_all(&mut timers, u64::MAX), rest, "seed {seed}");
        }
    }
}
