//! The ready queue: its order, and the size of a batch.

use ferrio_engine::ReadyQueue;

#[test]
fn items_leave_in_the_order_in_which_they_came() {
    let mut queue = ReadyQueue::new();
    assert!(queue.is_empty());
    assert_eq!(queue.pop(), None);
    queue.push(1).expect("there is memory");
    queue.push(2).expect("there is memory");
    queue.push(3).expect("there is memory");
    assert_eq!(queue.len(), 3);
    assert_eq!(queue.iter().copied().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!([queue.pop(), queue.pop(), queue.pop(), queue.pop()], [Some(1), Some(2), Some(3), None]);
}

#[test]
fn order_holds_across_growth_and_wrap_around() {
    let mut queue = ReadyQueue::new();
    let (mut pushed, mut popped) = (0, 0);
    for round in 0..300 {
        for _ in 0..round {
            queue.push(pushed).expect("there is memory");
            pushed += 1;
        }
        for _ in 0..round / 2 {
            assert_eq!(queue.pop(), Some(popped));
            popped += 1;
        }
    }
    assert_eq!(queue.len(), pushed - popped);
}

#[test]
fn drained_items_come_out_in_order_and_the_queue_works_on() {
    let mut queue = ReadyQueue::default();
    (0..5).for_each(|item| queue.push(item).expect("there is memory"));
    assert_eq!(queue.pop(), Some(0));
    assert_eq!(queue.drain(), [1, 2, 3, 4]);
    assert!(queue.is_empty());
    queue.push(7).expect("there is memory");
    queue.clear();
    assert_eq!(queue.pop(), None);
}

#[test]
fn items_put_back_come_before_all_others() {
    let mut queue = ReadyQueue::new();
    queue.push(3).expect("there is memory");
    queue.put_back(vec![1, 2]).expect("there is memory");
    assert_eq!(queue.drain(), [1, 2, 3]);
}

/// Runs a batch: after `at` items it calls `look`, and each item may queue others.
fn run_batch(
    queue: &mut ReadyQueue<u32>,
    at: usize,
    mut look: impl FnMut(&mut ReadyQueue<u32>),
    mut run: impl FnMut(u32) -> Vec<u32>,
) {
    for done in 0..queue.len() {
        if done == at {
            look(queue);
        }
        let item = queue.pop().expect("it is in the batch");
        run(item).into_iter().for_each(|item| queue.push(item).expect("there is memory"));
    }
}

#[test]
fn a_mark_is_where_its_item_is_when_the_next_batch_begins() {
    for skip in 0..8 {
        let mut queue = ReadyQueue::new();
        (0..4).for_each(|item| queue.push(item).expect("there is memory"));
        queue.mark_one_after(skip);
        run_batch(&mut queue, 9, |_| (), |item| vec![10 * item, 10 * item + 1]);
        assert_eq!(queue.before_mark(), Some(skip));
        let mut taken = None;
        run_batch(&mut queue, skip, |queue| taken = queue.take_mark(), |_| vec![]);
        assert!(taken.is_some());
        assert_eq!(queue.before_mark(), None);
    }
}

#[test]
fn an_item_that_comes_after_the_batch_is_marked_too() {
    let mut queue = ReadyQueue::new();
    queue.push(1).expect("there is memory");
    queue.mark_one_after(1);
    run_batch(&mut queue, 0, |_| (), |_| vec![2]);
    assert!(queue.wants_mark());
    queue.push(3).expect("there is memory");
    assert_eq!((queue.before_mark(), queue.wants_mark()), (Some(1), false));
    queue.forget_mark();
    assert_eq!((queue.before_mark(), queue.take_mark()), (None, None));
}

#[test]
fn a_mark_takes_no_room_and_stops_no_growth() {
    let mut queue = ReadyQueue::new();
    for round in 0..1000 {
        queue.mark_one_after(1000);
        queue.push(round).expect("there is memory");
    }
    assert_eq!((queue.len(), queue.wants_mark()), (1000, true));
    assert_eq!(queue.drain().len(), 1000);
    queue.push(1).expect("there is memory");
    assert_eq!((queue.len(), queue.before_mark()), (1, None));
}
