//! Plays the events of one loop in order, and makes slices, waits and wake-ups of them.

use std::collections::HashMap;

use super::picture::{Awaited, Name, Picture, Poll, RowKind, Slice, SliceKind, Span, Waited, Wake};
use super::{Event, Id, Kind, OUTSIDE, end_of};
use crate::clock::Nanos;

/// What runs.
#[derive(Copy, Clone)]
struct Running {
    since: Result<Nanos, ()>,
    row: u32,
    label: Option<u32>,
    kind: SliceKind,
    by_timer: bool,
}

/// Plays the events of one loop.
pub(super) struct Player<'a> {
    picture: &'a mut Picture,
    lane: u32,
    span: &'a Span,
    now: Result<Nanos, ()>,
    running: Option<Running>,
    set_aside: Vec<Option<Running>>,
    polling: Option<Result<Nanos, ()>>,
    actors: HashMap<Id, u32>,
    waiting: HashMap<u32, (Result<Nanos, ()>, Awaited)>,
    /// The wake-ups of each row that haven't led to a step.
    woken: HashMap<u32, Vec<usize>>,
    calls: Option<u32>,
    io: Option<u32>,
    /// The row of the actor that was named last.
    named: Option<u32>,
    /// The job of whose end the item that runs was told, until that wakes somebody.
    collecting: Option<Id>,
}

impl<'a> Player<'a> {
    pub(super) fn new(picture: &'a mut Picture, lane: u32, span: &'a Span) -> Self {
        Self {
            picture,
            lane,
            span,
            now: Err(()),
            running: None,
            set_aside: Vec::new(),
            polling: None,
            actors: HashMap::new(),
            waiting: HashMap::new(),
            woken: HashMap::new(),
            calls: None,
            io: None,
            named: None,
            collecting: None,
        }
    }

    pub(super) fn play(&mut self, events: &[Event]) {
        let mut timeless = Vec::new();
        for event in events {
            let Some(kind) = event.kind() else { continue };
            if !kind.has_time() {
                timeless.push((kind, *event));
                continue;
            }
            self.go_to(self.span.place(event.value));
            for (kind, event) in timeless.drain(..) {
                self.happen_before(kind, event);
            }
            self.happen(kind, event.id());
        }
        let end = self.span.until.saturating_sub(self.span.from);
        self.go_to(Ok(end));
        for (kind, event) in timeless {
            self.happen_before(kind, event);
        }
        self.end_slice();
        self.end_poll();
        for (row, (since, what)) in std::mem::take(&mut self.waiting) {
            self.add_wait(row, since, what);
        }
        for row in self.woken.keys().copied().collect::<Vec<_>>() {
            self.arrive(row);
        }
    }

    /// Time doesn't go back, even if processors disagree by a little.
    fn go_to(&mut self, time: Result<Nanos, ()>) {
        self.now = match (self.now, time) {
            (Ok(now), Ok(time)) => Ok(now.max(time)),
            (Ok(now), Err(())) => Ok(now),
            (Err(()), time) => time,
        };
    }

    fn happen(&mut self, kind: Kind, id: Id) {
        match kind {
            Kind::Step => {
                let row = self.actor(id);
                self.end_wait(row);
                self.arrive(row);
                self.begin_slice(row, None, SliceKind::Step, false);
            }
            Kind::Call | Kind::Timer => {
                let row = self.calls();
                self.begin_slice(row, Some(id as u32), SliceKind::Call, kind == Kind::Timer);
            }
            Kind::Io => {
                let row = self.io();
                self.begin_slice(row, Some(id as u32), SliceKind::Io, false);
            }
            Kind::Idle => self.end_slice(),
            Kind::Sleep => {
                self.end_slice();
                self.polling = Some(self.now);
            }
            Kind::Awake => {
                self.end_slice();
                let row = self.calls();
                self.begin_slice(row, None, SliceKind::Interpreter, false);
            }
            Kind::Run => {
                self.end_slice();
                let threads = &mut self.picture.lanes[self.lane as usize].threads;
                if !threads.contains(&(id as u32)) {
                    threads.push(id as u32);
                }
            }
            Kind::Inner => {
                let outer = self.running;
                self.end_slice();
                self.set_aside.push(outer);
            }
            Kind::Outer => {
                self.end_slice();
                self.running =
                    self.set_aside.pop().flatten().map(|outer| Running { since: self.now, ..outer });
            }
            Kind::Made => {
                let parent = self.running.map(|running| running.row).filter(|row| self.is_actor(*row));
                let row = self.add_row(RowKind::Actor, Some(id));
                self.picture.rows[row as usize].parent = parent;
                self.picture.rows[row as usize].created = self.now.ok();
                self.actors.insert(id, row);
                self.named = Some(row);
            }
            Kind::Wake | Kind::WakeOutside => self.wake(id, kind == Kind::WakeOutside),
            Kind::Submit => {
                if let Some(running) = self.running {
                    self.picture.submitters.insert(id, running.row);
                }
            }
            Kind::Collect => self.collecting = Some(id),
            _ => {}
        }
    }

