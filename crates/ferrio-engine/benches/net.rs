//! The cost of sending a few bytes over a socket, of receiving them, and of polling for them.

mod measure;

use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixStream};

use ferrio_engine::net::{self, Address};
use ferrio_engine::reactor::{Events, Interest, Reactor, Wait};
use measure::each;

const OPERATIONS: u64 = 20_000;

fn main() -> std::io::Result<()> {
    let (ours, theirs) = UnixStream::pair()?;
    let (ours, theirs) = (ours.as_raw_fd(), theirs.as_raw_fd());
    let mut room = [MaybeUninit::<u8>::uninit(); 64];
    each("net: send and receive 5 bytes", OPERATIONS, |_| {
        (net::send(ours, b"hello").is_ok(), net::receive_into(theirs, &mut room).is_ok())
    });
    each("net: find nothing to receive", OPERATIONS, |_| net::receive_into(theirs, &mut room).is_ok());

    let pair = UnixDatagram::pair()?;
    let (mut buffer, mut sender) = ([0; 64], Address::default());
    each("net: send and receive one datagram", OPERATIONS, |_| {
        let sent = net::send_to(pair.0.as_raw_fd(), b"hello", None).is_ok();
        (sent, net::receive_from(pair.1.as_raw_fd(), &mut buffer, &mut sender).is_ok())
    });

    let reactor = Reactor::new()?;
    let mut events = Events::with_capacity(64);
    reactor.register(theirs, 1, Interest::READABLE)?;
    each("net: look at a descriptor that isn't ready", OPERATIONS, |_| {
        reactor.wait(&mut events, Wait::Now).is_ok()
    });
    assert!(net::send(ours, b"hello").is_ok());
    each("net: look at a descriptor that is ready", OPERATIONS, |_| {
        reactor.wait(&mut events, Wait::Now).is_ok_and(|()| events.get(0).is_some())
    });
    Ok(())
}
