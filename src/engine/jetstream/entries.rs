//! What the fuzz targets run, and the tests below with seeded mutations: bytes from anywhere never make the engine
//! panic, and never make it say what is not so.

use super::access::Account;
use super::config;
use super::settings::{JetStreamSettings, Settings};
use super::store::{FileMedium, Layout, Recovered, Store, Stored};
use super::streams::{Caller, Interest, Opened, Streams, Times};
use crate::wire::nats::Publish;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// A configuration file is read, or refused with a reason.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut settings = Settings::default();
    if let Err(error) = config::read(&mut settings, "fuzzed", &text) {
        assert!(!error.to_string().is_empty());
    }
    assert!(!settings.accounts.is_empty(), "somebody without an account is in the first one");
}

/// A directory of this process's own, gone with its owner.
struct Place(PathBuf);

impl Place {
    fn new(what: &str) -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("busmark-{what}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // Left behind by a process of the same number.
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Requests that take JSON, and some whose subject says it all.
const REQUESTS: [&str; 18] = [
    "$JS.API.STREAM.CREATE.S",
    "$JS.API.STREAM.UPDATE.S",
    "$JS.API.STREAM.INFO.S",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.PURGE.S",
    "$JS.API.STREAM.MSG.GET.S",
    "$JS.API.STREAM.MSG.DELETE.S",
    "$JS.API.DIRECT.GET.S",
    "$JS.API.CONSUMER.CREATE.S",
    "$JS.API.CONSUMER.CREATE.S.c",
    "$JS.API.CONSUMER.DURABLE.CREATE.S.c",
    "$JS.API.CONSUMER.LIST.S",
    "$JS.API.CONSUMER.MSG.NEXT.S.c",
    "$JS.API.CONSUMER.DELETE.S.c",
    "$JS.API.CONSUMER.PAUSE.S.c",
    "$JS.API.CONSUMER.UNPIN.S.c",
    "$JS.ACK.S.c.1.1.1.1.0",
];

/// A stream that is there, with a consumer, for requests to do something to.
const BEGIN: [(&str, &str); 2] = [
    ("$JS.API.STREAM.CREATE.S", r#"{"name":"S","subjects":["s.>"],"storage":"memory","allow_direct":true}"#),
    (
        "$JS.API.CONSUMER.DURABLE.CREATE.S.c",
        r#"{"stream_name":"S","config":{"durable_name":"c","ack_policy":"explicit"}}"#,
    ),
];

fn request(streams: &mut Streams, subject: &str, payload: &[u8]) {
    let times = Times { now: 1_000_000_000, unix: 1_700_000_000_000_000_000 };
    let publish = Publish { subject: subject.as_bytes(), reply: b"in", header_length: 0, body: payload };
    let listening = |_: u32, _: &[u8]| Interest::Ready;
    streams.request(0, &publish, &Caller { times, interest: &listening, client: None });
    streams.changes.clear();
    assert!(streams.finish(times, &listening).is_ok(), "no request makes the disk fail");
    std::mem::take(&mut streams.outbox).drain(|(account, to), message| {
        assert_eq!((account, message.header_length <= message.body.len()), (0, true));
        if to == b"in"
            && subject.starts_with("$JS.API.")
            && !subject.contains("DIRECT")
            && !subject.contains("NEXT")
        {
            let answer: serde_json::Value = serde_json::from_slice(message.payload()).unwrap_or_default();
            assert!(answer["type"].is_string(), "{subject}: {}", String::from_utf8_lossy(message.payload()));
        }
    });
}

/// A request of the API with any payload: each is answered with JSON that names its type.
pub fn api(data: &[u8]) {
    let Some((&which, payload)) = data.split_first() else { return };
    let place = Place::new("api");
    let settings = JetStreamSettings { store_dir: place.0.clone(), ..JetStreamSettings::default() };
    let times = Times { now: 0, unix: 1 };
    let Ok(Opened { mut streams, .. }) =
        Streams::open((&settings, &[Account::global()][..]), "fuzz", (1, times))
    else {
        return;
    };
    BEGIN.iter().for_each(|(subject, body)| request(&mut streams, subject, body.as_bytes()));
    let message = Publish { subject: b"s.a", reply: b"", header_length: 0, body: b"x" };
    streams.store(0, &message, times);
    // A file stream takes a while to make and to sync; what JSON says of it is read all the same.
    let text = String::from_utf8_lossy(payload).replace("\"file\"", "\"memory\"");
    request(&mut streams, REQUESTS[usize::from(which) % REQUESTS.len()], text.as_bytes());
    request(&mut streams, "$JS.API.STREAM.INFO.S", b"");
}

/// A segment with bytes changed: what is read from it was written, under its own sequence. `data` is a list of
/// changes, three bytes each: where (two), and what to; one more byte cuts the file's end.
pub fn segment(data: &[u8]) {
    let place = Place::new("segment");
    let layout = Layout { segment_bytes: 64 << 20, journal: false, copies: false };
    let open = |seed| FileMedium::open(&place.0, (1, seed), layout);
    if std::fs::create_dir_all(&place.0).is_err() {
        return;
    }
    let bodies: Vec<Vec<u8>> = (0..8u8).map(|number| vec![number; 5 + 9 * usize::from(number)]).collect();
    {
        let Ok(Recovered { medium, books, .. }) = open(7) else { return };
        let mut store = Store::in_files(medium, books);
        for (time, body) in (1..).zip(&bodies) {
            assert!(store.reserve_at(store.books.last + 1, 3 + body.len()).is_ok());
            store.append(&Stored { sequence: 0, time, subject: b"s.a", header_length: 0, body });
        }
        assert!(store.remove(3) && store.flush(&mut Vec::new()).is_ok());
    }
    let segments = std::fs::read_dir(&place.0).into_iter().flatten().flatten().map(|entry| entry.path());
    let Some(path) = segments.into_iter().find(|path| path.extension().is_some_and(|end| end == "seg"))
    else {
        return;
    };
    let Ok(mut bytes) = std::fs::read(&path) else { return };
    let changes = data.chunks_exact(3);
    if let [cut, ..] = changes.remainder() {
        bytes.truncate(bytes.len() - bytes.len().min(usize::from(*cut)));
    }
    for change in changes {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = change[2];
        }
    }
    assert!(std::fs::write(&path, &bytes).is_ok());
    // A damaged head is refused; nothing else is.
    let Ok(Recovered { medium, books, .. }) = open(8) else { return };
    let mut store = Store::in_files(medium, books);
    for sequence in 0..20 {
        let found = store.get(sequence).map(|message| (message.subject.to_vec(), message.body.to_vec()));
        if let Some((subject, body)) = found {
            let written = usize::try_from(sequence).ok().and_then(|at| bodies.get(at.checked_sub(1)?));
            assert_eq!(
                (Some(&body), &*subject),
                (written, &b"s.a"[..]),
                "message {sequence} was never written"
            );
        }
    }
    let next = store.books.last + 1;
    assert_eq!(
        store.append(&Stored { sequence: 0, time: 99, subject: b"s.b", header_length: 0, body: b"new" }),
        next
    );
    assert_eq!(store.get(next).map(|message| message.body.to_vec()).as_deref(), Some(&b"new"[..]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;

    fn mutated(prng: &mut Prng, beginning: &[u8]) -> Vec<u8> {
        let mut data = beginning.to_vec();
        for _ in 0..prng.below(6) {
            let at = prng.below(data.len() as u64 + 1) as usize;
            match prng.below(3) {
                0 if at < data.len() => data[at] = prng.next_u64() as u8,
                1 => data.truncate(at),
                _ => data.splice(at..at, *b"{\"").for_each(drop),
            }
        }
        data
    }

    #[test]
    fn mutated_files_requests_and_segments_never_make_it_panic_or_lie() {
        const CONFIG: &[u8] =
            b"port: 1\naccounts { A { users: [{user: a, password: b, permissions: {publish: \"x.>\"}}] } }\nhttp: 2";
        let json = br#"{"name":"S","subjects":["s.>"],"max_msgs":5,"config":{"durable_name":"c","ack_policy":"all","filter_subject":"s.a"},"batch":3,"seq":1}"#;
        for seed in 0..3_000 {
            let mut prng = Prng::new(seed);
            config(&mutated(&mut prng, CONFIG));
            if seed % 8 == 0 {
                let which = prng.next_u64() as u8;
                api(&[&[which][..], &mutated(&mut prng, json)].concat());
                let changes: Vec<u8> = (0..prng.below(14)).map(|_| prng.next_u64() as u8).collect();
                segment(&changes);
            }
        }
    }
}
