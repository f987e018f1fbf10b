//! The calls of `net` never block, and report that they would.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use ferrio_engine::net::{self, Attempt, SignalPipe};

#[test]
fn receive_takes_what_is_there_and_sees_the_end() -> io::Result<()> {
    let (ours, mut theirs) = UnixStream::pair()?;
    let (fd, mut buffer) = (ours.as_raw_fd(), [0; 8]);
    assert_eq!(net::receive(fd, &mut buffer)?, Attempt::WouldBlock, "though the socket is in blocking mode");
    theirs.write_all(b"abc")?;
    assert_eq!(net::receive(fd, &mut buffer)?, Attempt::Done(3));
    assert_eq!(&buffer[..3], b"abc");
    drop(theirs);
    assert_eq!(net::receive(fd, &mut buffer)?, Attempt::Done(0));
    assert!(net::receive(-1, &mut buffer).is_err());
    Ok(())
}

#[test]
fn send_fills_the_socket_and_reports_a_peer_that_left() -> io::Result<()> {
    let (ours, theirs) = UnixStream::pair()?;
    let data = vec![7; 1 << 20];
    let mut sent = 0;
    while let Attempt::Done(count) = net::send(ours.as_raw_fd(), &data)? {
        assert!(count > 0);
        sent += count;
    }
    assert!(sent > 0);
    drop(theirs);
    let failure = net::send(ours.as_raw_fd(), b"x").expect_err("nobody can receive it");
    assert!(matches!(failure.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{failure}");
    Ok(())
}

#[test]
fn sendfile_sends_a_part_and_leaves_the_position() -> io::Result<()> {
    let (ours, mut theirs) = UnixStream::pair()?;
    let mut file = File::open("Cargo.toml")?;
    let mut start = [0; 9];
    assert_eq!(net::sendfile(ours.as_raw_fd(), file.as_raw_fd(), 4, 5)?, Attempt::Done(5));
    theirs.read_exact(&mut start[4..])?;
    let mut expected = [0; 9];
    file.read_exact(&mut expected)?;
    assert_eq!(start[4..], expected[4..]);
    let length = file.metadata()?.len();
    assert_eq!(net::sendfile(ours.as_raw_fd(), file.as_raw_fd(), length, 5)?, Attempt::Done(0));
    assert!(net::sendfile(ours.as_raw_fd(), theirs.as_raw_fd(), 0, 5).is_err(), "a socket is no file");
    Ok(())
}

#[test]
fn signal_pipe_keeps_every_number() -> io::Result<()> {
    let pipe = SignalPipe::new()?;
    let mut seen = Vec::new();
    pipe.drain(|number| seen.push(number))?;
    assert!(seen.is_empty());
    let numbers: Vec<u8> = (0..1000).map(|number| (number % 64) as u8).collect();
    let mut writer = File::options().write(true).open(format!("/proc/self/fd/{}", pipe.writer()))?;
    writer.write_all(&numbers)?;
    pipe.drain(|number| seen.push(number))?;
    assert_eq!(seen, numbers);
    Ok(())
}

#[test]
fn a_connection_to_this_machine_is_over_at_once() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let connected = TcpStream::connect(listener.local_addr()?)?;
    assert!(net::has_connected(connected.as_raw_fd())?);
    Ok(())
}

#[test]
fn only_descriptors_and_memory_can_be_short() {
    assert!([libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM].into_iter().all(net::is_shortage));
    assert!(![libc::EBADF, libc::EINVAL, libc::ECONNABORTED].into_iter().any(net::is_shortage));
}
