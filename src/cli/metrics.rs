//! `--metrics HOST:PORT`: a page that says how a run is going, while it goes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::measure::{Live, TrialRecord};
use crate::report::OpenMetrics;

/// Who asks has to say what for within this time, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest request that is read, bytes.
const REQUEST_MAX: usize = 8 << 10;
/// What the page is, as its reader has to know it.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves the page until busmark ends, one reader at a time, on a thread of its own.
#[derive(Debug)]
pub(super) struct Metrics {
    said: OpenMetrics,
    page: Arc<Mutex<String>>,
    address: SocketAddr,
}

impl Metrics {
    /// Listens.
    ///
    /// # Errors
    /// When the address can't be had.
    pub(super) fn serve(at: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(at)?;
        let said = OpenMetrics::default();
        let page = Arc::new(Mutex::new(said.page()));
        let metrics = Self { said, page: Arc::clone(&page), address: listener.local_addr()? };
        std::thread::Builder::new().name("metrics".into()).spawn(move || {
            for reader in listener.incoming().flatten() {
                let page = page.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // Whoever goes away has no need of it.
                let _gone = answer(reader, &page);
            }
        })?;
        Ok(metrics)
    }

    /// Where the page is.
    pub(super) fn url(&self) -> String {
        format!("http://{}/metrics", self.address)
    }

    /// A trial is running.
    pub(super) fn live(&mut self, live: &Live<'_>) {
        self.said.live(live);
        self.renew();
    }

    /// A trial is over.
    pub(super) fn finished(&mut self, record: &TrialRecord) {
        self.said.finished(record);
        self.renew();
    }

    fn renew(&self) {
        *self.page.lock().unwrap_or_else(PoisonError::into_inner) = self.said.page();
    }
}

/// Reads one request and answers it.
fn answer(mut reader: TcpStream, page: &str) -> io::Result<()> {
    reader.set_read_timeout(Some(PATIENCE))?;
    reader.set_write_timeout(Some(PATIENCE))?;
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.windows(4).any(|four| four == b"\r\n\r\n") && request.len() < REQUEST_MAX {
        match reader.read(&mut part)? {
            0 => break,
            read => request.extend_from_slice(&part[..read]),
        }
    }
    let request = String::from_utf8_lossy(&request);
    let path = request.strip_prefix("GET ").and_then(|rest| rest.split_whitespace().next());
    let (status, kind, body) = match path {
        Some("/metrics" | "/") => ("200 OK", CONTENT_TYPE, page),
        Some(_) => ("404 Not Found", "text/plain", "the page is /metrics\n"),
        None => ("400 Bad Request", "text/plain", "only GET is understood\n"),
    };
    let length = body.len();
    write!(
        reader,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    reader.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(metrics: &Metrics, request: &str) -> String {
        let mut stream = TcpStream::connect(metrics.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn the_page_is_what_was_said_last_and_nothing_else_is_there() {
        let mut metrics = Metrics::serve(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        assert!(metrics.url().ends_with("/metrics"));
        let before = get(&metrics, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(before.starts_with("HTTP/1.1 200 OK\r\n") && before.ends_with("# EOF\n"), "{before}");
        metrics.finished(&TrialRecord { target: "a".into(), ..TrialRecord::default() });
        let after = get(&metrics, "GET /metrics HTTP/1.1\r\n\r\n");
        assert!(after.contains("busmark_trials_total{target=\"a\",verdict=\"valid\"} 1"), "{after}");
        assert!(get(&metrics, "GET /other HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
        assert!(get(&metrics, "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400"));
    }
}
