//! As much of HTTP/1.1 as it takes to ask an admin endpoint.
//!
//! One GET per connection, answered with a length; a crate for more would be the largest part of
//! the binary.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::NodeStatus;

/// How long an endpoint may take. Longer than the endpoint itself waits for its node.
const PATIENCE: Duration = Duration::from_secs(2);
/// The largest answer that is read: far more than any status.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// Why an endpoint gave no answer that can be used.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// Nobody is there, or the connection broke.
    #[error("{0}")]
    Unreachable(#[from] std::io::Error),
    /// Somebody is there and does not answer.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silent,
    /// The endpoint says that something is wrong.
    #[error("HTTP {code}: {body}")]
    Refused {
        /// HTTP's number for it.
        code: u16,
        /// What it says, on one line.
        body: String,
    },
    /// Whatever answers there is not an admin endpoint.
    #[error("not a Lockstep admin endpoint: {0}")]
    Foreign(String),
}

/// Asks the endpoint at `address` where its node stands.
pub(crate) async fn status(address: SocketAddr) -> Result<NodeStatus, AskError> {
    let body = get(address, "/status").await?;
    serde_json::from_str(&body).map_err(|error| AskError::Foreign(error.to_string()))
}

/// The body of a successful answer.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Result<String, AskError> {
    let asked = timeout(PATIENCE, exchange(address, path)).await;
    let answer = asked.map_err(|_| AskError::Silent)??;
    match parse(&answer).ok_or_else(|| AskError::Foreign("that was not HTTP".to_owned()))? {
        (200, body) => Ok(body.to_owned()),
        (code, body) => {
            let body = body.lines().next().unwrap_or_default().to_owned();
            Err(AskError::Refused { code, body })
        }
    }
}

async fn exchange(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream
        .take(ANSWER_BYTES_MAX)
        .read_to_end(&mut answer)
        .await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The status code and the body. The body ends with the connection, since that is what was asked
/// for; a length that promises more means that the answer was cut.
fn parse(answer: &str) -> Option<(u16, &str)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let code = lines
        .next()?
        .strip_prefix("HTTP/1.1 ")?
        .get(..3)?
        .parse()
        .ok()?;
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") && value.trim().parse() != Ok(body.len()) {
            return None;
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return None;
        }
    }
    Some((code, body))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn answers_are_taken_apart() {
        let ok = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(parse(ok), Some((200, "ok")));
        let empty = "HTTP/1.1 503 Service Unavailable\r\n\r\n";
        assert_eq!(parse(empty), Some((503, "")));
    }

    #[test]
    fn what_is_cut_or_foreign_is_no_answer() {
        for answer in [
            "",
            "+PONG\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "HTTP/1.1 twohundred\r\n\r\n",
            "HTTP/1.1 2\u{e9}\r\n\r\n",
        ] {
            assert_eq!(parse(answer), None, "{answer:?}");
        }
    }
}
