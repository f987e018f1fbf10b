//! The backend contract at the head of `reactor/mod.rs`, sentence by sentence.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use ferrio_engine::{Event, Events, Interest, Reactor, Wait, Wake};

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

#[test]
fn readiness_is_a_level_and_carries_the_token() -> io::Result<()> {
    let (reactor, (mut ours, mut theirs)) = (Reactor::new()?, UnixStream::pair()?);
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

#[test]
fn edge_is_reported_once_until_modified_or_repeated() -> io::Result<()> {
    let (reactor, (ours, mut theirs)) = (Reactor::new()?, UnixStream::pair()?);
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

#[test]
fn interest_for_one_event_ends_with_it_a_hangup_included() -> io::Result<()> {
    let (reactor, (ours, mut theirs)) = (Reactor::new()?, UnixStream::pair()?);
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

#[test]
fn rearming_a_number_that_was_closed_and_used_again_registers_it_anew() -> io::Result<()> {
    let (reactor, (ours, theirs)) = (Reactor::new()?, UnixStream::pair()?);
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

#[test]
fn uncounted_descriptor_ends_a_wait_but_is_not_watched() -> io::Result<()> {
    let (reactor, (ours, mut theirs)) = (Reactor::new()?, UnixStream::pair()?);
    reactor.register(ours.as_raw_fd(), 5, Interest::READABLE)?;
    reactor.count(false);
    assert_eq!(reactor.watched(), 0);
    theirs.write_all(b"x")?;
    assert_eq!(wait(&reactor, Wait::Forever)?, [Event { token: 5, readable: true, ..QUIET }]);
    reactor.count(true);
    assert_eq!(reactor.watched(), 1);
    Ok(())
}

#[test]
fn interest_can_be_changed_and_ended() -> io::Result<()> {
    let (reactor, (ours, mut theirs)) = (Reactor::new()?, UnixStream::pair()?);
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

#[test]
fn misuse_is_an_error_of_its_own_kind() -> io::Result<()> {
    let (reactor, (ours, _theirs)) = (Reactor::new()?, UnixStream::pair()?);
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

#[test]
fn end_of_input_hangup_and_error_are_told_apart() -> io::Result<()> {
    let (reactor, (ours, theirs)) = (Reactor::new()?, UnixStream::pair()?);
    reactor.register(ours.as_raw_fd(), 1, Interest::READABLE)?;
    theirs.shutdown(std::net::Shutdown::Write)?;
    assert_eq!(wait(&reactor, Wait::Now)?, [Event { token: 1, readable: true, ..QUIET }]);
    drop(theirs);
    assert_eq!(wait(&reactor, Wait::Now)?, [Event { token: 1, readable: true, hangup: true, ..QUIET }]);

    let (reader, writer) = io::pipe()?;
    let reactor = Reactor::new()?;
    // Not even requested: errors and hang-ups are always reported.
    reactor.register(writer.as_raw_fd(), 2, Interest { readable: false, ..Interest::READABLE })?;
    assert_eq!(wait(&reactor, Wait::Now)?, []);
    drop(reader);
    assert_eq!(wait(&reactor, Wait::Now)?, [Event { token: 2, error: true, ..QUIET }]);
    Ok(())
}

#[test]
fn full_buffer_leaves_the_rest_to_the_next_wait() -> io::Result<()> {
    let reactor = Reactor::new()?;
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

#[test]
fn a_limit_leaves_the_rest_to_the_next_wait_and_starves_nobody() -> io::Result<()> {
    let reactor = Reactor::new()?;
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

#[test]
fn wake_ends_one_wait_and_is_no_event() -> io::Result<()> {
    let reactor = Reactor::new()?;
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

#[test]
fn wake_comes_beside_events_without_hiding_them() -> io::Result<()> {
    let (reactor, (ours, theirs)) = (Reactor::new()?, UnixStream::pair()?);
    reactor.register(ours.as_raw_fd(), 1, Interest::WRITABLE)?;
    reactor.waker().wake();
    reactor.register(theirs.as_raw_fd(), 2, Interest::WRITABLE)?;
    let mut tokens: Vec<_> = wait(&reactor, Wait::Now)?.iter().map(|event| event.token).collect();
    tokens.sort_unstable();
    assert_eq!(tokens, [1, 2]);
    Ok(())
}

#[test]
fn waker_survives_a_full_eventfd() -> io::Result<()> {
    let reactor = Reactor::new()?;
    let waker = reactor.waker();
    let mut fd = std::fs::File::from(waker.as_fd().try_clone_to_owned()?);
    fd.write_all(&(u64::MAX - 1).to_ne_bytes())?;
    assert_eq!(wait(&reactor, Wait::Now)?, []);
    waker.wake();
    assert_eq!(wait(&reactor, Wait::Forever)?, [], "the wake after the overflow arrives");
    Ok(())
}

#[test]
fn timed_waits_end_on_both_kinds_of_kernel() -> io::Result<()> {
    for reactor in [Reactor::new()?, Reactor::without_pwait2()?] {
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
    }
    Ok(())
}

#[test]
fn zero_timeout_does_not_wait() -> io::Result<()> {
    let reactor = Reactor::without_pwait2()?;
    // A timerfd armed with zero would be disarmed, and this would hang.
    assert_eq!(wait(&reactor, Wait::Until(Duration::ZERO))?, []);
    Ok(())
}
