//! A client of the Redis protocol with nothing of ours in it: blocking, RESP2 and RESP3,
//! and willing to send what no client library would.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

/// How long a reply may take, if a test says nothing else.
const REPLY_WITHIN: Duration = Duration::from_secs(20);

/// A reply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// `+OK`, and RESP3's verbatim strings and big numbers.
    Simple(String),
    /// `-ERR …`, without the dash.
    Error(String),
    /// A number or RESP3's boolean.
    Integer(i64),
    /// A string.
    Bulk(Vec<u8>),
    /// RESP3's double.
    Double(f64),
    /// No value, in either version's spelling.
    Nil,
    /// An array, a set or a push.
    Array(Vec<Reply>),
    /// RESP3's map.
    Map(Vec<(Reply, Reply)>),
}

impl Reply {
    /// Whether it is an error that starts with `code`.
    pub(crate) fn is_error(&self, code: &str) -> bool {
        matches!(self, Reply::Error(text) if text.starts_with(code))
    }

    /// Its text, if it is a string.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Reply::Simple(text) => Some(text),
            Reply::Bulk(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Its number, if it is one.
    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Reply::Integer(number) => Some(*number),
            _ => None,
        }
    }
}

impl PartialEq<&str> for Reply {
    fn eq(&self, text: &&str) -> bool {
        self.text() == Some(text)
    }
}

impl PartialEq<i64> for Reply {
    fn eq(&self, number: &i64) -> bool {
        self.integer() == Some(*number)
    }
}

/// The reply `+text`.
pub(crate) fn reply(text: &str) -> Reply {
    Reply::Simple(text.to_owned())
}

/// A connection.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects to a port on loopback.
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_WITHIN))?;
        stream.set_write_timeout(Some(REPLY_WITHIN))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Bounds every later wait.
    pub(crate) fn patience(self, patience: Duration) -> Self {
        let stream = self.stream.get_ref();
        stream.set_read_timeout(Some(patience)).expect("a timeout");
        stream.set_write_timeout(Some(patience)).expect("a timeout");
        self
    }

    /// Sends a command and gives its reply; fails the test if there is none.
    pub(crate) fn call<W: AsRef<[u8]>>(&mut self, words: impl IntoIterator<Item = W>) -> Reply {
        self.try_call(words).expect("a reply")
    }

    /// Sends a command and gives its reply.
    pub(crate) fn try_call<W: AsRef<[u8]>>(
        &mut self,
        words: impl IntoIterator<Item = W>,
    ) -> io::Result<Reply> {
        self.send(&encode(words))?;
        self.receive()
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// The next reply. An end of the stream is [`io::ErrorKind::UnexpectedEof`].
    pub(crate) fn receive(&mut self) -> io::Result<Reply> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        let line = line
            .strip_suffix(b"\r\n")
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let (&kind, rest) = line.split_first().ok_or_else(|| broken("an empty line"))?;
        let text = std::str::from_utf8(rest).map_err(|_| broken("no text"))?;
        let number = || text.parse::<i64>().map_err(|_| broken(text));
        Ok(match kind {
            b'+' | b'(' => Reply::Simple(text.to_owned()),
            b'-' => Reply::Error(text.to_owned()),
            b':' => Reply::Integer(number()?),
            b'#' => Reply::Integer(i64::from(text == "t")),
            b',' => Reply::Double(text.parse().map_err(|_| broken(text))?),
            b'_' => Reply::Nil,
            b'$' => match usize::try_from(number()?) {
                Ok(length) => Reply::Bulk(self.receive_bulk(length)?),
                Err(_) => Reply::Nil,
            },
            b'=' => {
                let bytes = self.receive_bulk(number()?.unsigned_abs() as usize)?;
                // "txt:" precedes the text.
                let text = bytes
                    .get(4..)
                    .ok_or_else(|| broken("a short verbatim string"))?;
                Reply::Simple(String::from_utf8_lossy(text).into_owned())
            }
            b'*' | b'~' | b'>' => match usize::try_from(number()?) {
                Ok(length) => Reply::Array(
                    (0..length)
                        .map(|_| self.receive())
                        .collect::<io::Result<_>>()?,
                ),
                Err(_) => Reply::Nil,
            },
            b'%' => {
                let pairs = (0..number()?).map(|_| Ok((self.receive()?, self.receive()?)));
                Reply::Map(pairs.collect::<io::Result<_>>()?)
            }
            _ => return Err(broken(&String::from_utf8_lossy(line))),
        })
    }

    fn receive_bulk(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes)?;
        if bytes.split_off(length) != b"\r\n" {
            return Err(broken("a string that does not end where it says"));
        }
        Ok(bytes)
    }

    /// Sends all commands at once, then reads all their replies.
    pub(crate) fn pipeline(&mut self, commands: &[Vec<u8>]) -> io::Result<Vec<Reply>> {
        self.send(&commands.concat())?;
        commands.iter().map(|_| self.receive()).collect()
    }

    /// What the other side sends until it closes the connection; `None` if it keeps it
    /// open for as long as the patience lasts.
    pub(crate) fn read_to_end(&mut self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Some(bytes),
            Err(_) => None,
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.stream.get_ref().shutdown(Shutdown::Write)
    }

    /// The sending side once more, for a second thread.
    pub(crate) fn sender(&self) -> TcpStream {
        self.stream.get_ref().try_clone().expect("a second handle")
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("not the Redis protocol: {what}"),
    )
}

/// A command as bytes.
pub(crate) fn encode<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Vec<u8> {
    let words: Vec<W> = words.into_iter().collect();
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The body of a page from a node's admin endpoint.
pub(crate) fn http_get(port: u16, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(REPLY_WITHIN))?;
    // Version 1.0, so that the body comes in one piece.
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    match text.split_once("\r\n\r\n") {
        Some((head, body))
            if head
                .lines()
                .next()
                .is_some_and(|line| line.contains(" 200 ")) =>
        {
            Ok(body.to_owned())
        }
        _ => Err(broken(&text)),
    }
}
