//! What the operating system is asked of each connection.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// No Nagle, because a turn is one write already. Unacknowledged data ends the connection
/// after `dead_after`; so does silence of the peer's kernel while nothing is under way, by
/// keepalive probes four to that time.
pub(crate) fn configure(stream: &TcpStream, dead_after: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    // The kernel counts keepalive in whole seconds and refuses zero.
    let step = (dead_after / 4).max(Duration::from_secs(1));
    let keepalive = TcpKeepalive::new()
        .with_time(step)
        .with_interval(step)
        .with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(dead_after))?;
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_dead_peer_is_given_up_by_the_kernel() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        configure(&stream, Duration::from_secs(8)).unwrap();
        let socket = SockRef::from(&stream);
        assert!(stream.nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(2));
        assert_eq!(
            socket.tcp_user_timeout().unwrap(),
            Some(Duration::from_secs(8))
        );
    }
}
