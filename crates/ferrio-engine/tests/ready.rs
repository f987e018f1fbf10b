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
