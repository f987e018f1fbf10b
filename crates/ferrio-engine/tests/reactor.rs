//! The backend contract at the head of `reactor/mod.rs`, sentence by sentence, for each backend.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use ferrio_engine::{Event, Events, Interest, Kind, Reactor, Wait, Wake};

/// Makes a reactor of the kind that is tested.
type New = fn() -> io::Result<Reactor>;

/// Each backend has all of the tests.
macro_rules! each_backend_passes {
    ($($test:ident)*) => {
        each_backend_passes! { @ epoll = || Reactor::of(Kind::Epoll); $($test)* }
        each_backend_passes! { @ epoll_without_pwait2 = Reactor::without_pwait2; $($test)* }
        each_backend_passes! { @ poll = || Reactor::of(Kind::Poll); $($test)* }
    };
    (@ $kind:ident = $new:expr; $($test:ident)*) => {
        mod $kind {
            use super::*;

            $(#[test]
            fn $test() -> io::Result<()> {
                super::$test($new)
            })*
        }
    };
}

each_backend_passes! {
    readiness_is_a_level_and_carries_the_token
    edge_is_reported_once_until_modified_or_repeated
    interest_for_one_event_ends_with_it_a_hangup_included
    rearming_a_number_that_was_closed_and_used_again_registers_it_anew
    uncounted_descriptor_ends_a_wait_but_is_not_watched
    interest_can_be_changed_and_ended
    misuse_is_an_error_of_its_own_kind
    end_of_input_hangup_and_error_are_told_apart
    full_buffer_leaves_the_rest_to_the_next_wait
    a_limit_leaves_the_rest_to_the_next_wait_and_starves_nobody
    wake_ends_one_wait_and_is_no_event
    wake_comes_beside_events_without_hiding_them
    waker_works_after_it_was_full
    timed_waits_end
    zero_timeout_does_not_wait
    edge_of_input_that_comes_after_all_was_read_is_reported
    edge_that_was_told_hides_no_other_descriptor
    closed_descriptor_is_forgotten_silently
    waits_use_changes_that_another_thread_made_meanwhile
    many_descriptors_are_watched_at_once
}

/// What one wait brings.
fn wait(reactor: &Reactor, timeout: Wait) -> io::Result<Vec<Event>> {
    let mut events = Events::with_capacity(16);
    reactor.wait(&mut events, timeout)?;
    assert_eq!(events.len(), events.iter().count());
    assert_eq!(events.get(0), events.iter().next());
    assert_eq!(events.is_empty(), events.get(0).is_none());
    Ok(events.iter().collect())
}

const QUIET: Event = Event { token: 0, readable: false, writable: false, hangup: false, error: false };

fn readiness_is_a_level_and_carries_the_token(new: New) -> io::Result<()> {
    let (reactor, (mut ours, mut theirs)) = (new()?, UnixStream::pair()?);
    reactor.register(ours.as_raw_fd(), 7, Interest::READABLE)?;
    assert_eq!(wait(&reactor, Wait::Now)?, []);
    theirs.write_all(b"x")?;
    let readable = Event { token: 7, readable: true, ..QUIET };
    assert_eq!(wait(&reactor, Wait::Forever)?, [readable]);
    assert_eq!(wait(&reactor, Wait::Until(Duration::from_secs(9)))?, [readable], "still unread");
    ours.read_exact(&mut [0])?;
    assert_eq!(wait(&reactor, Wait::Now)?, []);
    Ok(())
}

fn edge_is_reported_once_until_modified_or_repeated(new: New) -> io::Result<()> {
    let (reactor, (ours, mut theirs)) = (new()?, UnixStream::pair()?);
    reactor.register(ours.as_raw_fd(), 1, Interest::READABLE.edge_triggered())?;
    theirs.write_all(b"x")?;
    assert_eq!(wait(&reactor, Wait::Forever)?.len(), 1);
    assert_eq!(wait(&reactor, Wait::Now)?, []);
    theirs.write_all(b"y")?;
    assert_eq!(wait(&reactor, Wait::Now)?.len(), 1);
    reactor.modify(ours.as_raw_fd(), 2, Interest::BOTH.edge_triggered())?;
    assert_eq!(wait(&reactor, Wait::Now)?, [Event { token: 2, readable: true, writable: true, ..QUIET }]);
    assert_eq!(wait(&reactor, Wait::Now)?, []);
    Ok(())
}

