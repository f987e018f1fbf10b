//! Sleepers and their alarms, in one thread. `loom.rs` has the threads.

use ferrio_engine::{Alarm, Sleepers};

#[test]
fn key_names_its_value_until_that_is_taken() {
    let mut sleepers = Sleepers::new();
    let (first, second) =
        (sleepers.add("first").expect("there is memory"), sleepers.add("second").expect("there is memory"));
    assert_eq!((sleepers.get(first), sleepers.get(second)), (Some(&"first"), Some(&"second")));
    assert_eq!(sleepers.take(first), Some("first"));
    assert_eq!(sleepers.get(first), None);
    assert_eq!(sleepers.take(first), None);
    let third = sleepers.add("third").expect("there is memory");
    assert_ne!(third, first, "a place may be used again, a key is not");
    assert_eq!((sleepers.get(first), sleepers.get(third)), (None, Some(&"third")));
    let mut all: Vec<_> = sleepers.iter().copied().collect();
    all.sort_unstable();
    assert_eq!(all, ["second", "third"]);
}

#[test]
fn alarm_is_delivered_once_for_each_look() {
    let mut sleepers = Sleepers::new();
    let key = sleepers.add(()).expect("there is memory");
    let alarm = Alarm::new();
    alarm.set(key);
    assert_eq!(alarm.ring(), Some(key));
    assert_eq!(alarm.ring(), None, "the sleeper hasn't looked yet");
    alarm.set(key);
    assert_eq!(alarm.ring(), Some(key));
}

#[test]
fn ring_before_the_first_look_wakes_nobody() {
    let mut sleepers = Sleepers::new();
    let key = sleepers.add(()).expect("there is memory");
    let alarm = Alarm::new();
    assert_eq!((alarm.ring(), alarm.ring()), (None, None));
    alarm.set(key);
    assert_eq!(alarm.ring(), Some(key));
}
