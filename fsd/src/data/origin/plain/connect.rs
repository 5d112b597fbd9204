//! Connect: to whichever address of a host answers first, the other family a little later.

use std::{io, net::SocketAddr, pin::pin, time::Duration};

use tokio::net::{TcpStream, lookup_host};

use super::idle::Host;

/// Head start of the family that the resolver names first.
const HEAD_START: Duration = Duration::from_millis(300);

pub(super) async fn to((name, port): &Host) -> io::Result<TcpStream> {
    let all: Vec<SocketAddr> = lookup_host((&**name, *port)).await?.collect();
    let family = all.first().is_some_and(SocketAddr::is_ipv4);
    let (first, other): (Vec<_>, Vec<_>) = all.into_iter().partition(|address| address.is_ipv4() == family);
    let socket = if other.is_empty() { TcpStream::connect(&*first).await } else { race(&first, &other).await }?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

async fn race(first: &[SocketAddr], other: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut one = pin!(TcpStream::connect(first));
    let mut two = pin!(async {
        tokio::time::sleep(HEAD_START).await;
        TcpStream::connect(other).await
    });
    tokio::select! {
        got = &mut one => if got.is_ok() { got } else { TcpStream::connect(other).await },
        got = &mut two => if got.is_ok() { got } else { one.await },
    }
}