fn interest_for_one_event_ends_with_it_a_hangup_included(new: New) -> io::Result<()> {
    let (reactor, (ours, mut theirs)) = (new()?, UnixStream::pair()?);
    let fd = ours.as_raw_fd();
    reactor.register(fd, 1, Interest::READABLE.only_once())?;
    theirs.write_all(b"x")?;
    assert_eq!(wait(&reactor, Wait::Forever)?.len(), 1);
    assert_eq!(wait(&reactor, Wait::Now)?, []);
    drop(theirs);
    assert_eq!(wait(&reactor, Wait::Now)?, []);
    reactor.rearm(fd, 2, Interest::READABLE.only_once())?;
    assert_eq!(wait(&reactor, Wait::Now)?, [Event { token: 2, readable: true, hangup: true, ..QUIET }]);
    Ok(())
}

fn rearming_a_number_that_was_closed_and_used_again_registers_it_anew(new: New) -> io::Result<()> {
    let (reactor, (ours, theirs)) = (new()?, UnixStream::pair()?);
    let fd = ours.as_raw_fd();
    reactor.register(fd, 1, Interest::WRITABLE.only_once())?;
    assert_eq!(wait(&reactor, Wait::Now)?.len(), 1);
    // Closing does this without telling the reactor.
    reactor.deregister(fd)?;
    reactor.count(true);
    reactor.register(theirs.as_raw_fd(), 3, Interest::READABLE)?;
    reactor.rearm(fd, 2, Interest::WRITABLE.only_once())?;
    assert_eq!(wait(&reactor, Wait::Now)?, [Event { token: 2, writable: true, ..QUIET }]);
    reactor.forget(fd);
    reactor.forget(theirs.as_raw_fd());
    assert_eq!(reactor.watched(), 0);
    Ok(())
}

fn uncounted_descriptor_ends_a_wait_but_is_not_watched(new: New) -> io::Result<()> {
    let (reactor, (ours, mut theirs)) = (new()?, UnixStream::pair()?);
    reactor.register(ours.as_raw_fd(), 5, Interest::READABLE)?;
    reactor.count(false);
    assert_eq!(reactor.watched(), 0);
    theirs.write_all(b"x")?;
    assert_eq!(wait(&reactor, Wait::Forever)?, [Event { token: 5, readable: true, ..QUIET }]);
    reactor.count(true);
    assert_eq!(reactor.watched(), 1);
    Ok(())
}

fn interest_can_be_changed_and_ended(new: New) -> io::Result<()> {
    let (reactor, (ours, mut theirs)) = (new()?, UnixStream::pair()?);
    let fd = ours.as_raw_fd();
    theirs.write_all(b"x")?;
    reactor.register(fd, 1, Interest::WRITABLE)?;
    assert_eq!(reactor.watched(), 1);
    assert_eq!(wait(&reactor, Wait::Now)?, [Event { token: 1, writable: true, ..QUIET }]);
    reactor.modify(fd, 1, Interest::BOTH)?;
    assert_eq!(wait(&reactor, Wait::Now)?, [Event { token: 1, readable: true, writable: true, ..QUIET }]);
    reactor.deregister(fd)?;
    assert_eq!(wait(&reactor, Wait::Now)?, []);
    assert_eq!(reactor.watched(), 0);
    Ok(())
}

