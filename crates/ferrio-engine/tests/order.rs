//! The orders of `ferrio_engine::order`: what they choose, and that they do it again.

use std::collections::HashSet;

use ferrio_engine::order::{Choice, Order};

/// Runs tasks of so many steps each, of which all are ready all the time; returns who ran, in order.
fn run(order: &mut Order, steps: &[usize]) -> Vec<u64> {
    let mut left = steps.to_vec();
    let mut ran = Vec::new();
    loop {
        let ready: Vec<u64> = (0..left.len()).filter(|at| left[*at] > 0).map(|at| at as u64).collect();
        if ready.is_empty() {
            return ran;
        }
        let key = ready[order.choose(&ready)];
        left[key as usize] -= 1;
        ran.push(key);
    }
}

#[test]
fn a_seed_gives_one_order_and_seeds_give_all() {
    let once = run(&mut Order::random(7), &[5, 5, 5]);
    assert_eq!(once, run(&mut Order::random(7), &[5, 5, 5]));
    let all: HashSet<_> = (0..200).map(|seed| run(&mut Order::random(seed), &[2, 2])).collect();
    assert_eq!(all.len(), 6); // 4! / (2! * 2!)
}

#[test]
fn choices_repeat_an_order() {
    let mut random = Order::random(3);
    let ran = run(&mut random, &[4, 4, 4]);
    let choices = random.choices().iter().map(|choice| choice.chosen).collect();
    let mut fixed = Order::fixed(choices);
    assert_eq!(run(&mut fixed, &[4, 4, 4]), ran);
    assert_eq!((fixed.choices(), fixed.departed()), (random.choices(), None));
}

#[test]
fn after_fixed_choices_the_oldest_goes() {
    let mut order = Order::fixed(vec![1]);
    assert_eq!(run(&mut order, &[1, 1, 1]), [1, 0, 2]);
    assert_eq!(order.choices(), [Choice { chosen: 1, of: 3 }, Choice { chosen: 0, of: 2 }]);
}

#[test]
fn a_choice_that_is_not_possible_is_told() {
    let mut order = Order::fixed(vec![0, 5, 1]);
    assert_eq!(run(&mut order, &[1, 1, 2]), [0, 1, 2, 2]);
    assert_eq!(order.departed(), Some(1));
}

#[test]
fn priorities_find_an_order_of_depth_two() {
    // The last of ten tasks runs between the two steps of the first: one change of priorities is enough.
    let steps = [2, 1, 1, 1, 1, 1, 1, 1, 1, 1];
    let found = (0..300).filter(|seed| {
        let ran = run(&mut Order::by_priorities(*seed, 2, 11), &steps);
        let place = |nth: usize| ran.iter().enumerate().filter(|(_, key)| **key == 0).nth(nth).map(|it| it.0);
        let last = ran.iter().position(|key| *key == 9);
        place(0) < last && last < place(1)
    });
    assert!(found.count() > 5);
}

#[test]
fn with_priorities_nobody_waits_for_ever() {
    let mut order = Order::by_priorities(1, 1, 10);
    let ran: Vec<_> = (0..1000).map(|_| order.choose(&[1, 2])).collect();
    assert!(ran.contains(&0) && ran.contains(&1));
}
