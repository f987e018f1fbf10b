//! The inbox with real threads, and with items that post when they are dropped. `loom.rs` tests the interleavings.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use ferrio_engine::{Events, Inbox, Reactor, ReadyQueue, Refused, Wait, Wake};

#[derive(Clone, Default)]
struct CountWakes(Arc<AtomicUsize>);

impl Wake for CountWakes {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn inbox<T>() -> (Inbox<T>, impl Fn() -> usize) {
    let wakes = CountWakes::default();
    (Inbox::new(wakes.clone()), move || wakes.0.load(Ordering::SeqCst))
}

#[test]
fn posted_items_are_taken_in_order() {
    let (inbox, _) = inbox();
    assert!(!inbox.has_items());
    for item in 0..3 {
        assert_eq!(inbox.post(item), Ok(()));
    }
    assert!(inbox.has_items());
    let mut out = ReadyQueue::new();
    out.push(9).expect("there is memory");
    inbox.take(&mut out);
    assert_eq!(out.iter().copied().collect::<Vec<_>>(), [9, 0, 1, 2]);
    assert!(!inbox.has_items());
    inbox.take(&mut out);
    assert_eq!(out.len(), 4);
}

#[test]
fn loop_that_is_awake_is_never_woken() {
    let (inbox, wakes) = inbox();
    assert_eq!(inbox.post(1), Ok(()));
    inbox.wake();
    assert!(!inbox.prepare_sleep(), "an item waits");
    inbox.take(&mut ReadyQueue::new());
    assert!(inbox.prepare_sleep());
    inbox.finish_sleep();
    assert_eq!(inbox.post(2), Ok(()));
    assert_eq!(wakes(), 0);
}

#[test]
fn sleeping_loop_is_woken_once() {
    let (inbox, wakes) = inbox();
    assert!(inbox.prepare_sleep());
    for item in 0..5 {
        assert_eq!(inbox.post(item), Ok(()));
        inbox.wake();
    }
    assert_eq!(wakes(), 1);
    inbox.finish_sleep();
    inbox.take(&mut ReadyQueue::new());
    assert!(inbox.prepare_sleep());
    inbox.wake();
    inbox.wake();
    assert_eq!(inbox.post(5), Ok(()));
    assert_eq!(wakes(), 2);
}

#[test]
fn wake_without_an_item_keeps_the_loop_awake_once() {
    let (inbox, wakes) = inbox::<()>();
    inbox.wake();
    assert!(!inbox.prepare_sleep());
    assert!(inbox.prepare_sleep(), "one wake, one sleep left out");
    inbox.finish_sleep();
    assert_eq!(wakes(), 0);
}

#[test]
fn closed_inbox_hands_everything_back() {
    let (inbox, _) = inbox();
    assert_eq!(inbox.post("pending"), Ok(()));
    assert_eq!(inbox.close(), ["pending"]);
    assert!(!inbox.has_items());
    assert_eq!(inbox.post("late"), Err(Refused::Closed("late")));
    assert_eq!(inbox.close(), [""; 0]);
}

/// Posts to its inbox when it is dropped. If the inbox dropped it under its lock, that would be a deadlock.
struct PostsOnDrop(Arc<Inbox<Option<PostsOnDrop>>>);

impl Drop for PostsOnDrop {
    fn drop(&mut self) {
        drop(self.0.post(None));
    }
}

#[test]
fn items_are_dropped_outside_the_lock() {
    let inbox = Arc::new(Inbox::new(CountWakes::default()));
    let item = || Some(PostsOnDrop(inbox.clone()));
    assert!(inbox.post(item()).is_ok());
    let mut out = ReadyQueue::new();
    inbox.take(&mut out);
    drop(out);
    assert!(inbox.has_items(), "posted by the drop");
    assert!(inbox.post(item()).is_ok());
    drop(inbox.close());
    drop(inbox.post(item()));
}

#[test]
fn nothing_is_lost_between_threads_and_a_sleeping_loop() -> std::io::Result<()> {
    const POSTERS: usize = 4;
    const ITEMS: usize = 5_000;
    let reactor = Reactor::new()?;
    let inbox = Arc::new(Inbox::new(reactor.waker()));
    let posters: Vec<_> = (0..POSTERS)
        .map(|poster| {
            let inbox = inbox.clone();
            thread::spawn(move || {
                for number in 0..ITEMS {
                    assert_eq!(inbox.post((poster, number)), Ok(()));
                    if number % 64 == poster {
                        thread::yield_now(); // so that the loop falls asleep now and then
                    }
                }
            })
        })
        .collect();
    let (mut events, mut taken, mut expected) = (Events::with_capacity(4), ReadyQueue::new(), [0; POSTERS]);
    let mut left = POSTERS * ITEMS;
    while left > 0 {
        inbox.take(&mut taken);
        while let Some((poster, number)) = taken.pop() {
            assert_eq!(number, expected[poster], "each thread's items stay in order");
            expected[poster] += 1;
            left -= 1;
        }
        if left > 0 && inbox.prepare_sleep() {
            // Forever: a lost wake-up hangs the test.
            reactor.wait(&mut events, Wait::Forever)?;
            inbox.finish_sleep();
        }
    }
    for poster in posters {
        assert!(poster.join().is_ok());
    }
    Ok(())
}

#[test]
fn watch_sees_items_and_wakes_and_ends_by_itself() {
    let inbox = Arc::new(inbox().0);
    assert!(!inbox.watch(Duration::ZERO));
    assert_eq!(inbox.post(1), Ok(()));
    assert!(inbox.watch(Duration::from_secs(100)));
    inbox.take(&mut ReadyQueue::new());
    assert!(!inbox.watch(Duration::from_micros(1)));
    inbox.wake();
    assert!(inbox.watch(Duration::from_secs(100)));
    let poster = thread::spawn({
        let inbox = inbox.clone();
        move || inbox.post(2)
    });
    inbox.finish_sleep();
    assert!(inbox.watch(Duration::from_secs(100)));
    assert_eq!(poster.join().ok(), Some(Ok(())));
}

#[test]
fn settle_ends_when_nobody_posts() {
    let (inbox, _) = inbox();
    assert_eq!(inbox.post(1), Ok(()));
    inbox.settle(Duration::from_secs(100));
    inbox.settle(Duration::ZERO);
    assert!(inbox.has_items());
}

#[test]
fn poster_leaves_its_mark() {
    let (inbox, _) = inbox::<()>();
    assert!(!inbox.poster_is_here(), "nobody has posted yet");
}
