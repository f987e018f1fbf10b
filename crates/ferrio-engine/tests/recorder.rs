//! The recorder: a ring keeps the latest events, and a replay makes slices, waits and wake-ups of them.

use ferrio_engine::recorder::jobs::{Jobs, Worker};
use ferrio_engine::recorder::picture::{Awaited, Name, Picture, RowKind, SliceKind, Span};
use ferrio_engine::recorder::{End, Event, Kind, Moment, OUTSIDE, Ring, Scale, Ticker, ended};

/// Events whose ticks are nanoseconds.
fn play(events: &[Event], from: u64, until: u64) -> Picture {
    let scale = Scale::between(Moment { ticks: 0, nanos: 0 }, Moment { ticks: 1000, nanos: 1000 });
    let mut picture = Picture::default();
    picture.play(events, &Span { scale, from, until });
    picture.finish();
    picture
}

fn event(kind: Kind, id: u64, value: u64) -> Event {
    Event::new(kind, id, value)
}

#[test]
fn a_ring_keeps_the_latest_events_and_counts_the_others() {
    let mut ring = Ring::new(Ticker::new(), 4).expect("there is memory");
    for id in 0..3 {
        ring.note_at(Kind::Step, id, 10 + id);
    }
    assert_eq!((ring.lost(), ring.copy().len(), ring.latest()), (0, 3, Some(12)));
    for id in 3..11 {
        ring.note_at(Kind::Step, id, 10 + id);
    }
    let left: Vec<_> = (7..11).map(|id| event(Kind::Step, id, 10 + id)).collect();
    assert_eq!((ring.lost(), ring.copy()), (7, left));
    assert_eq!(ring.latest(), Some(20));
}

#[test]
fn a_ring_without_memory_is_refused() {
    assert!(Ring::new(Ticker::new(), usize::MAX / 2).is_err());
}

#[test]
fn the_ticker_agrees_with_the_clock() {
    let ticker = Ticker::new();
    let first = ticker.moment();
    std::thread::sleep(std::time::Duration::from_millis(20));
    let (between, last) = (ticker.moment(), ticker.moment());
    let scale = Scale::between(first, last);
    assert_eq!(scale.nanos(first.ticks), first.nanos);
    assert!(scale.nanos(between.ticks).abs_diff(between.nanos) < 1_000_000);
    assert!(first.ticks < between.ticks && between.ticks <= last.ticks);
}

#[test]
fn a_scale_of_one_moment_is_defined() {
    let moment = Moment { ticks: 5, nanos: 7 };
    assert_eq!(Scale::between(moment, moment).nanos(5), 7);
}

#[test]
fn a_step_ends_where_the_next_thing_begins() {
    let picture = play(
        &[
            event(Kind::Step, 1, 100),
            event(Kind::Call, 7, 130),
            event(Kind::Sleep, 0, 150),
            event(Kind::Awake, 0, 400),
        ],
        100,
        500,
    );
    let slices: Vec<_> =
        picture.slices.iter().map(|slice| (slice.start, slice.length, slice.label, slice.kind)).collect();
    let expected = [
        (0, 30, None, SliceKind::Step),
        (30, 20, Some(7), SliceKind::Call),
        (300, 100, None, SliceKind::Interpreter),
    ];
    assert_eq!(slices, expected);
    assert_eq!((picture.polls[0].start, picture.polls[0].length), (50, 250));
    assert_eq!(picture.rows[0].kind, RowKind::Actor);
    assert_eq!(picture.rows[1].kind, RowKind::Calls);
}

