//! The cost of setting timers, of cancelling them and of letting them fire.

mod measure;

use std::hint::black_box;

use ferrio_engine::{ReadyQueue, Timers};
use measure::{each, measure};

const OPERATIONS: u64 = 100_000;

type Payload = [usize; 2];

/// A small linear congruential generator: the same deadlines in each run.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

fn main() {
    let mut timers = Timers::<Payload>::new();
    each("timer: insert and cancel, alone", OPERATIONS, |index| {
        let key = timers.insert(index, [0; 2]).expect("there is memory");
        timers.cancel(key)
    });
    for standing in [100u64, 10_000] {
        let mut timers = Timers::<Payload>::new();
        for index in 0..standing {
            timers.insert(1 << 40 | index, [0; 2]).expect("there is memory");
        }
        each(&format!("timer: insert and cancel before {standing} others"), OPERATIONS, |index| {
            let key = timers.insert(index, [0; 2]).expect("there is memory");
            timers.cancel(key)
        });
        each(&format!("timer: insert and cancel behind {standing} others"), OPERATIONS, |index| {
            let key = timers.insert(1 << 41 | index, [0; 2]).expect("there is memory");
            timers.cancel(key)
        });
    }
    let mut keys = Vec::with_capacity(OPERATIONS as usize);
    measure("timer: insert all, cancel all, oldest first", OPERATIONS, || {
        keys.extend((0..OPERATIONS).map(|index| timers.insert(index, [0; 2]).expect("there is memory")));
        for key in keys.drain(..) {
            black_box(timers.cancel(key));
        }
    });
    let mut ready = ReadyQueue::new();
    measure("timer: insert all, let all fire, ascending", OPERATIONS, || {
        for index in 0..OPERATIONS {
            timers.insert(index, [0; 2]).expect("there is memory");
        }
        timers.expire(u64::MAX, &mut ready);
        consume(&mut ready);
    });
    measure("timer: insert all, let all fire, random", OPERATIONS, || {
        let mut random = 1;
        for _ in 0..OPERATIONS {
            timers.insert(next_random(&mut random), [0; 2]).expect("there is memory");
        }
        timers.expire(u64::MAX, &mut ready);
        consume(&mut ready);
    });
    let mut random = 1;
    let mut timers = Timers::<Payload>::new();
    for _ in 0..1000 {
        timers.insert(next_random(&mut random), [0; 2]).expect("there is memory");
    }
    measure("timer: fire one and set it again, 1000 standing", OPERATIONS, || {
        for _ in 0..OPERATIONS {
            let due = timers.next_deadline().unwrap_or(0);
            let payload = timers.pop_due(due).unwrap_or_default();
            timers.insert(due + next_random(&mut random), payload).expect("there is memory");
        }
    });
}

fn consume(ready: &mut ReadyQueue<Payload>) {
    while let Some(payload) = ready.pop() {
        black_box(payload);
    }
}
