//! The pool with real threads: each job runs once, the limit is kept, and both ways to shut down work.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ferrio_engine::{Pool, Submit};

type Job = Box<dyn FnOnce() + Send>;

/// Submits, and starts the worker that the pool asks for, as a host does.
fn submit(pool: &Arc<Pool<Job>>, threads: &mut Vec<JoinHandle<()>>, job: impl FnOnce() + Send + 'static) {
    match pool.submit(Box::new(job)) {
        Submit::Queued => {}
        Submit::Spawn => {
            let pool = pool.clone();
            threads.push(thread::spawn(move || pool.work(|job| job())));
        }
        Submit::Closed(_) | Submit::OutOfMemory(_) => panic!("the pool is open"),
    }
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        assert!(thread.join().is_ok());
    }
}

#[test]
fn jobs_run_once_each_on_no_more_threads_than_the_limit() {
    let (pool, mut threads, ran) = (Arc::new(Pool::new(3)), Vec::new(), Arc::new(AtomicUsize::new(0)));
    for _ in 0..2_000 {
        let ran = ran.clone();
        submit(&pool, &mut threads, move || {
            ran.fetch_add(1, Ordering::SeqCst);
        });
    }
    assert!(pool.wait_idle(None));
    assert_eq!(ran.load(Ordering::SeqCst), 2_000);
    assert!((1..=3).contains(&threads.len()), "{} threads", threads.len());
    assert_eq!((pool.workers(), pool.idle(), pool.queued()), (threads.len(), threads.len(), 0));
    pool.close();
    join(threads);
    assert_eq!(pool.workers(), 0);
}

#[test]
fn idle_worker_is_used_again() {
    let (pool, mut threads) = (Arc::new(Pool::new(8)), Vec::new());
    for _ in 0..50 {
        let (done, finished) = mpsc::channel();
        submit(&pool, &mut threads, move || assert!(done.send(()).is_ok()));
        assert!(finished.recv().is_ok());
        assert!(pool.wait_idle(None));
    }
    assert_eq!(threads.len(), 1);
    pool.close();
    join(threads);
}

#[test]
fn blocked_jobs_do_not_hold_up_others_below_the_limit() {
    // Each job waits for all the others: this ends only if all four run at the same time.
    let (pool, mut threads, barrier) = (Arc::new(Pool::new(4)), Vec::new(), Arc::new(Barrier::new(4)));
    for _ in 0..4 {
        let barrier = barrier.clone();
        submit(&pool, &mut threads, move || {
            barrier.wait();
        });
    }
    assert!(pool.wait_idle(None));
    assert_eq!(threads.len(), 4);
    // And again, now that the workers are parked.
    for _ in 0..4 {
        let barrier = barrier.clone();
        submit(&pool, &mut threads, move || {
            barrier.wait();
        });
    }
    assert!(pool.wait_idle(None));
    assert_eq!(threads.len(), 4);
    pool.close();
    join(threads);
}

#[test]
fn close_lets_queued_jobs_run_and_refuses_new_ones() {
    let pool = Arc::new(Pool::new(1));
    for number in 0..3 {
        let expected = if number == 0 { Submit::Spawn } else { Submit::Queued };
        assert_eq!(pool.submit(number), expected);
    }
    pool.close();
    assert_eq!(pool.submit(3), Submit::Closed(3));
    let mut ran = Vec::new();
    pool.work(|job| ran.push(job));
    assert_eq!(ran, [0, 1, 2]);
    assert!(pool.wait_idle(Some(Duration::ZERO)));
}

#[test]
fn shutdown_hands_pending_jobs_back_and_ends_the_workers() {
    let pool = Arc::new(Pool::new(1));
    assert_eq!(pool.submit(0), Submit::Spawn);
    assert_eq!(pool.next(), Some(0));
    assert_eq!([pool.submit(1), pool.submit(2)], [Submit::Queued, Submit::Queued]);
    assert_eq!(pool.queued(), 2);
    assert_eq!(pool.shutdown(), [1, 2]);
    assert!(!pool.wait_idle(Some(Duration::from_millis(1))), "the worker has not come back from its job");
    assert_eq!(pool.next(), None);
    assert!(pool.wait_idle(None));
    assert_eq!(pool.shutdown(), [0; 0]);
}

#[test]
fn shutdown_ends_workers_that_spin_or_are_parked() {
    for spin in [Duration::ZERO, Duration::from_secs(100)] {
        let pool = Arc::new(Pool::<Job>::with_spin(2, spin));
        let (mut threads, barrier) = (Vec::new(), Arc::new(Barrier::new(2)));
        for _ in 0..2 {
            let barrier = barrier.clone();
            submit(&pool, &mut threads, move || {
                barrier.wait();
            });
        }
        assert!(pool.wait_idle(None));
        assert!(pool.shutdown().is_empty());
        join(threads);
    }
}