#[test]
fn waits_and_wakes_have_both_ends() {
    let picture = play(
        &[
            event(Kind::Step, 1, 100),
            event(Kind::Made, 2, 110),
            event(Kind::Await, 1, 9),
            event(Kind::Step, 2, 120),
            event(Kind::Wake, 1, 130),
            event(Kind::Ended, 2, ended(End::Failed, 5)),
            event(Kind::Number, 0, 42),
            event(Kind::Step, 1, 140),
            event(Kind::Ended, 1, ended(End::Cancelled, 6)),
            event(Kind::Idle, 0, 150),
        ],
        0,
        1000,
    );
    let wait = picture.waits[0];
    assert_eq!((wait.start, wait.length, wait.row, wait.what), (120, 20, 0, Awaited::Label(9)));
    let wake = picture.wakes[0];
    assert_eq!((wake.time, wake.from, wake.to, wake.label, wake.delay), (130, Some(1), 0, Some(9), 10));
    let made = &picture.rows[1];
    assert_eq!((made.created, made.parent, made.ended), (Some(110), Some(0), Some((140, End::Failed))));
    assert_eq!((made.label, &made.name, made.actor), (Some(5), &Name::Number(42), None));
    assert_eq!(picture.rows[0].ended, Some((150, End::Cancelled)));
}

#[test]
fn an_actor_that_is_woken_as_soon_as_it_waits_does_one_thing_at_a_time() {
    let picture = play(
        &[
            event(Kind::Step, 1, 100),
            event(Kind::Await, 1, 9),
            event(Kind::Wake, 1, 120),
            event(Kind::Idle, 0, 130),
            event(Kind::Step, 1, 150),
        ],
        0,
        1000,
    );
    assert_eq!((picture.slices[0].start, picture.slices[0].length), (100, 20));
    assert_eq!((picture.waits[0].start, picture.waits[0].length), (120, 30));
    assert_eq!((picture.wakes[0].from, picture.wakes[0].delay), (None, 30));
}

#[test]
fn an_inner_step_interrupts_the_outer_one() {
    let picture = play(
        &[
            event(Kind::Step, 1, 100),
            event(Kind::Made, 2, 105),
            event(Kind::Inner, 0, 110),
            event(Kind::Step, 2, 110),
            event(Kind::Outer, 0, 130),
            event(Kind::Idle, 0, 160),
        ],
        0,
        1000,
    );
    let slices: Vec<_> = picture.slices.iter().map(|slice| (slice.row, slice.start, slice.length)).collect();
    assert_eq!(slices, [(0, 100, 10), (1, 110, 20), (0, 130, 30)]);
}

#[test]
fn a_number_that_is_used_again_is_another_actor() {
    let picture = play(
        &[
            event(Kind::Step, 1, 100),
            event(Kind::Ended, 1, ended(End::Finished, 3)),
            event(Kind::Made, 1, 120),
            event(Kind::Step, 1, 130),
            event(Kind::Idle, 0, 140),
        ],
        0,
        1000,
    );
    assert_eq!(picture.slices.iter().map(|slice| slice.row).collect::<Vec<_>>(), [0, 1]);
    assert_eq!((picture.rows[0].actor, picture.rows[1].actor), (None, Some(1)));
}

#[test]
fn names_of_any_length_are_kept_as_far_as_there_is_room() {
    for name in ["", "x", "a name that is longer than one event", &"é".repeat(60)] {
        let mut ring = Ring::new(Ticker::new(), 64).expect("there is memory");
        ring.note_at(Kind::Step, 1, 100);
        ring.add(Kind::Ended, 1, ended(End::Finished, 0));
        ring.add_text(name);
        ring.note_at(Kind::Idle, 0, 110);
        let picture = play(&ring.copy(), 0, 1000);
        let kept = &name.as_bytes()[..name.len().min(90)];
        match &picture.rows[0].name {
            Name::Text(text) => assert_eq!(text, kept),
            other => assert_eq!((other, kept.len()), (&Name::Unknown, 0)),
        }
    }
}

