//! The cost of posting for a thread, and of checking and taking for the loop.

mod measure;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ferrio_engine::{Inbox, Reactor, ReadyQueue, Wake};
use measure::{each, measure};

const OPERATIONS: u64 = 100_000;

struct NoWake;

impl Wake for NoWake {
    fn wake(&self) {}
}

fn main() {
    let inbox = Inbox::<usize>::new(NoWake);
    let mut out = ReadyQueue::new();
    each("inbox: ask an empty inbox", OPERATIONS, |_| black_box(&inbox).has_items());
    measure("inbox: post and take, one item", OPERATIONS, || {
        for index in 0..OPERATIONS as usize {
            let _ = black_box(inbox.post(index));
            inbox.take(&mut out);
            out.clear();
        }
    });
    measure("inbox: post and take, batches of 1000", OPERATIONS, || {
        for _ in 0..OPERATIONS / 1000 {
            for index in 0..1000 {
                let _ = black_box(inbox.post(index));
            }
            inbox.take(&mut out);
            out.clear();
        }
    });
    measure("inbox: prepare and finish a sleep", OPERATIONS, || {
        for _ in 0..OPERATIONS {
            let _ = black_box(inbox.prepare_sleep());
            inbox.finish_sleep();
        }
    });
    if let Ok(reactor) = Reactor::new() {
        let inbox = Inbox::<usize>::new(reactor.waker());
        measure("inbox: post to a sleeping loop (writes the wake fd)", OPERATIONS / 10, || {
            for index in 0..OPERATIONS as usize / 10 {
                let _ = black_box(inbox.prepare_sleep());
                let _ = black_box(inbox.post(index));
                inbox.finish_sleep();
                inbox.take(&mut out);
                out.clear();
            }
        });
    }
    contended();
}

/// One thread posts, and another takes the items as fast as it can.
fn contended() {
    let inbox = Arc::new(Inbox::<usize>::new(NoWake));
    let done = Arc::new(AtomicBool::new(false));
    let taker = thread::spawn({
        let (inbox, done) = (inbox.clone(), done.clone());
        move || {
            let mut out = ReadyQueue::new();
            while !done.load(Ordering::Relaxed) {
                if inbox.has_items() {
                    inbox.take(&mut out);
                    out.clear();
                }
            }
        }
    });
    each("inbox: post while another thread takes", OPERATIONS, |index| inbox.post(index as usize));
    done.store(true, Ordering::Relaxed);
    let _ = taker.join();
}