    fn happen_before(&mut self, kind: Kind, event: Event) {
        match kind {
            Kind::Await => {
                let row = self.actor(event.id());
                self.begin_wait(row, Awaited::Label(event.value as u32));
            }
            Kind::AwaitActor => {
                let row = self.actor(event.id());
                let awaited = self.actor(event.value);
                self.begin_wait(row, Awaited::Row(awaited));
            }
            Kind::Ended => {
                let row = self.actor(event.id());
                self.end_wait(row);
                let (how, label) = end_of(event.value);
                let ended = &mut self.picture.rows[row as usize];
                ended.ended = Some((self.now.unwrap_or(0), how));
                ended.label = Some(label);
                ended.actor = None;
                self.actors.remove(&event.id());
                self.named = Some(row);
            }
            Kind::Number => self.name(|name| *name = Name::Number(event.value)),
            Kind::Text => self.name(|name| match name {
                Name::Text(text) => text.extend(event.text()),
                _ => *name = Name::Text(event.text().collect()),
            }),
            Kind::Origin => {
                if let Some(row) = self.named {
                    self.picture.rows[row as usize].stack = Some(event.value as u32);
                }
            }
            _ => {}
        }
    }

    fn name(&mut self, change: impl FnOnce(&mut Name)) {
        if let Some(row) = self.named {
            change(&mut self.picture.rows[row as usize].name);
        }
    }

    fn wake(&mut self, id: Id, outside: bool) {
        let to = self.actor(id);
        let awaited = match self.waiting.get(&to) {
            Some((_, Awaited::Label(label))) => Some(*label),
            _ => None,
        };
        let running = self.running.filter(|_| !outside);
        if running.is_some_and(|running| running.row == to) {
            return;
        }
        let from = running.filter(|running| !running.by_timer).map(|running| running.row);
        let why = if outside { Some(OUTSIDE) } else { running.and_then(|running| running.label).or(awaited) };
        let collected = self.collecting.take();
        if let Ok(time) = self.now {
            if let Some(job) = collected {
                self.picture.collectors.insert(job, self.picture.wakes.len());
            }
            self.woken.entry(to).or_default().push(self.picture.wakes.len());
            self.picture.wakes.push(Wake { time, from, to, label: why, delay: 0 });
        }
    }

    /// What woke the row has led to this.
    fn arrive(&mut self, row: u32) {
        for wake in self.woken.remove(&row).into_iter().flatten() {
            let wake = &mut self.picture.wakes[wake];
            wake.delay = self.now.map_or(0, |now| now - wake.time);
        }
    }

    fn begin_slice(&mut self, row: u32, label: Option<u32>, kind: SliceKind, by_timer: bool) {
        self.end_slice();
        self.end_poll();
        self.running = Some(Running { since: self.now, row, label, kind, by_timer });
    }

    fn end_slice(&mut self) {
        self.collecting = None;
        let Some(Running { since, row, label, kind, .. }) = self.running.take() else { return };
        if let Ok(now) = self.now {
            let start = since.unwrap_or(0);
            self.picture.slices.push(Slice { start, length: now - start, row, label, kind });
        }
    }

    fn end_poll(&mut self) {
        let Some(since) = self.polling.take() else { return };
        if let Ok(now) = self.now {
            let start = since.unwrap_or(0);
            self.picture.polls.push(Poll { start, length: now - start, lane: self.lane });
        }
    }

    fn begin_wait(&mut self, row: u32, what: Awaited) {
        // A step that waits is over, even if the actor is woken before anything else happens.
        if self.running.is_some_and(|running| running.row == row) {
            self.end_slice();
        }
        self.waiting.insert(row, (self.now, what));
    }

    fn end_wait(&mut self, row: u32) {
        if let Some((since, what)) = self.waiting.remove(&row) {
            self.add_wait(row, since, what);
        }
    }

    fn add_wait(&mut self, row: u32, since: Result<Nanos, ()>, what: Awaited) {
        if let Ok(now) = self.now {
            let start = since.unwrap_or(0);
            self.picture.waits.push(Waited { start, length: now - start, row, what });
        }
    }

    /// The row of an actor, which is new if nothing is known of the actor.
    fn actor(&mut self, id: Id) -> u32 {
        if let Some(row) = self.actors.get(&id) {
            return *row;
        }
        let row = self.add_row(RowKind::Actor, Some(id));
        self.actors.insert(id, row);
        row
    }

    fn calls(&mut self) -> u32 {
        let row = self.calls.unwrap_or_else(|| self.add_row(RowKind::Calls, None));
        *self.calls.insert(row)
    }

    fn io(&mut self) -> u32 {
        let row = self.io.unwrap_or_else(|| self.add_row(RowKind::Io, None));
        *self.io.insert(row)
    }

    fn is_actor(&self, row: u32) -> bool {
        self.picture.rows[row as usize].kind == RowKind::Actor
    }

    fn add_row(&mut self, kind: RowKind, actor: Option<Id>) -> u32 {
        self.picture.add_row(kind, self.lane, actor)
    }
}
