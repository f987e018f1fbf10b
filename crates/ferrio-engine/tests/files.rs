//! Files: reads and writes of every size, the page cache, and the threads that run the jobs.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::mpsc;

use ferrio_engine::files::{self, Access, FileThreads, Start};

const READ: Access = Access { reads: true, writes: false, start: Start::Keep };
const WRITE: Access = Access { reads: false, writes: true, start: Start::Truncate };

/// A temporary file for one test, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, content: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("ferrio-{}-{name}", std::process::id()));
        std::fs::write(&path, content).expect("the folder for scratch files can be written");
        Self(path)
    }

    fn path(&self) -> CString {
        CString::new(self.0.as_os_str().as_bytes()).expect("the name has no zero")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

fn room(length: usize) -> Vec<MaybeUninit<u8>> {
    vec![MaybeUninit::new(0); length]
}

#[test]
fn reads_fill_the_room_or_end_with_the_file() -> io::Result<()> {
    let scratch = Scratch::new("reads", &[7; 100_000]);
    let opened = files::open(&scratch.path(), READ)?;
    let fd = opened.fd.as_raw_fd();
    assert!(opened.regular);
    assert_eq!(opened.size, 100_000);
    assert_eq!(files::remaining(fd), Some(100_000));
    assert_eq!(files::read_full(fd, &mut room(60_000))?, 60_000);
    assert_eq!(files::remaining(fd), Some(40_000));
    assert_eq!(files::read_full(fd, &mut room(60_000))?, 40_000);
    assert_eq!(files::read_full(fd, &mut room(10))?, 0);
    files::close(opened.fd)?;
    Ok(())
}

#[test]
fn rests_are_read_to_the_end_and_pieces_no_further() -> io::Result<()> {
    let scratch = Scratch::new("rests", &[7; 300_000]);
    let opened = files::open(&scratch.path(), READ)?;
    let fd = opened.fd.as_raw_fd();
    let mut rest = vec![1];
    files::read_more(fd, &mut rest, 100_000)?;
    assert_eq!(rest.len(), 100_001);
    assert_eq!(files::remaining(fd), Some(200_000));
    files::read_rest(fd, &mut rest)?;
    assert_eq!(rest.len(), 300_001);
    assert!(rest[1..].iter().all(|byte| *byte == 7));
    Ok(())
}

#[test]
fn what_was_just_written_is_cached_if_the_file_system_can_tell() -> io::Result<()> {
    let scratch = Scratch::new("cached", &[7; 100_000]);
    let opened = files::open(&scratch.path(), READ)?;
    let fd = opened.fd.as_raw_fd();
    assert_ne!(files::is_cached(fd, 99_999), Some(false));
    let (count, complete) = files::read_cached(fd, &mut room(200_000))?;
    assert_eq!(
        (count, complete),
        if files::is_cached(fd, 0).is_some() { (100_000, true) } else { (0, false) }
    );
    files::warm(fd, 1_000_000);
    assert_eq!(files::remaining(fd), Some(100_000 - count as u64), "warming moves no position");
    Ok(())
}

#[test]
fn only_a_linked_regular_file_closes_quickly() -> io::Result<()> {
    let scratch = Scratch::new("links", b"content");
    let opened = files::open(&scratch.path(), READ)?;
    let fd = opened.fd.as_raw_fd();
    assert_eq!(files::closes_quickly(fd), files::is_cached(fd, 0).is_some());
    std::fs::remove_file(&scratch.0)?;
    assert!(!files::closes_quickly(fd));
    let device = files::open(c"/dev/null", READ)?;
    assert!(!device.regular);
    assert!(!files::closes_quickly(device.fd.as_raw_fd()));
    Ok(())
}

#[test]
fn writes_are_whole_or_say_how_far_they_came() -> io::Result<()> {
    let scratch = Scratch::new("writes", b"old");
    let opened = files::open(&scratch.path(), WRITE)?;
    let (count, outcome) = files::write_all(opened.fd.as_raw_fd(), &[1; 5_000_000]);
    assert_eq!(count, 5_000_000);
    outcome?;
    assert_eq!(std::fs::metadata(&scratch.0)?.len(), 5_000_000);
    let full = files::open(c"/dev/full", WRITE)?;
    let (count, outcome) = files::write_all(full.fd.as_raw_fd(), b"lost");
    assert_eq!((count, outcome.expect_err("the device is full").raw_os_error()), (0, Some(28)));
    Ok(())
}

#[test]
fn opening_says_what_the_system_says() {
    let missing = files::open(c"/nowhere/at/all", READ).expect_err("the system refuses");
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    let scratch = Scratch::new("exists", b"");
    let access = Access { start: Start::Create, ..WRITE };
    let exists = files::open(&scratch.path(), access).expect_err("the system refuses");
    assert_eq!(exists.kind(), std::io::ErrorKind::AlreadyExists);
}

#[test]
fn threads_run_every_job_and_survive_a_panic() -> io::Result<()> {
    let threads = FileThreads::new(3);
    let (sender, receiver) = mpsc::channel();
    threads.run(Box::new(|| panic!("on purpose")))?;
    for number in 0..100 {
        let sender = sender.clone();
        threads.run(Box::new(move || sender.send(number).expect("the test receives")))?;
    }
    drop(sender);
    let mut seen: Vec<i32> = receiver.iter().collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    assert!(threads.count() <= 3);
    Ok(())
}
