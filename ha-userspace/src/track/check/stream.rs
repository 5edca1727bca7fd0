//! Connections of checks.

use std::path::Path;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};

use super::Failure;
use super::resolve::Resolver;

/// Connects to the first address that accepts.
pub(super) async fn tcp(resolver: &mut Resolver) -> Result<TcpStream, Failure> {
    // Until one answers, and also where the probe runs out of time and this is never come back to.
    let addresses = resolver.addresses().await?;
    resolver.mark_dirty();
    let mut failure = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                resolver.prefer(address);
                // Closed without the minute of TIME_WAIT, of which twenty probes a second would leave a thousand. Where
                // the option is refused the connection is closed in the ordinary way.
                let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                return Ok(stream);
            }
            Err(source) => failure = Some(Failure::Refused { to: address.to_string(), source }),
        }
    }
    Err(failure.unwrap_or_else(|| Failure::Unresolved(super::written(resolver.server()), String::new())))
}

/// Connects to a socket in the file system. The connection is closed again at once.
pub(super) async fn unix(path: &Path) -> Result<UnixStream, Failure> {
    UnixStream::connect(path)
        .await
        .map_err(|source| Failure::Refused { to: path.display().to_string(), source })
}
