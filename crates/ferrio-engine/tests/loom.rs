//! Every interleaving of small programs on the inbox and the pool: `RUSTFLAGS="--cfg loom" cargo test -p ferrio-engine --test
//! loom --release`.
//!
//! The loop here sleeps without limit, so a lost wake-up is a deadlock, which loom reports.
#![cfg(loom)]

use ferrio_engine::{Alarm, Inbox, Pool, ReadyQueue, SleeperKey, Sleepers, Submit, Wake};
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Notify};
use loom::thread;

#[derive(Clone)]
struct Sleeper(Arc<Notify>);

impl Wake for Sleeper {
    fn wake(&self) {
        self.0.notify();
    }
}

fn inbox<T>() -> (Arc<Inbox<T>>, Arc<Notify>) {
    let sleeper = Arc::new(Notify::new());
    (Arc::new(Inbox::new(Sleeper(sleeper.clone()))), sleeper)
}

/// One turn of a loop that has nothing else to do.
fn sleep_and_take<T>(inbox: &Inbox<T>, sleeper: &Notify, taken: &mut Vec<T>) {
    if inbox.has_items() {
        let mut queue = ReadyQueue::new();
        inbox.take(&mut queue);
        taken.extend(queue.drain());
    } else if inbox.prepare_sleep() {
        sleeper.wait();
        inbox.finish_sleep();
    }
}

#[test]
fn post_is_never_missed_by_a_loop_that_falls_asleep() {
    loom::model(|| {
        let (inbox, sleeper) = inbox();
        let poster = thread::spawn({
            let inbox = inbox.clone();
            move || {
                assert_eq!(inbox.post(1), Ok(()));
                assert_eq!(inbox.post(2), Ok(()));
            }
        });
        let mut taken = Vec::new();
        while taken.len() < 2 {
            sleep_and_take(&inbox, &sleeper, &mut taken);
        }
        assert_eq!(taken, [1, 2]);
        poster.join().unwrap();
    });
}

#[test]
fn posts_of_two_threads_all_arrive() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3); // all interleavings with at most three preemptions; without a bound it takes a minute
    model.check(|| {
        let (inbox, sleeper) = inbox();
        let posters: Vec<_> = (0..2)
            .map(|number| {
                let inbox = inbox.clone();
                thread::spawn(move || assert_eq!(inbox.post(number), Ok(())))
            })
            .collect();
        let mut taken = Vec::new();
        while taken.len() < 2 {
            sleep_and_take(&inbox, &sleeper, &mut taken);
        }
        taken.sort_unstable();
        assert_eq!(taken, [0, 1]);
        for poster in posters {
            poster.join().unwrap();
        }
    });
}

#[test]
fn wake_without_an_item_ends_a_sleep_or_prevents_it() {
    loom::model(|| {
        let (inbox, sleeper) = inbox::<()>();
        let other = thread::spawn({
            let inbox = inbox.clone();
            move || inbox.wake()
        });
        if inbox.prepare_sleep() {
            sleeper.wait();
            inbox.finish_sleep();
        }
        other.join().unwrap();
    });
}

#[test]
fn post_and_wake_together_wake_the_loop() {
    loom::model(|| {
        let (inbox, sleeper) = inbox();
        let others = [
            thread::spawn({
                let inbox = inbox.clone();
                move || inbox.wake()
            }),
            thread::spawn({
                let inbox = inbox.clone();
                move || assert_eq!(inbox.post(7), Ok(()))
            }),
        ];
        let mut taken = Vec::new();
        while taken.is_empty() {
            sleep_and_take(&inbox, &sleeper, &mut taken);
        }
        assert_eq!(taken, [7]);
        for other in others {
            other.join().unwrap();
        }
    });
}

#[test]
fn item_posted_while_the_inbox_closes_is_in_one_place() {
    loom::model(|| {
        let (inbox, _sleeper) = inbox();
        let poster = thread::spawn({
            let inbox = inbox.clone();
            move || usize::from(inbox.post(7).is_err())
        });
        let mut taken = ReadyQueue::new();
        inbox.take(&mut taken);
        let closed = inbox.close();
        let refused = poster.join().unwrap();
        assert_eq!(taken.len() + closed.len() + refused, 1);
        assert!(!inbox.has_items());
    });
}

