//! The cost of queueing an item and of taking it.

mod measure;

use std::hint::black_box;

use ferrio_engine::ReadyQueue;
use measure::{each, measure};

const OPERATIONS: u64 = 100_000;

/// As large as the items of a host that queues an enum of pointers.
type Item = [usize; 3];

fn main() {
    let mut queue = ReadyQueue::<Item>::new();
    each("ready: push and pop, one item", OPERATIONS, |index| {
        queue.push(black_box([index as usize; 3])).expect("there is memory");
        queue.pop()
    });
    for batch in [64, 10_000] {
        measure(&format!("ready: push and pop, batches of {batch}"), OPERATIONS, || {
            for _ in 0..OPERATIONS / batch {
                for index in 0..batch as usize {
                    queue.push(black_box([index; 3])).expect("there is memory");
                }
                for _ in 0..batch {
                    black_box(queue.pop());
                }
            }
        });
    }
}
