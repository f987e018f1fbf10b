//! A loop without memory: every growth may fail, nothing is lost, and the loop goes on.
#![allow(unsafe_code, reason = "an allocator that refuses can only be written so")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io;

use ferrio_engine::{
    ByteBuffer, Clock, Engine, Inbox, OutOfMemory, Pool, ReadyQueue, Refused, Submit, Timers, Wake,
};

/// Refuses a thread's allocations while that is switched on, or one of them.
struct Refusing;

thread_local! {
    static REFUSES: Cell<bool> = const { Cell::new(false) };
    /// How many allocations succeed before one is refused.
    static REFUSED_ONE: Cell<Option<usize>> = const { Cell::new(None) };
}

fn refuses() -> bool {
    let left = REFUSED_ONE.get();
    REFUSED_ONE.set(left.and_then(|left| left.checked_sub(1)));
    REFUSES.get() || left == Some(0)
}

// SAFETY: passes everything on to the system's allocator, or returns null, which means that there is no memory.
unsafe impl GlobalAlloc for Refusing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's own layout.
        if refuses() { std::ptr::null_mut() } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: all memory comes from the system's allocator.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as in `dealloc`.
        if refuses() { std::ptr::null_mut() } else { unsafe { System.realloc(memory, layout, size) } }
    }
}

#[global_allocator]
static ALLOCATOR: Refusing = Refusing;

fn without_memory<R>(action: impl FnOnce() -> R) -> R {
    REFUSES.set(true);
    let result = action();
    REFUSES.set(false);
    result
}

struct NoWake;

impl Wake for NoWake {
    fn wake(&self) {}
}

/// Pushes until there is no memory; returns what was refused.
fn fill(queue: &mut ReadyQueue<u32>) -> u32 {
    without_memory(|| (0..).find(|item| queue.push(*item) == Err(OutOfMemory(*item)))).unwrap_or_default()
}

#[test]
fn queue_that_can_not_grow_hands_the_item_back_and_keeps_the_others() {
    let mut queue = ReadyQueue::new();
    let refused = fill(&mut queue);
    assert_eq!(queue.len(), refused as usize);
    assert!(refused > 0, "a new queue has room");
    assert!(queue.push(refused).is_ok(), "there is memory again");
    assert_eq!(queue.drain(), (0..=refused).collect::<Vec<_>>());
}

#[test]
fn items_that_can_not_be_put_back_come_back() {
    let mut queue = ReadyQueue::new();
    let count = fill(&mut queue);
    let items = vec![1, 2];
    let refused = without_memory(|| queue.put_back(items));
    assert_eq!(refused, Err(OutOfMemory(vec![1, 2])));
    assert_eq!(queue.len(), count as usize);
}

#[test]
fn inbox_that_can_not_grow_hands_the_item_back_and_keeps_the_others() {
    let inbox = Inbox::new(NoWake);
    assert_eq!(without_memory(|| inbox.post(7)), Err(Refused::OutOfMemory(7)));
    assert!(!inbox.has_items());
    assert_eq!(inbox.post(8), Ok(()));
    let mut taken = ReadyQueue::new();
    without_memory(|| inbox.take(&mut taken));
    assert_eq!(taken.pop(), Some(8));
}

#[test]
fn what_does_not_fit_into_the_queue_stays_in_the_inbox_in_order() {
    let inbox = Inbox::new(NoWake);
    for item in 0..1_000 {
        assert_eq!(inbox.post(item), Ok(()));
    }
    let (mut queue, mut seen) = (ReadyQueue::new(), Vec::with_capacity(1_000));
    without_memory(|| {
        while inbox.has_items() {
            inbox.take(&mut queue);
            seen.extend(std::iter::from_fn(|| queue.pop()));
        }
    });
    assert_eq!(seen, (0..1_000).collect::<Vec<_>>());
}

#[test]
fn timers_that_can_not_grow_hand_the_payload_back_and_keep_the_others() {
    let mut timers = Timers::new();
    assert_eq!(without_memory(|| timers.insert(1, "refused")), Err(OutOfMemory("refused")));
    let key = timers.insert(2, "kept").expect("there is memory");
    let refused = without_memory(|| (0..1_000).find(|_| timers.insert(3, "more").is_err()));
    assert!(refused.is_some());
    assert_eq!(timers.next_deadline(), Some(2));
    assert_eq!(timers.cancel(key), Some("kept"));
}

#[test]
fn timers_fire_in_order_without_memory_turn_by_turn() -> io::Result<()> {
    const TIMERS: u64 = 10_000;
    let mut engine = Engine::new(Clock::virtual_at(TIMERS))?;
    for deadline in 0..TIMERS {
        engine.timers.insert(deadline, deadline).expect("there is memory");
    }
    let mut fired = Vec::with_capacity(TIMERS as usize);
    without_memory(|| {
        while fired.len() < TIMERS as usize {
            let batch = engine.begin_turn();
            assert!(batch > 0, "some room is always there");
            fired.extend((0..batch).filter_map(|_| engine.pop()));
        }
    });
    assert_eq!(fired, (0..TIMERS).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn pool_that_can_not_grow_hands_the_job_back() {
    let pool = Pool::new(1);
    assert_eq!(without_memory(|| pool.submit("job")), Submit::OutOfMemory("job"));
    assert_eq!((pool.queued(), pool.workers()), (0, 0));
}

#[test]
fn buffer_that_can_not_grow_keeps_its_content() {
    let mut buffer = ByteBuffer::new();
    buffer.extend(b"kept").expect("there is memory");
    assert!(without_memory(|| buffer.extend(&[0; 100_000])).is_err());
    assert_eq!(buffer.as_slice(), b"kept");
}

#[test]
fn each_allocation_that_is_refused_hands_one_item_back_and_loses_none() {
    const ITEMS: u32 = 300;
    for refused in 0.. {
        let (mut queue, mut timers, inbox) = (ReadyQueue::new(), Timers::new(), Inbox::new(NoWake));
        let mut buffer = ByteBuffer::new();
        let mut kept = [const { Vec::new() }; 4];
        kept.iter_mut().for_each(|kept| kept.reserve(ITEMS as usize));
        REFUSED_ONE.set(Some(refused));
        for item in 0..ITEMS {
            let outcomes = [
                queue.push(item).is_ok(),
                timers.insert(u64::from(item), item).is_ok(),
                inbox.post(item).is_ok(),
                buffer.extend(&item.to_be_bytes()).is_ok(),
            ];
            for (kept, succeeded) in kept.iter_mut().zip(outcomes) {
                if succeeded {
                    kept.push(item);
                }
            }
        }
        let happened = REFUSED_ONE.take().is_none();
        let [queued, timed, posted, buffered] = kept;
        assert_eq!(queue.drain(), queued, "allocation {refused}");
        let fired: Vec<u32> = std::iter::from_fn(|| timers.pop_due(u64::MAX)).collect();
        assert_eq!(fired, timed, "allocation {refused}");
        while inbox.has_items() {
            inbox.take(&mut queue);
        }
        assert_eq!(queue.drain(), posted, "allocation {refused}");
        let bytes: Vec<u8> = buffered.iter().flat_map(|item: &u32| item.to_be_bytes()).collect();
        assert_eq!(buffer.as_slice(), bytes, "allocation {refused}");
        if !happened {
            assert!(refused > 10, "all of them grow");
            return;
        }
    }
}
