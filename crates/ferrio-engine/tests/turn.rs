//! Turns: what runs when, when the loop sleeps, and how virtual time passes.

use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use ferrio_engine::{Clock, Engine, Events, Interest, Plan, Wait};

type Item = u32;

fn on_virtual_time() -> io::Result<Engine<Item>> {
    Engine::new(Clock::virtual_at(1_000))
}

/// The batch of one turn.
fn batch(engine: &mut Engine<Item>) -> Vec<Item> {
    let length = engine.begin_turn();
    (0..length).filter_map(|_| engine.pop()).collect()
}

/// Turns until nothing is left to do, as a host does; returns the items and the times at which they ran.
fn run(engine: &mut Engine<Item>) -> io::Result<Vec<(u64, Item)>> {
    let (mut events, mut ran) = (Events::with_capacity(16), Vec::new());
    loop {
        let items = batch(engine);
        ran.extend(items.into_iter().map(|item| (engine.clock.now(), item)));
        if engine.ready.is_empty() && engine.timers.is_empty() {
            return Ok(ran);
        }
        if let Some(wait) = engine.plan(false).wait() {
            engine.reactor().clone().wait(&mut events, wait)?;
        }
        engine.finish_wait();
    }
}

#[test]
fn batch_is_what_was_ready_when_the_turn_began() -> io::Result<()> {
    let mut engine = on_virtual_time()?;
    engine.ready.push(1).expect("there is memory");
    engine.ready.push(2).expect("there is memory");
    assert_eq!(engine.begin_turn(), 2);
    assert_eq!(engine.pop(), Some(1));
    engine.ready.push(3).expect("there is memory");
    assert_eq!(engine.pop(), Some(2));
    assert_eq!(engine.plan(false), Plan::Skip);
    assert_eq!(batch(&mut engine), [3]);
    Ok(())
}

#[test]
fn busy_is_whoever_has_an_item_a_post_or_a_timer_that_is_due() -> io::Result<()> {
    let mut engine = on_virtual_time()?;
    assert!(!engine.is_busy());
    engine.timers.insert(1_001, 9).expect("there is memory");
    assert!(!engine.is_busy());
    engine.timers.insert(1_000, 1).expect("there is memory");
    assert!(engine.is_busy());
    assert_eq!(batch(&mut engine), [1]);
    assert!(!engine.is_busy());
    assert_eq!(engine.inbox().post(2), Ok(()));
    assert!(engine.is_busy());
    assert_eq!(batch(&mut engine), [2]);
    engine.ready.push(3).expect("there is memory");
    assert!(engine.is_busy());
    Ok(())
}

#[test]
fn turn_takes_ready_items_then_posts_then_due_timers() -> io::Result<()> {
    let mut engine = on_virtual_time()?;
    engine.timers.insert(1_000, 4).expect("there is memory");
    engine.timers.insert(900, 3).expect("there is memory");
    engine.timers.insert(1_001, 9).expect("there is memory");
    assert_eq!(engine.inbox().post(2), Ok(()));
    engine.ready.push(1).expect("there is memory");
    assert_eq!(batch(&mut engine), [1, 2, 3, 4]);
    assert_eq!(engine.timers.len(), 1);
    Ok(())
}

#[test]
fn what_was_posted_earlier_runs_earlier() -> io::Result<()> {
    let mut engine = on_virtual_time()?;
    assert_eq!(engine.inbox().post(1), Ok(()));
    engine.push(2).expect("there is memory");
    assert_eq!(engine.inbox().post(3), Ok(()));
    engine.push(4).expect("there is memory");
    assert_eq!(batch(&mut engine), [1, 2, 3, 4]);
    Ok(())
}

#[test]
fn idle_engine_sleeps_for_good_and_says_so_to_posters() -> io::Result<()> {
    for clock in [Clock::monotonic(), Clock::virtual_at(0)] {
        let mut engine = Engine::<Item>::new(clock)?;
        assert_eq!(batch(&mut engine), []);
        assert_eq!(engine.plan(false), Plan::Sleep(Wait::Forever));
        assert_eq!(engine.inbox().post(5), Ok(()), "wakes");
        engine.reactor().clone().wait(&mut Events::with_capacity(1), Wait::Forever)?;
        engine.finish_wait();
        assert_eq!(batch(&mut engine), [5]);
    }
    Ok(())
}

#[test]
fn no_sleep_after_a_post_or_a_wake() -> io::Result<()> {
    let mut engine = on_virtual_time()?;
    assert_eq!(batch(&mut engine), []);
    assert_eq!(engine.inbox().post(5), Ok(()));
    assert_eq!(engine.plan(false), Plan::Skip);
    assert_eq!(batch(&mut engine), [5]);
    engine.inbox().wake();
    assert_eq!(engine.plan(false), Plan::Skip);
    engine.finish_wait();
    assert_eq!(batch(&mut engine), []);
    assert_eq!(engine.plan(false), Plan::Sleep(Wait::Forever));
    Ok(())
}