#[test]
fn what_was_over_before_is_left_out_and_what_had_begun_is_cut() {
    let picture = play(
        &[
            event(Kind::Step, 1, 100),
            event(Kind::Ended, 1, ended(End::Finished, 3)),
            event(Kind::Step, 2, 150),
            event(Kind::Await, 2, 4),
            event(Kind::Sleep, 0, 160),
            event(Kind::Awake, 0, 300),
            event(Kind::Step, 2, 310),
        ],
        200,
        320,
    );
    assert_eq!(picture.rows.iter().filter(|row| row.kind == RowKind::Actor).count(), 1);
    assert_eq!((picture.polls[0].start, picture.polls[0].length), (0, 100));
    assert_eq!((picture.waits[0].start, picture.waits[0].length), (0, 110));
    assert_eq!(picture.slices.iter().map(|slice| slice.start).collect::<Vec<_>>(), [100, 110]);
}

#[test]
fn timers_and_other_threads_wake_from_nowhere() {
    let picture = play(
        &[
            event(Kind::Timer, 8, 100),
            event(Kind::Wake, 1, 105),
            event(Kind::Io, 9, 110),
            event(Kind::Wake, 2, 115),
            event(Kind::WakeOutside, 3, 120),
        ],
        0,
        1000,
    );
    let wakes: Vec<_> = picture.wakes.iter().map(|wake| (wake.from, wake.label)).collect();
    let io = picture.rows.iter().position(|row| row.kind == RowKind::Io).map(|row| row as u32);
    assert_eq!(wakes, [(None, Some(8)), (io, Some(9)), (None, Some(OUTSIDE))]);
}

#[test]
fn jobs_have_lanes_and_a_time_in_the_queue() {
    let mut jobs = Jobs::new(2);
    let worker = Worker { number: 77, label: 20 };
    for _ in 0..2 {
        let forgotten = jobs.submit(30, 10);
        jobs.begin(forgotten, worker, 20);
        jobs.end(forgotten, 30);
    }
    let called_off = jobs.submit(30, 100);
    jobs.end(called_off, 110);
    let over = jobs.submit(31, 120);
    jobs.begin(over, worker, 150);
    jobs.end(over, 180);
    let queued = jobs.submit(32, 160);
    let going_on = jobs.submit(33, 130);
    jobs.begin(going_on, Worker { number: 78, label: 21 }, 190);
    assert_eq!(jobs.lost(), 1);
    assert!(jobs.copy().iter().any(|job| job.number == queued && job.began.is_none()));

    let scale = Scale::between(Moment { ticks: 0, nanos: 0 }, Moment { ticks: 1000, nanos: 1000 });
    let span = Span { scale, from: 100, until: 200 };
    let mut picture = Picture::default();
    let events = [
        event(Kind::Step, 1, 110),
        event(Kind::Submit, over, 120),
        event(Kind::Idle, 0, 125),
        event(Kind::Timer, 8, 185),
        event(Kind::Collect, over, 186),
        event(Kind::Wake, 1, 187),
        event(Kind::Wake, 2, 188),
        event(Kind::Step, 1, 195),
    ];
    picture.play(&events, &span);
    picture.add_jobs(&jobs.copy(), &span);
    picture.finish();
    assert_eq!(picture.lanes.iter().map(|lane| lane.is_worker).collect::<Vec<_>>(), [false, true, true]);
    let slices: Vec<_> =
        picture.slices.iter().map(|slice| (slice.start, slice.length, slice.label)).collect();
    let expected = [(10, 15, None), (50, 30, Some(31)), (85, 10, Some(8)), (90, 10, Some(33)), (95, 5, None)];
    assert_eq!(slices, expected);
    // The job's end woke the first that was woken after it was collected.
    let worker = picture.slices[1].row;
    let wakes: Vec<_> = picture.wakes.iter().map(|wake| (wake.time, wake.from, wake.delay)).collect();
    assert_eq!(wakes, [(20, Some(0), 30), (30, None, 60), (80, Some(worker), 15), (88, None, 12)]);
    assert_eq!(
        picture.waits.iter().map(|wait| (wait.start, wait.length)).collect::<Vec<_>>(),
        [(20, 30), (30, 60)]
    );
}