#[test]
fn pool_runs_each_job_once_and_then_ends() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let pool = Arc::new(Pool::new(2));
        let done = Arc::new(loom::sync::Mutex::new(Vec::new()));
        let mut workers = Vec::new();
        for job in 0..2 {
            match pool.submit(job) {
                Submit::Spawn => workers.push(thread::spawn({
                    let (pool, done) = (pool.clone(), done.clone());
                    move || pool.work(|job| done.lock().unwrap().push(job))
                })),
                Submit::Queued => {}
                Submit::Closed(_) | Submit::OutOfMemory(_) => unreachable!("closed below"),
            }
        }
        pool.close();
        assert_eq!(pool.submit(9), Submit::Closed(9));
        for worker in workers {
            worker.join().unwrap();
        }
        let mut done = done.lock().unwrap().clone();
        done.sort_unstable();
        assert_eq!(done, [0, 1]);
        assert_eq!((pool.workers(), pool.idle(), pool.queued()), (0, 0, 0));
    });
}

#[test]
fn pool_wakes_a_parked_worker_for_each_job() {
    loom::model(|| {
        let pool = Arc::new(Pool::new(1));
        assert_eq!(pool.submit(0), Submit::Spawn);
        let (results, finished) = loom::sync::mpsc::channel();
        let worker = thread::spawn({
            let pool = pool.clone();
            move || pool.work(|job| results.send(job).unwrap())
        });
        assert_eq!(finished.recv(), Ok(0));
        // The worker is on its way to the lock, or parked. Twice, because the first wake-up must not be taken for the
        // second.
        for job in 1..3 {
            assert_eq!(pool.submit(job), Submit::Queued);
            assert_eq!(finished.recv(), Ok(job));
        }
        pool.close();
        worker.join().unwrap();
    });
}

#[test]
fn pool_wakes_a_worker_while_another_is_on_its_way_to_a_job() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let pool = Arc::new(Pool::new(2));
        let (results, finished) = loom::sync::mpsc::channel();
        let mut workers = Vec::new();
        for job in 0..2 {
            if let Submit::Spawn = pool.submit(job) {
                let (pool, results) = (pool.clone(), results.clone());
                workers.push(thread::spawn(move || {
                    loop {
                        pool.rest();
                        if !pool.wait(false) {
                            return;
                        }
                        // Here the host waits for its lock.
                        thread::yield_now();
                        if let Some(job) = pool.claim() {
                            results.send(job).unwrap();
                        }
                    }
                }));
            }
        }
        let mut ran = [finished.recv().unwrap(), finished.recv().unwrap()];
        ran.sort_unstable();
        assert_eq!(ran, [0, 1]);
        pool.close();
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!((pool.workers(), pool.idle(), pool.queued()), (0, 0, 0));
    });
}

/// What a thread does that makes progress and tells the sleeper.
fn advance(progress: &AtomicUsize, alarm: &Alarm, inbox: &Inbox<SleeperKey>) {
    progress.fetch_add(1, Ordering::Relaxed);
    if let Some(key) = alarm.ring() {
        assert_eq!(inbox.post(key), Ok(()));
    }
}

/// Two threads advance what a sleeper waits for; the sleeper looks first, or only after the threads have begun.
fn sleeper_sees_all_progress(looks_first: bool) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let (inbox, notify) = inbox();
        let (progress, alarm) = (Arc::new(AtomicUsize::new(0)), Arc::new(Alarm::new()));
        let mut sleepers = Sleepers::new();
        let key = sleepers.add(()).expect("there is memory");
        let look = || {
            alarm.set(key);
            progress.load(Ordering::Relaxed)
        };
        let mut seen = if looks_first { look() } else { 0 };
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (progress, alarm, inbox) = (progress.clone(), alarm.clone(), inbox.clone());
                thread::spawn(move || advance(&progress, &alarm, &inbox))
            })
            .collect();
        if !looks_first {
            seen = look();
        }
        let mut woken = Vec::new();
        while seen < 2 {
            sleep_and_take(&inbox, &notify, &mut woken);
            for key in woken.drain(..) {
                assert!(sleepers.get(key).is_some());
                seen = look();
            }
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn alarm_is_never_missed_by_a_sleeper_that_looked() {
    sleeper_sees_all_progress(true);
}

#[test]
fn alarm_before_the_first_look_is_seen_by_it() {
    sleeper_sees_all_progress(false);
}
