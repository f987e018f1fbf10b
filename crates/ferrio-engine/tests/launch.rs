//! Launches that succeed, fail, or are abandoned, without waiting for the program.

use std::ffi::CString;
use std::io::{self, PipeReader, Read};
use std::os::fd::AsRawFd;

use ferrio_engine::process::launch::{Launch, Order, Outcome, Place};
use ferrio_engine::process::{Child, Fate};

mod support;
use support::wait_for;

fn text(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

fn order(programs: &[&str], arguments: &[&str]) -> Order {
    Order {
        programs: programs.iter().copied().map(text).collect(),
        arguments: arguments.iter().copied().map(text).collect(),
        close_others: true,
        restore_signals: true,
        ..Order::default()
    }
}

fn shell(script: &str) -> Order {
    order(&["/bin/sh"], &["sh", "-c", script])
}

/// If a sandbox forbids such launches there is nothing to test here: then Python's own `Popen` starts the children.
fn started(order: Order) -> io::Result<Option<(Launch, Outcome)>> {
    let Some(mut launch) = Launch::start(order)? else { return Ok(None) };
    loop {
        match launch.outcome()? {
            Outcome::Pending => wait_for(launch.descriptor())?,
            outcome => return Ok(Some((launch, outcome))),
        }
    }
}

fn fate(child: &Child) -> io::Result<Fate> {
    if let Some(descriptor) = child.descriptor() {
        wait_for(descriptor)?;
    }
    child.reap()
}

fn output(mut make: Order) -> io::Result<Option<String>> {
    let (mut ours, theirs): (PipeReader, _) = io::pipe()?;
    make.streams[1] = Some(theirs.as_raw_fd());
    let Some((mut launch, outcome)) = started(make)? else { return Ok(None) };
    drop(theirs);
    assert_eq!(outcome, Outcome::Started);
    let mut text = String::new();
    ours.read_to_string(&mut text)?;
    let child = launch.take_child().ok_or(io::ErrorKind::NotFound)?;
    assert_eq!(fate(&child)?, Fate::Ended(0));
    Ok(Some(text))
}

#[test]
fn a_program_runs_and_ends() -> io::Result<()> {
    let Some((mut launch, outcome)) = started(shell("exit 7"))? else { return Ok(()) };
    assert_eq!(outcome, Outcome::Started);
    assert!(launch.pid() > 0);
    let child = launch.take_child().ok_or(io::ErrorKind::NotFound)?;
    assert_eq!(fate(&child)?, Fate::Ended(7));
    // The outcome doesn't change any more.
    assert_eq!(launch.outcome()?, Outcome::Started);
    launch.finish();
    assert_eq!(launch.descriptor(), -1);
    assert_eq!(launch.outcome()?, Outcome::Started);
    Ok(())
}

#[test]
fn the_first_program_that_can_be_run_is() -> io::Result<()> {
    let found = output(order(&["/nowhere/echo", "/etc/passwd/echo", "/bin/echo"], &["echo", "found"]))?;
    assert!(found.is_none_or(|found| found == "found\n"));
    Ok(())
}

#[test]
fn what_cannot_be_run_says_why() -> io::Result<()> {
    for (programs, number) in [
        (vec!["/nowhere/program"], libc::ENOENT),
        (vec!["/etc/passwd/program"], libc::ENOTDIR),
        // The first error other than "no such file".
        (vec!["/nowhere/program", "/etc", "/etc/passwd/program"], libc::EACCES),
    ] {
        let Some((launch, outcome)) = started(order(&programs, &["program"]))? else { return Ok(()) };
        assert_eq!(outcome, Outcome::Failed(Place::Program, number));
        let child = launch.child().ok_or(io::ErrorKind::NotFound)?;
        assert_eq!(fate(child)?, Fate::Ended(255));
    }
    let mut elsewhere = shell("true");
    elsewhere.directory = Some(text("/nowhere"));
    let Some((_, outcome)) = started(elsewhere)? else { return Ok(()) };
    assert_eq!(outcome, Outcome::Failed(Place::Directory, libc::ENOENT));
    let mut stranger = shell("true");
    stranger.process_group = Some(1);
    let Some((_, outcome)) = started(stranger)? else { return Ok(()) };
    assert_eq!(outcome, Outcome::Failed(Place::Setup, libc::EPERM));
    Ok(())
}

#[test]
fn the_child_is_as_ordered() -> io::Result<()> {
    let (kept, _writer) = io::pipe()?;
    let (other, _writer) = io::pipe()?;
    let mut make = shell(&format!(
        "echo $WORD $HOME; umask; pwd; ls /proc/self/fd/{} | wc -l; ls /proc/self/fd/{} 2>/dev/null | wc -l",
        kept.as_raw_fd(),
        other.as_raw_fd()
    ));
    make.environment = Some(vec![text("WORD=given"), text("PATH=/usr/bin:/bin")]);
    make.directory = Some(text("/"));
    make.umask = Some(0o27);
    make.keep = vec![kept.as_raw_fd()];
    make.new_session = true;
    let output = output(make)?;
    assert!(output.is_none_or(|output| output == "given\n0027\n/\n1\n0\n"));
    Ok(())
}

#[test]
fn streams_may_change_places() -> io::Result<()> {
    let (mut ours, theirs) = io::pipe()?;
    let mut make = shell("echo error >&2; echo output");
    // The numbers of ours are 1 and 2. The child's error output is a pipe; its output goes to our error output.
    make.streams = [None, Some(2), Some(theirs.as_raw_fd())];
    let Some((mut launch, outcome)) = started(make)? else { return Ok(()) };
    drop(theirs);
    assert_eq!(outcome, Outcome::Started);
    let mut text = String::new();
    ours.read_to_string(&mut text)?;
    assert_eq!(text, "error\n");
    let child = launch.take_child().ok_or(io::ErrorKind::NotFound)?;
    assert_eq!(fate(&child)?, Fate::Ended(0));
    Ok(())
}

#[test]
fn a_launch_that_is_dropped_leaves_no_child() -> io::Result<()> {
    let (mut ours, theirs) = io::pipe()?;
    let mut make = shell("exec sleep 1000");
    make.streams[1] = Some(theirs.as_raw_fd());
    let Some(launch) = Launch::start(make)? else { return Ok(()) };
    drop(theirs);
    let pid = launch.pid();
    drop(launch);
    // When its output ends, the child has ended.
    ours.read_to_end(&mut Vec::new())?;
    while std::path::Path::new(&format!("/proc/{pid}")).exists() {
        std::thread::yield_now();
    }
    Ok(())
}

#[test]
fn many_threads_start_children_at_once() {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for status in 0..25 {
                    let outcome = started(shell(&format!("exit {status}")));
                    let Ok(Some((mut launch, Outcome::Started))) = outcome else {
                        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
                        return;
                    };
                    let child = launch.take_child();
                    let fate = child.as_ref().map(fate);
                    assert!(matches!(fate, Some(Ok(Fate::Ended(code))) if code == status), "{fate:?}");
                }
            });
        }
    });
}