fn misuse_is_an_error_of_its_own_kind(new: New) -> io::Result<()> {
    let (reactor, (ours, _theirs)) = (new()?, UnixStream::pair()?);
    let fd = ours.as_raw_fd();
    let kind = |result: io::Result<()>| result.err().map(|error| error.kind());
    assert_eq!(kind(reactor.modify(fd, 1, Interest::BOTH)), Some(ErrorKind::NotFound));
    assert_eq!(kind(reactor.deregister(fd)), Some(ErrorKind::NotFound));
    reactor.register(fd, 1, Interest::BOTH)?;
    assert_eq!(kind(reactor.register(fd, 1, Interest::BOTH)), Some(ErrorKind::AlreadyExists));
    assert_eq!(kind(reactor.register(fd, u64::MAX, Interest::BOTH)), Some(ErrorKind::InvalidInput));
    assert_eq!(kind(reactor.modify(fd, u64::MAX, Interest::BOTH)), Some(ErrorKind::InvalidInput));
    let file = std::fs::File::open(std::env::current_exe()?)?;
    assert_eq!(
        kind(reactor.register(file.as_raw_fd(), 1, Interest::READABLE)),
        Some(ErrorKind::PermissionDenied)
    );
    assert!(kind(reactor.register(-1, 1, Interest::READABLE)).is_some());
    assert_eq!(reactor.watched(), 1, "failures are not counted");
    Ok(())
}

fn end_of_input_hangup_and_error_are_told_apart(new: New) -> io::Result<()> {
    let (reactor, (ours, theirs)) = (new()?, UnixStream::pair()?);
    reactor.register(ours.as_raw_fd(), 1, Interest::READABLE)?;
    theirs.shutdown(std::net::Shutdown::Write)?;
    assert_eq!(wait(&reactor, Wait::Now)?, [Event { token: 1, readable: true, ..QUIET }]);
    drop(theirs);
    assert_eq!(wait(&reactor, Wait::Now)?, [Event { token: 1, readable: true, hangup: true, ..QUIET }]);

    let (reader, writer) = io::pipe()?;
    let reactor = new()?;
    // Not even requested: errors and hang-ups are always reported.
    reactor.register(writer.as_raw_fd(), 2, Interest { readable: false, ..Interest::READABLE })?;
    assert_eq!(wait(&reactor, Wait::Now)?, []);
    drop(reader);
    assert_eq!(wait(&reactor, Wait::Now)?, [Event { token: 2, error: true, ..QUIET }]);
    Ok(())
}

fn full_buffer_leaves_the_rest_to_the_next_wait(new: New) -> io::Result<()> {
    let reactor = new()?;
    let pairs = (0..5).map(|_| UnixStream::pair()).collect::<io::Result<Vec<_>>>()?;
    for (token, (ours, _)) in (0..).zip(&pairs) {
        reactor.register(ours.as_raw_fd(), token, Interest::WRITABLE.edge_triggered())?;
    }
    let (mut events, mut seen) = (Events::with_capacity(2), Vec::new());
    while seen.len() < 5 {
        reactor.wait(&mut events, Wait::Forever)?;
        assert!((1..=2).contains(&events.len()));
        seen.extend(events.iter().map(|event| event.token));
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4]);
    Ok(())
}

fn a_limit_leaves_the_rest_to_the_next_wait_and_starves_nobody(new: New) -> io::Result<()> {
    let reactor = new()?;
    let pairs = (0..5).map(|_| UnixStream::pair()).collect::<io::Result<Vec<_>>>()?;
    for (token, (ours, _)) in (0..).zip(&pairs) {
        reactor.register(ours.as_raw_fd(), token, Interest::WRITABLE)?;
    }
    let (mut events, mut seen) = (Events::with_capacity(16), Vec::new());
    events.limit(2);
    for _ in 0..5 {
        reactor.wait(&mut events, Wait::Forever)?;
        assert_eq!(events.len(), 2);
        seen.extend(events.iter().map(|event| event.token));
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4], "each is ready all the time, and each had its turn");
    for (most, count) in [(0, 1), (1_000, 5)] {
        events.limit(most);
        reactor.wait(&mut events, Wait::Forever)?;
        assert_eq!(events.len(), count);
    }
    Ok(())
}

fn wake_ends_one_wait_and_is_no_event(new: New) -> io::Result<()> {
    let reactor = new()?;
    let waker = reactor.waker();
    let other = std::thread::spawn({
        let waker = waker.clone();
        move || waker.wake()
    });
    assert_eq!(wait(&reactor, Wait::Forever)?, [], "ended by the thread");
    assert!(other.join().is_ok());
    waker.wake();
    waker.wake();
    assert_eq!(wait(&reactor, Wait::Forever)?, [], "woken beforehand");
    // Both wake-ups are used up. Otherwise these waits would end before their time.
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(5) {
        assert_eq!(wait(&reactor, Wait::Until(Duration::from_millis(5) - start.elapsed()))?, []);
    }
    Ok(())
}

