//! A client that sends what it is given, byte for byte.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::server::Server;

/// After so long without a byte, the server keeps the connection open against its word.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// The value of the header, if it comes once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, value)| value.as_str());
        values.next().filter(|_| values.next().is_none())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// A connection.
pub(crate) struct Wire(BufReader<TcpStream>);

impl Wire {
    pub(crate) fn to(server: &Server) -> Self {
        let address = server.url.strip_prefix("http://").expect("it is a URL");
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has a timeout");
        Self(BufReader::new(stream))
    }

    /// Sends this and reads one answer.
    pub(crate) fn ask(&mut self, sent: impl AsRef<[u8]>) -> Answer {
        self.send(&sent);
        self.answer(true)
            .unwrap_or_else(|| panic!("no answer to {}", String::from_utf8_lossy(sent.as_ref())))
    }

    /// As [`Wire::ask`], for an answer without a body whatever it says of one.
    pub(crate) fn ask_head(&mut self, sent: &str) -> Answer {
        self.send(sent);
        self.answer(false).unwrap_or_else(|| panic!("no answer to {sent:?}"))
    }

    /// Sends this and reads all answers until the server closes the connection.
    pub(crate) fn all(mut self, sent: &str) -> Vec<Answer> {
        self.send(sent);
        self.rest()
    }

    /// Reads all answers until the server closes the connection.
    pub(crate) fn rest(&mut self) -> Vec<Answer> {
        std::iter::from_fn(|| self.answer(true)).collect()
    }

    /// How many bytes a single read of at most `most` gives; none at the end.
    pub(crate) fn read_some(&mut self, most: usize) -> usize {
        self.0.get_mut().read(&mut vec![0; most]).unwrap_or(0)
    }

    /// Says that nothing more will be sent.
    pub(crate) fn end(&self) {
        self.0.get_ref().shutdown(Shutdown::Write).expect("it is open");
    }

    pub(crate) fn send(&mut self, sent: impl AsRef<[u8]>) {
        // The server may have refused before it has read all.
        let _ = self.0.get_mut().write_all(sent.as_ref());
    }

    /// Sends this, and says whether the connection took it.
    pub(crate) fn takes(&mut self, sent: &[u8]) -> bool {
        self.0.get_mut().write_all(sent).is_ok()
    }

    /// The next answer; `None` when the connection is closed. One that is closed with something unread is reset.
    fn answer(&mut self, has_body: bool) -> Option<Answer> {
        let mut line = || {
            let mut line = String::new();
            match self.0.read_line(&mut line) {
                Ok(n) => (n > 0).then(|| line.trim_end().to_owned()),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
                Err(error) => panic!("the connection is left open: {error}"),
            }
        };
        let status_line = line()?;
        let status = status_line
            .strip_prefix("HTTP/1.1 ")
            .or_else(|| status_line.strip_prefix("HTTP/1.0 "));
        let status = status
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .unwrap_or_else(|| panic!("{status_line}"));
        let mut headers = Vec::new();
        while let Some((name, value)) = line().as_deref().and_then(|line| line.split_once(':')) {
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer {
            status,
            headers,
            body: String::new(),
        };
        if has_body && status != 204 && status >= 200 {
            let len = answer
                .header("content-length")
                .expect("its length is told")
                .parse()
                .expect("a number");
            let mut body = vec![0; len];
            self.0.read_exact(&mut body).expect("the body is there");
            answer.body = String::from_utf8(body).expect("it is text");
        }
        Some(answer)
    }
}

/// `GET path`, with these header fields.
pub(crate) fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

/// A form.
pub(crate) fn form(path: &str, body: &str) -> String {
    post(path, "application/x-www-form-urlencoded", body, "")
}

/// A JSON body, with these header fields.
pub(crate) fn json(path: &str, body: &str, fields: &str) -> String {
    post(path, "application/json", body, fields)
}

fn post(path: &str, kind: &str, body: &str, fields: &str) -> String {
    let len = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\n{fields}\r\n{body}")
}
