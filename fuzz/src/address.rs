//! Addresses of sockets: put together and taken apart. Oracle: what went in, and the standard library's own addresses.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;

use ferrio_engine::net::{Address, Parts};

use super::input::Input;

/// The address of a Unix socket, and whether it is what the standard library makes of the same name.
fn unix(name: &[u8]) -> Option<Address> {
    let address = Address::unix(name);
    let standard = match name.split_first() {
        None => None, // an unnamed socket isn't one that can be connected to
        Some((0, rest)) => SocketAddr::from_abstract_name(rest).ok(),
        Some(_) => SocketAddr::from_pathname(OsStr::from_bytes(name)).ok(),
    };
    assert_eq!(address.is_some(), standard.is_some(), "{name:?}");
    match (&address, &standard) {
        (Some(address), Some(standard)) => match address.parts() {
            Parts::Path(path) => {
                assert_eq!(
                    (Some(path), path),
                    (standard.as_pathname().map(|path| path.as_os_str().as_bytes()), name)
                );
            }
            Parts::Abstract(found) => {
                assert_eq!((Some(&found[1..]), found), (standard.as_abstract_name(), name));
            }
            other => panic!("{other:?} of {name:?}"),
        },
        _ => assert!(name.is_empty() || name.len() > 107 || name[0] != 0 && name.contains(&0)),
    }
    address
}

/// One address, by its family.
fn address(input: &mut Input<'_>) -> Option<Address> {
    match input.below(4) {
        0 => {
            let (host, port) = (Ipv4Addr::from(input.long() as u32), input.short());
            let address = Address::v4(host, port);
            assert_eq!(address.parts(), Parts::V4(host, port));
            Some(address)
        }
        1 => {
            let host = Ipv6Addr::from(u128::from(input.long()) << 64 | u128::from(input.long()));
            let (port, flow, scope) = (input.short(), input.long() as u32, input.long() as u32);
            let address = Address::v6(host, port, flow, scope);
            assert_eq!(address.parts(), Parts::V6 { host, port, flow, scope });
            Some(address)
        }
        2 => {
            let length = input.below(128);
            unix(input.bytes(length))
        }
        _ => {
            assert_eq!(Address::default().parts(), Parts::Absent);
            Some(Address::default())
        }
    }
}

/// Two addresses: they are equal if, and only if, their parts are.
pub(crate) fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let (Some(one), Some(other)) = (address(&mut input), address(&mut input)) else { return };
    assert_eq!(one == other, one.parts() == other.parts(), "{one:?} and {other:?}");
    assert_eq!(one, one.clone());
}
