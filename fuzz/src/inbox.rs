//! The inbox and the ready queue, used by one thread (loom tests the interleavings). Oracle: two lists, and what the loop's sleep
//! is: it begins only if nothing came, and ends by the first that comes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ferrio_engine::{Inbox, ReadyQueue, Refused, Wake};

use super::input::Input;

#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Wake for Count {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Model {
    posted: VecDeque<u64>,
    ready: VecDeque<u64>,
    closed: bool,
    asleep: bool,
    /// Somebody called `wake` since the last sleep.
    woken: bool,
    wakes: usize,
}

impl Model {
    /// Something came: it ends a sleep unless that has ended already.
    fn comes(&mut self) {
        self.wakes += usize::from(self.asleep && !self.woken && self.posted.is_empty());
    }
}

/// One step with both queues and with the model.
fn step(
    input: &mut Input<'_>,
    number: &mut u64,
    inbox: &Inbox<u64>,
    ready: &mut ReadyQueue<u64>,
    model: &mut Model,
) {
    match input.below(16) {
        kind @ 0..=3 => {
            // Sometimes a burst, for which the queues grow, or even so much that the inbox frees its memory.
            let burst = match kind {
                0 if input.below(256) == 255 => 5000,
                0 => input.below(100),
                _ => 1,
            };
            for _ in 0..burst {
                *number += 1;
                if model.closed {
                    assert_eq!(inbox.post(*number), Err(Refused::Closed(*number)));
                } else {
                    model.comes();
                    assert_eq!(inbox.post(*number), Ok(()));
                    model.posted.push_back(*number);
                }
            }
        }
        4..=5 => {
            inbox.take(ready);
            model.ready.append(&mut model.posted);
        }
        6 => {
            model.comes();
            model.woken = true;
            inbox.wake();
        }
        7 if !model.asleep => {
            model.asleep = inbox.prepare_sleep();
            assert_eq!(model.asleep, model.posted.is_empty() && !model.woken);
            model.woken = false;
        }
        8 => {
            inbox.finish_sleep();
            (model.asleep, model.woken) = (false, false);
        }
        9 => {
            *number += 1;
            ready.push(*number).expect("there is memory");
            model.ready.push_back(*number);
        }
        10 => {
            for _ in 0..input.byte() {
                assert_eq!(ready.pop(), model.ready.pop_front());
            }
        }
        11 => {
            let taken: Vec<_> = std::iter::from_fn(|| ready.pop()).take(input.below(8)).collect();
            ready.put_back(taken).expect("there is memory");
        }
        12 => {
            let at = input.below(20);
            assert_eq!(ready.take(at), model.ready.remove(at));
        }
        13 => ready.mark_one_after(input.below(20)),
        14 if input.below(16) == 0 => {
            assert_eq!(ready.drain(), std::mem::take(&mut model.ready));
        }
        15 if input.below(64) == 63 => {
            assert_eq!(VecDeque::from(inbox.close()), std::mem::take(&mut model.posted));
            model.closed = true;
        }
        _ => {
            ready.take_mark();
        }
    }
}

/// Steps of the loop and of those that post to it.
pub(crate) fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let (count, mut number, mut model) = (Count::default(), 0, Model::default());
    let (inbox, mut ready) = (Inbox::new(count.clone()), ReadyQueue::new());
    while !input.is_empty() {
        step(&mut input, &mut number, &inbox, &mut ready, &mut model);
        assert_eq!(inbox.has_items(), !model.posted.is_empty());
        assert_eq!(count.0.load(Ordering::Relaxed), model.wakes);
        assert_eq!((ready.len(), ready.is_empty()), (model.ready.len(), model.ready.is_empty()));
        assert_eq!(ready.iter().next(), model.ready.front());
        assert_eq!(ready.iter().last(), model.ready.back());
    }
    let mut posted = VecDeque::new();
    let Ok(()) = inbox.visit(|item| {
        posted.push_back(*item);
        Ok::<_, Infallible>(())
    });
    assert_eq!(posted, model.posted);
    inbox.take(&mut ready);
    model.ready.append(&mut model.posted);
    assert_eq!(ready.drain(), model.ready);
}
