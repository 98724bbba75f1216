//! As little HTTP as it takes. Nothing is ever sent twice: a client that repeats a request by itself would hide what was lost.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long an answer may take before it counts as none.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Request {
    text: String,
}

impl Request {
    pub(crate) fn new(method: &str, path: &str, bearer: Option<&str>) -> Self {
        let credentials = bearer.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
        Self {
            text: format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{credentials}"),
        }
    }

    fn body(mut self, kind: &str, body: &str) -> Self {
        self.text += &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        self
    }

    pub(crate) fn empty(mut self) -> Self {
        self.text += "Content-Length: 0\r\n\r\n";
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", &body.to_string())
    }

    /// The values are of characters that need no encoding.
    pub(crate) fn form(self, fields: &[(&str, &str)]) -> Self {
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.body("application/x-www-form-urlencoded", &fields.join("&"))
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn text(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap_or_default()
    }
}

/// One connection, made when it is first needed, and again after an error.
pub(crate) struct Connection {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Connection {
    pub(crate) const fn to(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// The answer to this request. After an error nobody knows whether it was carried out.
    pub(crate) fn ask(&mut self, request: &Request) -> io::Result<Answer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => BufReader::new(connect(self.address)?),
        };
        stream.get_mut().write_all(request.text.as_bytes())?;
        let (answer, goes_on) = read(&mut stream)?;
        if goes_on {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The answer, and whether the connection stays.
fn read(stream: &mut BufReader<TcpStream>) -> io::Result<(Answer, bool)> {
    let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| broken("no status line"))?;
    let (mut length, mut goes_on) = (0, true);
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(broken("the headers do not end"));
        }
        let header = line.trim_end().to_ascii_lowercase();
        match header.split_once(':') {
            None if header.is_empty() => break,
            None => return Err(broken("a header without a colon")),
            Some(("content-length", value)) => {
                length = value.trim().parse().map_err(|_| broken("a length that is none"))?;
            }
            Some(("connection", value)) => goes_on = value.trim() != "close",
            Some(("transfer-encoding", _)) => return Err(broken("an answer in chunks")),
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Ok((Answer { status, body }, goes_on))
}