fn wake_comes_beside_events_without_hiding_them(new: New) -> io::Result<()> {
    let (reactor, (ours, theirs)) = (new()?, UnixStream::pair()?);
    reactor.register(ours.as_raw_fd(), 1, Interest::WRITABLE)?;
    reactor.waker().wake();
    reactor.register(theirs.as_raw_fd(), 2, Interest::WRITABLE)?;
    let mut tokens: Vec<_> = wait(&reactor, Wait::Now)?.iter().map(|event| event.token).collect();
    tokens.sort_unstable();
    assert_eq!(tokens, [1, 2]);
    Ok(())
}

fn waker_works_after_it_was_full(new: New) -> io::Result<()> {
    let reactor = new()?;
    let waker = reactor.waker();
    let mut fd = std::fs::File::from(waker.as_fd().try_clone_to_owned()?);
    // A counter is full after one write, a pipe after many.
    while fd.write_all(&(u64::MAX - 1).to_ne_bytes()).is_ok() {}
    waker.wake();
    assert_eq!(wait(&reactor, Wait::Forever)?, []);
    assert_eq!(wait(&reactor, Wait::Now)?, []);
    waker.wake();
    assert_eq!(wait(&reactor, Wait::Forever)?, [], "the wake after the overflow arrives");
    Ok(())
}

fn timed_waits_end(new: New) -> io::Result<()> {
    let reactor = new()?;
    for micros in [0, 1, 30, 150, 2_000] {
        let (start, timeout) = (Instant::now(), Duration::from_micros(micros));
        while start.elapsed() < timeout {
            // It may end early, but it always ends.
            assert_eq!(wait(&reactor, Wait::Until(timeout.saturating_sub(start.elapsed())))?, []);
        }
    }
    let (ours, _theirs) = UnixStream::pair()?;
    reactor.register(ours.as_raw_fd(), 1, Interest::WRITABLE)?;
    // A timeout of centuries is accepted, and an event ends the wait.
    assert_eq!(wait(&reactor, Wait::Until(Duration::MAX))?.len(), 1);
    Ok(())
}

fn zero_timeout_does_not_wait(new: New) -> io::Result<()> {
    let reactor = new()?;
    // A timerfd armed with zero would be disarmed, and this would hang.
    assert_eq!(wait(&reactor, Wait::Until(Duration::ZERO))?, []);
    Ok(())
}

fn edge_of_input_that_comes_after_all_was_read_is_reported(new: New) -> io::Result<()> {
    let (reactor, (mut ours, mut theirs)) = (new()?, UnixStream::pair()?);
    reactor.register(ours.as_raw_fd(), 1, Interest::BOTH.edge_triggered())?;
    assert_eq!(wait(&reactor, Wait::Now)?, [Event { token: 1, writable: true, ..QUIET }]);
    for _ in 0..5 {
        theirs.write_all(b"x")?;
        // The room to write is there all the time, so the wait may end for it too.
        while !wait(&reactor, Wait::Forever)?.iter().any(|event| event.readable) {}
        ours.read_exact(&mut [0])?;
    }
    Ok(())
}

fn edge_that_was_told_hides_no_other_descriptor(new: New) -> io::Result<()> {
    let (reactor, (ours, theirs)) = (new()?, UnixStream::pair()?);
    reactor.register(ours.as_raw_fd(), 1, Interest::WRITABLE.edge_triggered())?;
    assert_eq!(wait(&reactor, Wait::Forever)?.len(), 1);
    let writer = std::thread::spawn(move || {
        let mut theirs = theirs;
        theirs.write_all(b"x").map(|()| theirs)
    });
    reactor.modify(ours.as_raw_fd(), 2, Interest::BOTH.edge_triggered())?;
    while !wait(&reactor, Wait::Forever)?.iter().any(|event| event.readable) {}
    let theirs = writer.join();
    assert!(matches!(theirs, Ok(Ok(_))));
    drop(theirs);
    while !wait(&reactor, Wait::Forever)?.iter().any(|event| event.hangup) {}
    assert_eq!(wait(&reactor, Wait::Now)?, [], "a hang-up is told once too");
    Ok(())
}