#[test]
fn plan_works_after_a_host_that_failed_to_finish_its_wait() -> io::Result<()> {
    let mut engine = on_virtual_time()?;
    assert_eq!(engine.plan(false), Plan::Sleep(Wait::Forever));
    // Something like a KeyboardInterrupt made the host leave its turn.
    assert_eq!(engine.begin_turn(), 0);
    assert_eq!(engine.plan(false), Plan::Sleep(Wait::Forever));
    Ok(())
}

#[test]
fn real_timers_fire_in_order_and_never_early() -> io::Result<()> {
    let mut engine = Engine::new(Clock::monotonic())?;
    let start = engine.clock.now();
    for (micros, item) in [(3_000, 3), (1_000, 1), (2_000, 2), (10, 0)] {
        engine.timers.insert(start + micros * 1_000, item).expect("there is memory");
    }
    let ran = run(&mut engine)?;
    assert_eq!(ran.iter().map(|&(_, item)| item).collect::<Vec<_>>(), [0, 1, 2, 3]);
    for ((time, item), micros) in ran.into_iter().zip([10, 1_000, 2_000, 3_000]) {
        assert!(time >= start + micros * 1_000, "item {item} ran early");
    }
    Ok(())
}

#[test]
fn busy_loop_fires_timers_and_never_early() -> io::Result<()> {
    let mut engine = Engine::<Item>::new(Clock::monotonic())?;
    let start = engine.clock.now();
    for (millis, item) in [(1, 1), (30, 2), (45, 3)] {
        engine.timers.insert(start + millis * 1_000_000, item).expect("there is memory");
    }
    let mut fired = Vec::new();
    engine.ready.push(0).expect("there is memory");
    while fired.len() < 3 {
        for item in batch(&mut engine) {
            match item {
                0 => engine.ready.push(0).expect("there is memory"),
                item => fired.push((item, engine.clock.now())),
            }
        }
        assert_eq!(engine.plan(false), Plan::Skip);
    }
    for ((item, time), (expected, millis)) in fired.into_iter().zip([(1, 1), (2, 30), (3, 45)]) {
        assert_eq!(item, expected);
        assert!(time >= start + millis * 1_000_000, "item {item} ran early");
    }
    Ok(())
}

#[test]
fn sleep_lasts_until_the_next_live_deadline() -> io::Result<()> {
    let mut engine = Engine::new(Clock::monotonic())?;
    let now = engine.clock.now();
    let sooner = engine.timers.insert(now + 1_000_000_000_000, 1).expect("there is memory");
    engine.timers.insert(now + 2_000_000_000_000, 2).expect("there is memory");
    let wait = |engine: &mut Engine<Item>| match engine.plan(false) {
        Plan::Sleep(Wait::Until(time)) => time.as_secs(),
        plan => panic!("planned {plan:?}"),
    };
    assert_eq!(wait(&mut engine), 999);
    engine.timers.cancel(sooner);
    assert_eq!(wait(&mut engine), 1_999);
    Ok(())
}

#[test]
fn timers_are_due_by_the_hosts_clock_while_it_has_one() -> io::Result<()> {
    let mut engine = Engine::new(Clock::monotonic())?;
    engine.timers.insert(5_000, 1).expect("there is memory");
    engine.timers.insert(9_000, 2).expect("there is memory");
    engine.tell_time(Some(4_000));
    assert_eq!(batch(&mut engine), []);
    assert_eq!(engine.plan(false), Plan::Sleep(Wait::Until(Duration::from_nanos(1_000))));
    engine.finish_wait();
    engine.tell_time(Some(5_000));
    assert_eq!(engine.plan(false), Plan::Skip);
    assert_eq!(batch(&mut engine), [1]);
    engine.tell_time(None);
    assert_eq!(batch(&mut engine), [2], "its own clock began when the machine did");
    Ok(())
}

#[test]
fn virtual_time_jumps_by_what_the_hosts_clock_lacks() -> io::Result<()> {
    let mut engine = on_virtual_time()?;
    engine.timers.insert(5_000, 1).expect("there is memory");
    engine.tell_time(Some(4_000));
    assert_eq!(engine.plan(false), Plan::Skip);
    assert_eq!(engine.clock.now(), 2_000);
    Ok(())
}

#[test]
fn virtual_time_jumps_from_deadline_to_deadline() -> io::Result<()> {
    let mut engine = on_virtual_time()?;
    let year = 365 * 24 * 3_600 * 1_000_000_000;
    for (time, item) in [(year, 3), (1_000, 1), (5_000, 2), (year, 4)] {
        engine.timers.insert(time, item).expect("there is memory");
    }
    assert_eq!(run(&mut engine)?, [(1_000, 1), (5_000, 2), (year, 3), (year, 4)]);
    Ok(())
}

