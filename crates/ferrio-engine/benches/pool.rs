//! How long it takes to hand over a blocking job and to get its result back.

mod measure;

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ferrio_engine::{Pool, Submit};
use measure::{distribution, measure, rounds};

const JOBS: u64 = 10_000;

type Job = Box<dyn FnOnce() + Send>;

fn main() {
    for limit in [1, 8] {
        for micros in [0, 10, 20, 50] {
            let pool = Arc::new(Pool::<Job>::with_spin(limit, Duration::from_micros(micros)));
            let name = format!("limit {limit}, spin {micros} us");
            one_by_one(&pool, &name);
            many(&pool, &name);
            pool.close();
            pool.wait_idle(None);
        }
    }
}

fn submit(pool: &Arc<Pool<Job>>, job: Job) {
    if let Submit::Spawn = pool.submit(job) {
        let pool = pool.clone();
        thread::spawn(move || pool.work(|job| job()));
    }
}

/// One job at a time; the submitter blocks until it is done, as a loop with nothing else to do.
fn one_by_one(pool: &Arc<Pool<Job>>, name: &str) {
    for (label, pause) in [
        ("at once", Duration::ZERO),
        ("after 30 us", Duration::from_micros(30)),
        ("after 1 ms", Duration::from_millis(1)),
    ] {
        let mut times = Vec::new();
        for _ in 0..rounds() * if pause < Duration::from_millis(1) { 500 } else { 20 } {
            let (done, finished) = mpsc::sync_channel(1);
            spin(pause);
            let start = Instant::now();
            submit(
                pool,
                Box::new(move || {
                    let _ = done.send(());
                }),
            );
            let _ = finished.recv();
            times.push(start.elapsed().as_nanos() as u64);
        }
        distribution(&format!("pool: there and back, {name}, {label}"), times);
    }
}

fn many(pool: &Arc<Pool<Job>>, name: &str) {
    measure(&format!("pool: {JOBS} jobs at once, {name}"), JOBS, || {
        (0..JOBS).for_each(|_| submit(pool, Box::new(|| {})));
        pool.wait_idle(None);
    });
}

fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}
