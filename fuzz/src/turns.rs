//! Whole turns on a virtual clock: what runs, in which order, at which time, and when the loop would sleep. Oracle: lists, and the
//! order of a turn as the engine's documentation gives it.

use std::collections::VecDeque;

use ferrio_engine::{Clock, Engine, Plan, TimerKey, Wait};

use super::input::Input;

#[derive(Default)]
struct Model {
    now: u64,
    ready: VecDeque<u64>,
    posted: VecDeque<u64>,
    /// Deadline, number in the order of insertion, item.
    timers: Vec<(u64, usize, u64)>,
    woken: bool,
}

impl Model {
    fn take_posts(&mut self) {
        self.ready.append(&mut self.posted);
    }

    fn begin_turn(&mut self) -> usize {
        self.take_posts();
        self.timers.sort_unstable();
        let due = self.timers.partition_point(|(deadline, ..)| *deadline <= self.now);
        self.ready.extend(self.timers.drain(..due).map(|(_, _, item)| item));
        self.ready.len()
    }

    fn plan(&mut self) -> Plan {
        if !self.ready.is_empty() || !self.posted.is_empty() {
            return Plan::Skip;
        }
        match self.timers.iter().min() {
            Some((deadline, ..)) => {
                self.now = self.now.max(*deadline);
                Plan::Skip
            }
            None if std::mem::take(&mut self.woken) => Plan::Skip,
            None => Plan::Sleep(Wait::Forever),
        }
    }
}

/// The engine and the model, which do the same.
struct Both {
    engine: Engine<u64>,
    model: Model,
    keys: Vec<TimerKey>,
    items: u64,
}

impl Both {
    /// What an item does when it runs, or somebody else meanwhile.
    fn act(&mut self, input: &mut Input<'_>) {
        self.items += 1;
        let item = self.items;
        match input.below(8) {
            0 => {
                self.engine.push(item).expect("there is memory");
                self.model.take_posts();
                self.model.ready.push_back(item);
            }
            1 => {
                assert_eq!(self.engine.inbox().post(item), Ok(()));
                self.model.posted.push_back(item);
            }
            2..=4 => {
                let far = u64::from(input.byte()) << input.below(40);
                let deadline = self.model.now.saturating_add(far);
                self.model.timers.push((deadline, self.keys.len(), item));
                self.keys.push(self.engine.timers.insert(deadline, item).expect("there is memory"));
            }
            5 if !self.keys.is_empty() => {
                let number = usize::from(input.short()) % self.keys.len();
                let place = self.model.timers.iter().position(|(_, other, _)| *other == number);
                let expected = place.map(|place| self.model.timers.remove(place).2);
                assert_eq!(self.engine.timers.cancel(self.keys[number]), expected);
            }
            6 => {
                self.engine.inbox().wake();
                self.model.woken = true;
            }
            _ => {}
        }
    }
}

/// Turns, whose items do something.
pub(crate) fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let engine = Engine::new(Clock::virtual_at(0)).expect("there are descriptors");
    let mut both = Both { engine, model: Model::default(), keys: Vec::new(), items: 0 };
    while !input.is_empty() {
        for _ in 0..input.below(4) {
            both.act(&mut input);
        }
        let batch = both.engine.begin_turn();
        assert_eq!(batch, both.model.begin_turn());
        for _ in 0..batch {
            assert_eq!(both.engine.pop(), both.model.ready.pop_front());
            both.act(&mut input);
        }
        assert_eq!(both.engine.is_idle(), both.model.ready.is_empty() && both.model.posted.is_empty());
        assert_eq!(both.engine.plan(false), both.model.plan());
        both.engine.finish_wait();
        assert_eq!(both.engine.clock.now(), both.model.now);
    }
}
