//! The cost of polling the descriptors, how late timed waits end, and how long a wake-up takes.

mod measure;

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ferrio_engine::{Clock, Events, Interest, Reactor, Wait, Wake};
use measure::{distribution, each, measure, rounds};

const OPERATIONS: u64 = 20_000;

fn main() -> io::Result<()> {
    let reactor = Reactor::new()?;
    let mut events = Events::with_capacity(64);
    each("reactor: look, nothing ready", OPERATIONS, |_| reactor.wait(&mut events, Wait::Now));
    let (ours, theirs) = UnixStream::pair()?;
    reactor.register(ours.as_raw_fd(), 1, Interest::WRITABLE)?;
    each("reactor: look, one descriptor ready", OPERATIONS, |_| reactor.wait(&mut events, Wait::Now));
    each("reactor: timed wait, one descriptor ready", OPERATIONS, |_| {
        reactor.wait(&mut events, Wait::Until(Duration::from_secs(1)))
    });
    each("reactor: modify", OPERATIONS, |_| reactor.modify(ours.as_raw_fd(), 1, Interest::WRITABLE));
    measure("reactor: register and deregister", OPERATIONS, || {
        for _ in 0..OPERATIONS {
            let _ = reactor.register(theirs.as_raw_fd(), 2, Interest::READABLE);
            let _ = reactor.deregister(theirs.as_raw_fd());
        }
    });
    reactor.deregister(ours.as_raw_fd())?;
    let waker = reactor.waker();
    measure("reactor: wake, then a wait that returns at once", OPERATIONS, || {
        for _ in 0..OPERATIONS {
            waker.wake();
            let _ = reactor.wait(&mut events, Wait::Forever);
        }
    });
    lateness("epoll_pwait2", &reactor);
    lateness("timerfd", &Reactor::without_pwait2()?);
    wake_latency(Arc::new(reactor));
    Ok(())
}

/// How late the loop wakes after its deadline.
fn lateness(name: &str, reactor: &Reactor) {
    let (clock, mut events) = (Clock::monotonic(), Events::with_capacity(64));
    for micros in [50, 200, 1_300, 20_000, 300_000] {
        let (mut late, mut waits) = (Vec::new(), 0);
        for _ in 0..(rounds() * 20_000 / micros.max(1_000)).max(3) {
            let deadline = clock.now() + u64::from(micros) * 1_000;
            loop {
                let now = clock.now();
                if now >= deadline {
                    late.push(now - deadline);
                    break;
                }
                waits += 1;
                let _ = reactor.wait(&mut events, Wait::Until(Duration::from_nanos(deadline - now)));
            }
        }
        let waits = f64::from(waits) / late.len() as f64;
        distribution(&format!("reactor: {name}, late after {micros} us, {waits:.2} waits"), late);
    }
}

/// The time from another thread's wake-up to the return of the wait.
fn wake_latency(reactor: Arc<Reactor>) {
    let (clock, stamp) = (Clock::monotonic(), Arc::new(AtomicU64::new(0)));
    let (waker, count) = (reactor.waker(), rounds() * 100);
    let other = thread::spawn({
        let (clock, stamp) = (clock.clone(), stamp.clone());
        move || {
            for _ in 0..count {
                thread::sleep(Duration::from_micros(200));
                stamp.store(clock.now(), Ordering::SeqCst);
                waker.wake();
            }
        }
    });
    let mut events = Events::with_capacity(64);
    let mut latencies = Vec::new();
    for _ in 0..count {
        if reactor.wait(&mut events, Wait::Forever).is_ok() {
            latencies.push(clock.now() - stamp.load(Ordering::SeqCst));
        }
    }
    let _ = other.join();
    distribution("reactor: from wake to the end of the wait", latencies);
}
