//! What the engine adds to an item: turns with one item, with many, with timers, with watched descriptors.

mod measure;

use std::hint::black_box;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use ferrio_engine::{Clock, Engine, Events, Interest, Plan};
use measure::measure;

const TURNS: u64 = 100_000;

type Item = [usize; 3];

fn main() -> io::Result<()> {
    let mut events = Events::with_capacity(64);
    let mut engine = Engine::<Item>::new(Clock::monotonic())?;
    chain("one item a turn, nothing else", &mut engine, &mut events, 1);
    chain("64 items a turn, nothing else (an item)", &mut engine, &mut events, 64);

    let (ours, _theirs) = UnixStream::pair()?;
    engine.reactor().register(ours.as_raw_fd(), 1, Interest::READABLE)?;
    chain("one item a turn, a descriptor watched", &mut engine, &mut events, 1);
    chain("64 items a turn, a descriptor watched (an item)", &mut engine, &mut events, 64);

    engine.timers.insert(u64::MAX, [0; 3]).expect("there is memory");
    chain("one item a turn, a descriptor and a far timer", &mut engine, &mut events, 1);

    let mut engine = Engine::<Item>::new(Clock::monotonic())?;
    measure("turn: a timer that is due at once", TURNS, || {
        for _ in 0..TURNS {
            let now = engine.clock.now();
            engine.timers.insert(now, [0; 3]).expect("there is memory");
            turn(&mut engine, &mut events, |_, item| consume(item));
        }
    });
    measure("turn: post from outside, one item", TURNS, || {
        for _ in 0..TURNS {
            let _ = engine.inbox().post([0; 3]);
            turn(&mut engine, &mut events, |_, item| consume(item));
            // The plan has announced a sleep, but another post follows.
            engine.inbox().wake();
        }
    });
    Ok(())
}

/// `width` items, each of which queues itself again.
fn chain(name: &str, engine: &mut Engine<Item>, events: &mut Events, width: usize) {
    (0..width).for_each(|_| engine.ready.push([1; 3]).expect("there is memory"));
    measure(&format!("turn: {name}"), TURNS * width as u64, || {
        for _ in 0..TURNS {
            turn(engine, events, |engine, item| engine.ready.push(black_box(item)).expect("there is memory"));
        }
    });
    drop(engine.ready.drain());
}

fn consume(item: Item) {
    black_box(item);
}

/// One turn, as a host runs it.
fn turn(engine: &mut Engine<Item>, events: &mut Events, mut run: impl FnMut(&mut Engine<Item>, Item)) {
    for _ in 0..engine.begin_turn() {
        if let Some(item) = engine.pop() {
            run(engine, item);
        }
    }
    if let Plan::Poll = engine.plan(false) {
        let reactor = engine.reactor().clone();
        let _ = reactor.wait(events, ferrio_engine::Wait::Now);
    }
    engine.finish_wait();
}
