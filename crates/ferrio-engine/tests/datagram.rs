//! Datagrams and their addresses, against the standard library's sockets.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

use ferrio_engine::net::{self, Address, Attempt, Parts};

#[test]
fn datagrams_come_with_an_address_that_can_be_sent_to() -> io::Result<()> {
    let (ours, theirs) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    let (mut buffer, mut sender) = ([0; 16], Address::default());
    let fd = ours.as_raw_fd();
    assert_eq!(
        net::receive_from(fd, &mut buffer, &mut sender)?,
        Attempt::WouldBlock,
        "though it is blocking"
    );
    theirs.send_to(b"one", ours.local_addr()?)?;
    assert_eq!(net::receive_from(fd, &mut buffer, &mut sender)?, Attempt::Done(3));
    assert_eq!(sender.parts(), Parts::V4(Ipv4Addr::LOCALHOST, theirs.local_addr()?.port()));
    assert_eq!(sender, Address::v4(Ipv4Addr::LOCALHOST, theirs.local_addr()?.port()));
    assert_eq!(net::send_to(fd, b"four", Some(&sender))?, Attempt::Done(4));
    let (count, from) = theirs.recv_from(&mut buffer)?;
    assert_eq!((&buffer[..count], from), (&b"four"[..], ours.local_addr()?));
    ours.connect(theirs.local_addr()?)?;
    assert_eq!(net::send_to(fd, b"", None)?, Attempt::Done(0));
    assert_eq!(theirs.recv(&mut buffer)?, 0);
    Ok(())
}

#[test]
fn refusals_come_back_on_a_connected_socket() -> io::Result<()> {
    let ours = UdpSocket::bind("127.0.0.1:0")?;
    let gone = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
    ours.connect(gone)?;
    assert_eq!(net::send_to(ours.as_raw_fd(), b"x", None)?, Attempt::Done(1));
    let failure = net::receive_from(ours.as_raw_fd(), &mut [0; 1], &mut Address::default())
        .expect_err("nobody is there");
    assert_eq!(failure.kind(), ErrorKind::ConnectionRefused);
    let failure = net::send_to(ours.as_raw_fd(), &[0; 70_000], None).expect_err("no datagram is so long");
    assert_eq!(failure.raw_os_error(), Some(libc::EMSGSIZE));
    Ok(())
}

#[test]
fn ipv6_addresses_keep_their_parts() -> io::Result<()> {
    let host = Ipv6Addr::new(0xfe80, 0, 0, 0, 1, 2, 3, 4);
    let address = Address::v6(host, 53, 0xabcde, 7);
    assert_eq!(address.parts(), Parts::V6 { host, port: 53, flow: 0xabcde, scope: 7 });
    let Ok(ours) = UdpSocket::bind("[::1]:0") else {
        // A machine without IPv6.
        return Ok(());
    };
    let theirs = UdpSocket::bind("[::1]:0")?;
    let target = Address::v6(Ipv6Addr::LOCALHOST, theirs.local_addr()?.port(), 0, 0);
    assert_eq!(net::send_to(ours.as_raw_fd(), b"six", Some(&target))?, Attempt::Done(3));
    let (_, from) = theirs.recv_from(&mut [0; 8])?;
    assert_eq!(from, SocketAddr::new(Ipv6Addr::LOCALHOST.into(), ours.local_addr()?.port()));
    Ok(())
}

#[test]
fn unix_addresses_are_paths_or_abstract_or_absent() -> io::Result<()> {
    let directory = std::env::temp_dir().join(format!("ferrio-datagram-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let path = directory.join("socket");
    let (named, nameless) = (UnixDatagram::bind(&path)?, UnixDatagram::unbound()?);
    let bytes = path.as_os_str().as_encoded_bytes();
    let address = Address::unix(bytes).expect("it fits");
    assert_eq!(address.parts(), Parts::Path(bytes));
    assert_eq!(net::send_to(nameless.as_raw_fd(), b"u", Some(&address))?, Attempt::Done(1));
    let mut sender = address;
    assert_eq!(net::receive_from(named.as_raw_fd(), &mut [0; 1], &mut sender)?, Attempt::Done(1));
    assert_eq!(sender.parts(), Parts::Absent);
    std::fs::remove_dir_all(&directory)?;
    assert_eq!(Address::unix(b"\0name").expect("it fits").parts(), Parts::Abstract(b"\0name"));
    assert_eq!(Address::unix(&[b'x'; 107]).expect("it fits").parts(), Parts::Path(&[b'x'; 107]));
    for refused in [&[b'x'; 108][..], &[0; 109], b"", b"a\0b"] {
        assert_eq!(Address::unix(refused), None);
    }
    Ok(())
}
