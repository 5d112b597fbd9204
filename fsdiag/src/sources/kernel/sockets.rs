//! Sockets: whom a daemon talks to, from `/proc/PID/net` and the links of its descriptors.

use std::{
    collections::HashMap,
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
};

use super::holders;

/// A TCP connection of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    pub fd: u32,
    pub peer: String,
    /// The kernel's word: `ESTABLISHED`, `SYN_SENT`, `CLOSE_WAIT`.
    pub state: &'static str,
    /// Bytes that have arrived and that the process has not read.
    pub unread: u64,
    /// Bytes sent that the peer has not acknowledged.
    pub unsent: u64,
}

/// Outgoing and accepted TCP connections of a process; listeners are left out.
pub fn of(pid: u32) -> Vec<Socket> {
    let mut table = HashMap::new();
    for name in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
        table.extend(text.lines().skip(1).filter_map(line));
    }
    let fds = holders::numbers(Path::new(&format!("/proc/{pid}/fd")));
    let socket = |fd: u32| {
        let link = fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?;
        let inode: u64 = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?;
        let found: Socket = table.get(&inode)?.clone();
        Some(Socket { fd, ..found })
    };
    fds.into_iter().filter_map(socket).collect()
}

/// Inode and connection of a line of `/proc/net/tcp`.
fn line(line: &str) -> Option<(u64, Socket)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let state = match *words.get(3)? {
        "01" => "ESTABLISHED",
        "02" => "SYN_SENT",
        "04" | "05" => "FIN_WAIT",
        "08" => "CLOSE_WAIT",
        _ => return None,
    };
    let (sent, arrived) = words.get(4)?.split_once(':')?;
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let socket = Socket { fd: 0, peer: address(words.get(2)?)?, state, unread: hex(arrived)?, unsent: hex(sent)? };
    Some((words.get(9)?.parse().ok()?, socket))
}

/// `0100007F:46B3` as the kernel writes addresses: words in the machine's byte order.
fn address(text: &str) -> Option<String> {
    let (host, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::new();
    for n in 0..host.len() / 8 {
        bytes.extend(u32::from_str_radix(host.get(n * 8..n * 8 + 8)?, 16).ok()?.to_ne_bytes());
    }
    if let Ok(four) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(format!("{}:{port}", Ipv4Addr::from(four)));
    }
    let six = Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?);
    let plain = six.to_ipv4_mapped().map_or_else(|| format!("[{six}]:{port}"), |four| format!("{four}:{port}"));
    Some(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_of_proc_net_become_connections() {
        let text =
            "   1: 0100007F:D431 0100007F:46B3 01 00000005:0000000A 00:00000000 00000000     0        0 53214 1 0";
        let (inode, socket) = line(text).unwrap();
        assert_eq!((inode, socket.peer.as_str(), socket.unread, socket.unsent), (53214, "127.0.0.1:18099", 10, 5));
        assert_eq!(address("0000000000000000FFFF00000100007F:0050").unwrap(), "127.0.0.1:80");
        assert!(line(&text.replace(" 01 ", " 0A ")).is_none(), "a listener has no peer");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,100}", host in "[0-9A-F:é]{0,40}") {
            let _ = (line(&text), address(&host));
        }
    }
}
