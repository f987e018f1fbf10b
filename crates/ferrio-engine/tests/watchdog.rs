//! The watchdog's judge, told with made-up times: what is reported, when, and what isn't.

use ferrio_engine::pulse::{Beat, Doing, Pulse};
use ferrio_engine::watchdog::{Judge, Spent, Usage, Verdict};

const THRESHOLD: u64 = 100;

fn item(number: u64) -> Beat {
    Beat { number, doing: Doing::Turning, inside: true }
}

fn waiting(number: u64) -> Beat {
    Beat { number, doing: Doing::Waiting, inside: false }
}

/// A thread that uses the CPU all the time.
fn busy(now: u64) -> impl FnOnce() -> Usage {
    move || Usage { cpu: now, queued: Some(0), runnable: true }
}

/// Takes samples of one beat at these times and returns the times of the reports.
fn reports(judge: &mut Judge, beat: Beat, times: impl IntoIterator<Item = u64>) -> Vec<u64> {
    times
        .into_iter()
        .filter_map(|now| match judge.look(beat, now, busy(now)) {
            Verdict::Slow(time, _) => Some(time),
            Verdict::Fine | Verdict::Over(_) => None,
        })
        .collect()
}

#[test]
fn a_slow_item_is_reported_at_each_doubling_and_at_its_end() {
    let mut judge = Judge::new(THRESHOLD);
    let said = reports(&mut judge, item(1), (0..=900).step_by(20));
    assert_eq!(said, [100, 200, 400, 800]);
    let Verdict::Over(stretch) = judge.look(item(2), 920, busy(920)) else { panic!("it is over") };
    assert_eq!((stretch.beat, stretch.since, stretch.until), (item(1), 0, 900));
    assert_eq!(judge.look(item(3), 940, busy(940)), Verdict::Fine);
}

#[test]
fn a_busy_loop_with_short_items_is_fine() {
    let mut judge = Judge::new(THRESHOLD);
    for now in 0..1000 {
        // Each item is seen by ten samples, and lasts less than the threshold.
        assert_eq!(judge.look(item(now / 10), now * 9, busy(now)), Verdict::Fine);
    }
}

#[test]
fn a_waiting_loop_is_fine_for_ever() {
    let mut judge = Judge::new(THRESHOLD);
    assert!(reports(&mut judge, waiting(7), (0..100_000).step_by(20)).is_empty());
    let stopped = Beat { number: 8, doing: Doing::Nothing, inside: false };
    assert!(reports(&mut judge, stopped, (0..100_000).step_by(20)).is_empty());
}

#[test]
fn a_loop_that_waits_for_the_interpreter_is_reported() {
    let mut judge = Judge::new(THRESHOLD);
    let resuming = Beat { number: 3, doing: Doing::Resuming, inside: false };
    assert_eq!(reports(&mut judge, resuming, (0..150).step_by(20)), [100]);
}

#[test]
fn the_end_of_an_item_that_was_not_reported_is_nothing() {
    let mut judge = Judge::new(THRESHOLD);
    assert!(reports(&mut judge, item(1), [0, 20, 40, 60]).is_empty());
    assert_eq!(judge.look(item(2), 80, busy(80)), Verdict::Fine);
}

#[test]
fn what_passes_during_a_report_is_not_reported_again() {
    let mut judge = Judge::new(THRESHOLD);
    assert_eq!(reports(&mut judge, item(1), (0..=100).step_by(20)), [100]);
    judge.reported_until(1000);
    assert_eq!(reports(&mut judge, item(1), (1000..1700).step_by(20)), [1600]);
}

#[test]
fn time_in_which_the_process_stood_still_does_not_count() {
    let mut judge = Judge::new(THRESHOLD);
    assert!(reports(&mut judge, item(1), [0, 20, 40]).is_empty());
    judge.forgive(item(1), 5000);
    assert_eq!(reports(&mut judge, item(1), [5060, 5080, 5100]), [100]);
    // By now it may have ended long ago.
    judge.forgive(item(2), 5000);
    let Verdict::Over(stretch) = judge.look(item(2), 10_120, busy(10_120)) else { panic!("it is over") };
    assert_eq!((stretch.since, stretch.until), (5000, 5100));
}

#[test]
fn spent_time_is_what_passed_since_the_second_sample() {
    let mut judge = Judge::new(THRESHOLD);
    for (now, cpu) in [(0, 500), (20, 500), (90, 501)] {
        let verdict = judge.look(item(1), now, || Usage { cpu, queued: Some(cpu * 2), runnable: false });
        assert_eq!(verdict, Verdict::Fine);
    }
    let verdict = judge.look(item(1), 120, || Usage { cpu: 503, queued: Some(1090), runnable: true });
    let spent = Spent { time: 100, cpu: 3, queued: Some(90), runnable: true };
    assert_eq!(verdict, Verdict::Slow(120, spent));
}

#[test]
fn an_extreme_threshold_does_no_harm() {
    let mut judge = Judge::new(u64::MAX);
    assert!(reports(&mut judge, item(1), [0, 1, u64::MAX - 1]).is_empty());
    let mut judge = Judge::new(0);
    assert_eq!(reports(&mut judge, item(1), [0, 1, 2, u64::MAX]).len(), 2);
    assert_eq!(Judge::interval(0), Judge::interval(1));
}

#[test]
fn a_pulse_shows_what_its_loop_is_doing() {
    let pulse = Pulse::new();
    let before = pulse.sample(false);
    assert_eq!(before.doing, Doing::Nothing);
    pulse.begin();
    let begun = pulse.sample(false);
    assert!(begun.is_busy() && pulse.thread() != 0 && begun != before);
    pulse.beat();
    assert_ne!(pulse.sample(false), begun);
    assert_ne!(pulse.sample(true), pulse.sample(false));
    pulse.go_on(Doing::Waiting);
    assert!(!pulse.sample(false).is_busy());
    pulse.set_awaited(true);
    assert!(pulse.is_awaited());
    pulse.end();
    assert_eq!(pulse.sample(false).doing, Doing::Nothing);
}