#[test]
fn spinning_and_parked_workers_share_a_burst() {
    // One of the two spins for good; the second job must wake the other.
    let pool = Arc::new(Pool::<Job>::with_spin(2, Duration::from_secs(100)));
    let (mut threads, barrier) = (Vec::new(), Arc::new(Barrier::new(2)));
    for _ in 0..50 {
        for _ in 0..2 {
            let barrier = barrier.clone();
            submit(&pool, &mut threads, move || {
                barrier.wait();
            });
        }
        assert!(pool.wait_idle(None));
    }
    assert_eq!(threads.len(), 2);
    pool.close();
    join(threads);
}

#[test]
fn worker_that_could_not_start_is_asked_for_again() {
    let pool = Pool::new(1);
    assert_eq!(pool.submit('a'), Submit::Spawn);
    assert_eq!(pool.submit('b'), Submit::Queued);
    pool.forget_worker();
    assert_eq!(pool.workers(), 0);
    assert_eq!(pool.submit('c'), Submit::Spawn);
    assert_eq!([pool.next(), pool.next(), pool.next()], [Some('a'), Some('b'), Some('c')]);
}

#[test]
fn limit_is_at_least_one_and_can_change() {
    let pool = Pool::new(0);
    assert_eq!(pool.limit(), 1);
    assert_eq!([pool.submit(0), pool.submit(1)], [Submit::Spawn, Submit::Queued]);
    assert_eq!(pool.set_limit(2), 1, "a job waits");
    assert_eq!(pool.submit(2), Submit::Queued);
    assert_eq!(pool.next(), Some(0));
    assert_eq!(pool.set_limit(0), 0);
    assert_eq!(pool.limit(), 1);
    assert_eq!(pool.next(), None, "one worker too many");
    assert_eq!(pool.next(), Some(1));
    assert_eq!(pool.workers(), 1);
}

#[test]
fn raised_limit_asks_for_as_many_workers_as_jobs_wait() {
    let pool = Pool::new(1);
    assert_eq!(pool.submit(0), Submit::Spawn);
    assert_eq!(pool.next(), Some(0));
    assert_eq!(pool.set_limit(9), 0, "no job waits");
    assert_eq!(pool.set_limit(1), 0);
    assert_eq!([1, 2, 3].map(|job| pool.submit(job)), [Submit::Queued, Submit::Queued, Submit::Queued]);
    assert_eq!(pool.set_limit(3), 2, "no more than allowed");
    assert_eq!(pool.set_limit(9), 3, "and no more than there are jobs: nobody has come to them");
    assert_eq!(pool.workers(), 6);
    pool.close();
    assert_eq!(pool.set_limit(20), 0, "it is closed");
}

#[test]
fn host_takes_its_own_lock_between_waiting_and_claiming() {
    let pool = Arc::new(Pool::new(2));
    let lock = Arc::new(std::sync::Mutex::new(Vec::new()));
    let worker = |pool: Arc<Pool<u32>>, lock: Arc<std::sync::Mutex<Vec<u32>>>| {
        thread::spawn(move || {
            loop {
                pool.rest();
                if !pool.wait(false) {
                    return;
                }
                let Ok(mut ran) = lock.lock() else { return };
                let mut job = pool.claim();
                while let Some(number) = job {
                    ran.push(number);
                    job = pool.more();
                }
            }
        })
    };
    let mut threads = Vec::new();
    for number in 0..1_000 {
        match pool.submit(number) {
            Submit::Queued => {}
            Submit::Spawn => threads.push(worker(pool.clone(), lock.clone())),
            Submit::Closed(_) | Submit::OutOfMemory(_) => panic!("the pool is open"),
        }
    }
    assert!(pool.wait_idle(None));
    // The thread that has the lock runs what is queued, in order. None is left over, and none runs twice.
    assert_eq!(lock.lock().map(|ran| ran.clone()).unwrap_or_default(), (0..1_000).collect::<Vec<_>>());
    pool.close();
    join(threads);
}

#[test]
fn worker_that_rests_is_idle_before_it_waits() {
    let pool = Pool::new(2);
    assert_eq!(pool.submit('a'), Submit::Spawn);
    pool.rest();
    assert!(pool.wait(true));
    assert_eq!(pool.claim(), Some('a'));
    pool.rest();
    assert_eq!(pool.idle(), 1);
    assert_eq!(pool.submit('b'), Submit::Queued, "the worker that rests will take it");
    assert_eq!(pool.submit('c'), Submit::Spawn, "there is no other one for the second job");
    assert!(pool.wait(true));
    assert_eq!(pool.claim(), Some('b'));
    assert_eq!(pool.more(), Some('c'));
    assert_eq!(pool.more(), None);
    pool.rest();
    assert_eq!(pool.submit('d'), Submit::Queued);
    assert!(pool.wait(true));
    assert_eq!(pool.more(), Some('d'), "another worker is quicker");
    assert_eq!(pool.claim(), None);
    assert_eq!(pool.idle(), 0);
}
