//! Reads and writes pipes, and tells them from other files.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use ferrio_engine::net::{self, Attempt, FileKind};

#[test]
fn kinds_of_files() -> io::Result<()> {
    let (reader, writer) = io::pipe()?;
    assert_eq!(net::file_kind(reader.as_raw_fd())?, FileKind::Pipe);
    assert_eq!(net::file_kind(writer.as_raw_fd())?, FileKind::Pipe);
    assert_eq!(net::file_kind(UnixStream::pair()?.0.as_raw_fd())?, FileKind::Socket);
    assert_eq!(net::file_kind(File::open("/dev/null")?.as_raw_fd())?, FileKind::Character);
    assert_eq!(net::file_kind(File::open("Cargo.toml")?.as_raw_fd())?, FileKind::Other);
    assert!(net::file_kind(-1).is_err());
    Ok(())
}

#[test]
fn a_pipe_takes_what_fits_and_says_when_its_reader_has_gone() -> io::Result<()> {
    let (reader, writer) = io::pipe()?;
    let (from, to) = (reader.as_raw_fd(), writer.as_raw_fd());
    net::set_nonblocking(from)?;
    net::set_nonblocking(to)?;
    let mut buffer = [0; 8];
    assert_eq!(net::read(from, &mut buffer)?, Attempt::WouldBlock);
    assert_eq!(net::write(to, b"ab")?, Attempt::Done(2));
    assert_eq!(net::write_parts(to, &[IoSlice::new(b"cd"), IoSlice::new(b"e")])?, Attempt::Done(3));
    assert_eq!(net::read(from, &mut buffer)?, Attempt::Done(5));
    assert_eq!(&buffer[..5], b"abcde");
    let much = vec![1; 1 << 20];
    let Attempt::Done(count) = net::write(to, &much)? else { panic!("an empty pipe has room") };
    assert!(count < much.len());
    assert_eq!(net::write(to, &much)?, Attempt::WouldBlock);
    drop(reader);
    assert_eq!(net::write(to, b"x").expect_err("nobody reads").kind(), ErrorKind::BrokenPipe);
    let (reader, writer) = io::pipe()?;
    drop(writer);
    assert_eq!(net::read(reader.as_raw_fd(), &mut buffer)?, Attempt::Done(0));
    Ok(())
}