#[test]
fn virtual_time_waits_for_jobs_and_descriptors() -> io::Result<()> {
    let mut engine = on_virtual_time()?;
    engine.timers.insert(5_000, 1).expect("there is memory");
    assert_eq!(batch(&mut engine), []);
    let Plan::Sleep(Wait::Until(left)) = engine.plan(true) else { panic!("a job is out") };
    assert!(left.as_nanos() <= 4_000);
    assert_eq!(engine.clock.now(), 1_000);
    engine.finish_wait();

    let (ours, mut theirs) = UnixStream::pair()?;
    engine.reactor().register(ours.as_raw_fd(), 1, Interest::READABLE)?;
    theirs.write_all(b"x")?;
    assert_eq!(engine.plan(false), Plan::Poll, "input may be there");
    engine.finish_wait();
    engine.ready.push(7).expect("there is memory");
    assert_eq!(batch(&mut engine), [7]);
    assert_eq!(engine.plan(false), Plan::Poll, "there was work, so look again");
    engine.finish_wait();
    engine.saw_events();
    assert_eq!(batch(&mut engine), []);
    assert_eq!(engine.plan(false), Plan::Poll, "there were events, so look again");
    engine.finish_wait();
    assert_eq!(batch(&mut engine), []);
    assert_eq!(engine.plan(false), Plan::Skip);
    assert_eq!(engine.clock.now(), 5_000);
    assert_eq!(batch(&mut engine), [1]);
    Ok(())
}

#[test]
fn virtual_time_does_not_wait_for_jobs_longer_than_real_time_would() -> io::Result<()> {
    let mut engine = on_virtual_time()?;
    engine.timers.insert(2_001_000, 1).expect("there is memory");
    engine.timers.insert(4_001_000, 2).expect("there is memory");
    for deadline in [2_001_000, 4_001_000] {
        let begun = Clock::monotonic().now();
        // Woken again and again, as by jobs that come back. The time that has passed counts.
        while let Plan::Sleep(Wait::Until(_)) = engine.plan(true) {
            engine.finish_wait();
        }
        assert_eq!(engine.clock.now(), deadline);
        assert!(Clock::monotonic().now() - begun >= 2_000_000);
        assert_eq!(batch(&mut engine).len(), 1);
    }
    Ok(())
}

#[test]
fn busy_loop_looks_at_the_descriptors_in_each_turn() -> io::Result<()> {
    for clock in [Clock::monotonic(), Clock::virtual_at(0)] {
        let mut engine = Engine::<Item>::new(clock)?;
        let (ours, _theirs) = UnixStream::pair()?;
        engine.reactor().register(ours.as_raw_fd(), 1, Interest::READABLE)?;
        engine.ready.push(0).expect("there is memory");
        for _ in 0..1_000 {
            assert_eq!(batch(&mut engine), [0]);
            engine.ready.push(0).expect("there is memory");
            assert_eq!(engine.plan(false), Plan::Poll);
            engine.finish_wait();
        }
        engine.reactor().deregister(ours.as_raw_fd())?;
        assert_eq!(engine.plan(false), Plan::Skip);
    }
    Ok(())
}

#[test]
fn loop_without_descriptors_never_polls() -> io::Result<()> {
    let mut engine = Engine::<Item>::new(Clock::monotonic())?;
    for _ in 0..1_000 {
        engine.ready.push(0).expect("there is memory");
        assert_eq!(batch(&mut engine), [0]);
        engine.ready.push(0).expect("there is memory");
        assert_eq!(engine.plan(false), Plan::Skip);
        assert_eq!(batch(&mut engine), [0]);
    }
    Ok(())
}

#[test]
fn posts_from_another_thread_end_real_sleeps() -> io::Result<()> {
    let mut engine = Engine::<Item>::new(Clock::monotonic())?;
    let inbox = engine.inbox().clone();
    let poster = thread::spawn(move || {
        for item in 0..1_000 {
            assert_eq!(inbox.post(item), Ok(()));
            if item % 7 == 0 {
                thread::yield_now();
            }
        }
    });
    let (mut events, mut next) = (Events::with_capacity(4), 0);
    while next < 1_000 {
        for item in batch(&mut engine) {
            assert_eq!(item, next);
            next += 1;
        }
        if next < 1_000 {
            if let Some(wait) = engine.plan(true).wait() {
                engine.reactor().clone().wait(&mut events, wait)?;
            }
            engine.finish_wait();
        }
    }
    assert!(poster.join().is_ok());
    Ok(())
}