fn closed_descriptor_is_forgotten_silently(new: New) -> io::Result<()> {
    let (reactor, (ours, theirs)) = (new()?, UnixStream::pair()?);
    let fd = ours.as_raw_fd();
    reactor.register(fd, 1, Interest::WRITABLE)?;
    drop(ours);
    assert_eq!(wait(&reactor, Wait::Now)?, []);
    assert!(reactor.modify(fd, 1, Interest::WRITABLE).is_err());
    reactor.forget(fd);
    assert_eq!(reactor.watched(), 0);
    drop(theirs);
    Ok(())
}

fn waits_use_changes_that_another_thread_made_meanwhile(new: New) -> io::Result<()> {
    let (reactor, (ours, _theirs)) = (std::sync::Arc::new(new()?), UnixStream::pair()?);
    let fd = ours.as_raw_fd();
    let other = std::thread::spawn({
        let reactor = reactor.clone();
        move || reactor.register(fd, 1, Interest::WRITABLE)
    });
    while wait(&reactor, Wait::Forever)?.is_empty() {}
    assert!(matches!(other.join(), Ok(Ok(()))));
    Ok(())
}

fn many_descriptors_are_watched_at_once(new: New) -> io::Result<()> {
    let reactor = new()?;
    let mut pairs = (0..200).map(|_| UnixStream::pair()).collect::<io::Result<Vec<_>>>()?;
    for (token, (ours, _)) in (0..).zip(&pairs) {
        reactor.register(ours.as_raw_fd(), token, Interest::READABLE)?;
    }
    for token in [199, 0, 77] {
        pairs[token].1.write_all(b"x")?;
        assert_eq!(wait(&reactor, Wait::Forever)?.len(), 1);
        assert_eq!(wait(&reactor, Wait::Now)?[0].token, token as u64);
        pairs[token].0.read_exact(&mut [0])?;
    }
    for (ours, _) in pairs.iter().step_by(2) {
        reactor.deregister(ours.as_raw_fd())?;
    }
    pairs[100].1.write_all(b"x")?;
    pairs[101].1.write_all(b"x")?;
    assert_eq!(wait(&reactor, Wait::Forever)?.iter().map(|event| event.token).collect::<Vec<_>>(), [101]);
    assert_eq!(reactor.watched(), 100);
    Ok(())
}

#[test]
fn poll_reports_in_the_order_of_registration() -> io::Result<()> {
    let reactor = Reactor::of(Kind::Poll)?;
    let pairs = (0..6).map(|_| UnixStream::pair()).collect::<io::Result<Vec<_>>>()?;
    for token in [5, 0, 3, 1] {
        reactor.register(pairs[token].0.as_raw_fd(), token as u64, Interest::WRITABLE)?;
    }
    reactor.deregister(pairs[0].0.as_raw_fd())?;
    reactor.register(pairs[2].0.as_raw_fd(), 2, Interest::WRITABLE)?;
    reactor.modify(pairs[5].0.as_raw_fd(), 50, Interest::WRITABLE)?;
    let tokens: Vec<_> = wait(&reactor, Wait::Now)?.iter().map(|event| event.token).collect();
    assert_eq!(tokens, [50, 3, 1, 2]);
    Ok(())
}

#[test]
fn backends_are_found_by_their_names() -> io::Result<()> {
    for kind in Kind::ALL {
        assert_eq!(Kind::named(kind.name()), Some(kind));
        assert_eq!(Reactor::of(kind)?.kind(), kind);
    }
    assert_eq!(Kind::named("kqueue"), None);
    let reactor = Reactor::new()?;
    assert!(reactor.take_refusal().is_none() == (reactor.kind() == Kind::ALL[0]));
    Ok(())
}
