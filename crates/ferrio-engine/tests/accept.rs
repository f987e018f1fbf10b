//! `net::accept`: with and without waiting connections, and for descriptors that aren't listening sockets.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use ferrio_engine::net::{self, Accepted, Attempt, Parts};

#[test]
fn accept_gives_a_connection_that_does_not_block() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    assert!(matches!(net::accept(listener.as_raw_fd())?, Accepted::WouldBlock));
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let Accepted::Connection(connection, peer) = net::accept(listener.as_raw_fd())? else {
        panic!("a connection waits");
    };
    assert!(matches!(net::accept(listener.as_raw_fd())?, Accepted::WouldBlock));
    let parts = |address| match address {
        SocketAddr::V4(address) => Parts::V4(*address.ip(), address.port()),
        SocketAddr::V6(_) => Parts::Other,
    };
    assert_eq!(peer.parts(), parts(client.local_addr()?));
    assert_eq!(net::local_address(connection.as_raw_fd())?.parts(), parts(client.peer_addr()?));
    let mut connection = TcpStream::from(connection);
    let mut buffer = [0; 4];
    assert_eq!(connection.read(&mut buffer).expect_err("nothing is there").kind(), ErrorKind::WouldBlock);
    client.write_all(b"abcd")?;
    while net::receive(connection.as_raw_fd(), &mut buffer)? == Attempt::WouldBlock {
        std::thread::yield_now();
    }
    assert_eq!(&buffer, b"abcd");
    Ok(())
}

#[test]
fn accept_refuses_what_does_not_listen() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    assert_eq!(net::accept(client.as_raw_fd()).expect_err("not listening").kind(), ErrorKind::InvalidInput);
    assert!(net::accept(-1).is_err());
    assert!(net::local_address(-1).is_err());
    Ok(())
}

#[test]
fn the_address_of_accepted_connections_is_known_unless_it_depends_on_them() -> io::Result<()> {
    for (host, known) in [("127.0.0.1:0", true), ("0.0.0.0:0", false), ("[::1]:0", true), ("[::]:0", false)] {
        let listener = TcpListener::bind(host)?;
        let own = net::address_of_accepted(listener.as_raw_fd());
        assert_eq!(own.is_some(), known, "{host}");
        if let Some(own) = own {
            assert_eq!(own, net::local_address(listener.as_raw_fd())?);
        }
    }
    assert_eq!(net::address_of_accepted(-1), None);
    Ok(())
}
