//! A NATS server that lies, and counts its lies: it speaks enough of the protocol for a client to publish and
//! subscribe, and drops, doubles, swaps, corrupts, misroutes and adds old messages as a seed decides.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use busmark::prng::Prng;

/// Share of deliveries that are lied about, 0 to 1 each, and together at most 1.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lies {
    pub(crate) seed: u64,
    /// Not delivered.
    pub(crate) drop: f64,
    /// Delivered twice.
    pub(crate) duplicate: f64,
    /// Delivered behind the next one on the same subject.
    pub(crate) swap: f64,
    /// One bit flipped, at or behind `corrupt_from`.
    pub(crate) corrupt: f64,
    pub(crate) corrupt_from: usize,
    /// Delivered under another subject of the `topics` there are, instead of its own.
    pub(crate) misroute: f64,
    pub(crate) topics: u32,
    /// Delivered, and after it `old_payload`, which no publisher of this trial sent.
    pub(crate) stale: f64,
    pub(crate) old_payload: Vec<u8>,
    /// Each frame is written in two pieces.
    pub(crate) in_halves: bool,
    /// The frame of this delivery (from 1) is written half, and the connection is cut.
    pub(crate) cut_at: Option<u64>,
}

/// How often it lied, and how often not, in deliveries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lied {
    pub(crate) honest: u64,
    pub(crate) dropped: u64,
    pub(crate) duplicated: u64,
    pub(crate) swapped: u64,
    pub(crate) corrupted: u64,
    pub(crate) misrouted: u64,
    pub(crate) stale: u64,
}

/// A running peer; its threads end with their connections, and with the test.
pub(crate) struct LyingNats {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

impl LyingNats {
    /// Starts to listen on a free port.
    pub(crate) fn start(lies: Lies) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::new(lies)));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for (id, stream) in listener.incoming().filter_map(Result::ok).enumerate() {
                let state = Arc::clone(&shared);
                thread::spawn(move || {
                    let _a_client_that_left = serve(id, &stream, port, &state);
                    lock(&state).clients.remove(&id);
                });
            }
        });
        Self { url: format!("nats://127.0.0.1:{port}"), state }
    }

    /// What it did so far; complete once all that was published has arrived or been dropped.
    pub(crate) fn lied(&self) -> Lied {
        lock(&self.state).lied
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct State {
    lies: Lies,
    prng: Prng,
    lied: Lied,
    delivered: u64,
    clients: HashMap<usize, Client>,
    /// Which member of a queue group is next.
    turns: HashMap<String, usize>,
}

struct Client {
    stream: TcpStream,
    output: Vec<u8>,
    subscriptions: Vec<Subscription>,
}

struct Subscription {
    sid: String,
    filter: String,
    group: Option<String>,
    /// Messages held back for a swap, by subject.
    held: HashMap<String, Vec<u8>>,
}

/// How one delivery is treated.
#[derive(Clone, Copy)]
enum Treatment {
    Honest,
    Drop,
    Duplicate,
    Swap,
    Corrupt,
    Misroute,
    Stale,
}

impl State {
    fn new(lies: Lies) -> Self {
        let prng = Prng::new(lies.seed);
        Self {
            lies,
            prng,
            lied: Lied::default(),
            delivered: 0,
            clients: HashMap::new(),
            turns: HashMap::new(),
        }
    }

    fn publish(&mut self, subject: &str, payload: &[u8]) {
        for (client, subscription) in self.receivers(subject) {
            self.deliver(client, subscription, subject, payload);
        }
    }

    /// All subscriptions without a group, and one of each group in turn.
    fn receivers(&mut self, subject: &str) -> Vec<(usize, usize)> {
        let mut ids: Vec<usize> = self.clients.keys().copied().collect();
        ids.sort_unstable();
        let mut receivers = Vec::new();
        let mut groups: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
        for id in ids {
            for (at, subscription) in self.clients[&id].subscriptions.iter().enumerate() {
                match &subscription.group {
                    _ if !matches(&subscription.filter, subject) => {}
                    None => receivers.push((id, at)),
                    Some(group) => groups.entry(group.clone()).or_default().push((id, at)),
                }
            }
        }
        for (group, members) in groups {
            let turn = self.turns.entry(group).or_default();
            receivers.push(members[*turn % members.len()]);
            *turn += 1;
        }
        receivers
    }

    fn deliver(&mut self, client: usize, at: usize, subject: &str, payload: &[u8]) {
        if let Some(held) = self.subscription(client, at).held.remove(subject) {
            self.send(client, at, subject, payload);
            self.send(client, at, subject, &held);
            self.lied.honest += 1;
            self.lied.swapped += 1;
            return;
        }
        if is_inbox(subject) {
            return self.send(client, at, subject, payload);
        }
        match self.treatment() {
            Treatment::Honest => {
                self.send(client, at, subject, payload);
                self.lied.honest += 1;
            }
            Treatment::Drop => self.lied.dropped += 1,
            Treatment::Duplicate => {
                self.send(client, at, subject, payload);
                self.send(client, at, subject, payload);
                self.lied.duplicated += 1;
            }
            Treatment::Swap => {
                self.subscription(client, at).held.insert(subject.to_owned(), payload.to_vec());
            }
            Treatment::Corrupt => {
                let mut payload = payload.to_vec();
                let from = self.lies.corrupt_from.min(payload.len() - 1);
                let bit = self.prng.below((payload.len() - from) as u64 * 8) as usize;
                payload[from + bit / 8] ^= 1 << (bit % 8);
                self.send(client, at, subject, &payload);
                self.lied.corrupted += 1;
            }
            Treatment::Misroute => {
                let elsewhere = other_subject(subject, self.lies.topics);
                self.send(client, at, &elsewhere, payload);
                self.lied.misrouted += 1;
            }
            Treatment::Stale => {
                self.send(client, at, subject, payload);
                let old = self.lies.old_payload.clone();
                self.send(client, at, subject, &old);
                self.lied.stale += 1;
            }
        }
    }

    fn treatment(&mut self) -> Treatment {
        let lies = &self.lies;
        let mut dice = self.prng.unit();
        for (share, treatment) in [
            (lies.drop, Treatment::Drop),
            (lies.duplicate, Treatment::Duplicate),
            (lies.swap, Treatment::Swap),
            (lies.corrupt, Treatment::Corrupt),
            (lies.misroute, Treatment::Misroute),
            (lies.stale, Treatment::Stale),
        ] {
            if dice < share {
                return treatment;
            }
            dice -= share;
        }
        Treatment::Honest
    }

    fn send(&mut self, client: usize, at: usize, subject: &str, payload: &[u8]) {
        self.delivered += u64::from(!is_inbox(subject));
        let cut = self.lies.cut_at == Some(self.delivered);
        let in_halves = self.lies.in_halves;
        let Some(client) = self.clients.get_mut(&client) else { return };
        let mut frame =
            format!("MSG {subject} {} {}\r\n", client.subscriptions[at].sid, payload.len()).into_bytes();
        frame.extend_from_slice(payload);
        frame.extend_from_slice(b"\r\n");
        if cut || in_halves {
            let (first, second) = frame.split_at(frame.len() / 2);
            client.output.extend_from_slice(first);
            client.flush();
            if cut {
                let _gone_already = client.stream.shutdown(Shutdown::Both);
            }
            client.output.extend_from_slice(second);
        } else {
            client.output.extend_from_slice(&frame);
        }
    }

    /// Writes all that is queued; with `idle`, also what waits for a swap that won't come.
    fn flush(&mut self, idle: bool) {
        let waiting: Vec<(usize, usize, String, Vec<u8>)> = if idle { self.take_held() } else { Vec::new() };
        for (client, at, subject, payload) in waiting {
            self.send(client, at, &subject, &payload);
            self.lied.honest += 1;
        }
        for client in self.clients.values_mut() {
            client.flush();
        }
    }

    fn take_held(&mut self) -> Vec<(usize, usize, String, Vec<u8>)> {
        let mut waiting = Vec::new();
        for (&id, client) in &mut self.clients {
            for (at, subscription) in client.subscriptions.iter_mut().enumerate() {
                waiting
                    .extend(subscription.held.drain().map(|(subject, payload)| (id, at, subject, payload)));
            }
        }
        waiting
    }

    fn subscription(&mut self, client: usize, at: usize) -> &mut Subscription {
        &mut self.clients.get_mut(&client).unwrap().subscriptions[at]
    }
}

impl Client {
    fn flush(&mut self) {
        let _a_client_that_left = self.stream.write_all(&self.output);
        self.output.clear();
    }
}

/// A client's messages to itself are none of those that are lied about and counted.
fn is_inbox(subject: &str) -> bool {
    subject.starts_with("_INBOX.")
}

/// `bm.3` becomes `bm.4`, and the last one `bm.0`.
fn other_subject(subject: &str, topics: u32) -> String {
    let (start, index) = subject.rsplit_once('.').unwrap();
    format!("{start}.{}", (index.parse::<u32>().unwrap() + 1) % topics.max(1))
}

/// Wildcards at the end only, which is all that busmark asks for.
fn matches(filter: &str, subject: &str) -> bool {
    match filter.strip_suffix('*') {
        Some(start) => {
            subject.strip_prefix(start).is_some_and(|rest| !rest.is_empty() && !rest.contains('.'))
        }
        None => filter == subject,
    }
}

/// One connection, until it ends.
fn serve(id: usize, stream: &TcpStream, port: u16, state: &Mutex<State>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_millis(20)))?;
    let info = format!(
        "INFO {{\"server_id\":\"LIAR\",\"server_name\":\"liar\",\"version\":\"2.11.11\",\"proto\":1,\
         \"go\":\"none\",\"host\":\"127.0.0.1\",\"port\":{port},\"headers\":true,\"max_payload\":1048576,\
         \"client_id\":{id},\"client_ip\":\"127.0.0.1\"}}\r\n"
    );
    let client = Client { stream: stream.try_clone()?, output: info.into_bytes(), subscriptions: Vec::new() };
    lock(state).clients.insert(id, client);
    lock(state).flush(false);
    let mut input = BufReader::with_capacity(1 << 16, stream);
    let mut line = Vec::new();
    loop {
        if input.buffer().is_empty() {
            lock(state).flush(false);
        }
        match input.read_until(b'\n', &mut line) {
            Ok(0) => return Ok(()),
            Ok(_) => {
                handle(id, &String::from_utf8_lossy(&line), &mut input, state)?;
                line.clear();
            }
            // What was read of the line stays in it.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => lock(state).flush(true),
            Err(error) => return Err(error),
        }
    }
}

fn handle(id: usize, line: &str, input: &mut impl Read, state: &Mutex<State>) -> io::Result<()> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["PING"] => lock(state).clients.get_mut(&id).unwrap().output.extend_from_slice(b"PONG\r\n"),
        ["SUB", filter, sid] => subscribe(id, filter, None, sid, state),
        ["SUB", filter, group, sid] => subscribe(id, filter, Some(group.to_owned()), sid, state),
        ["UNSUB", sid, ..] => {
            // Indices into the list stay valid: an ended subscription matches nothing.
            let mut state = lock(state);
            for subscription in &mut state.clients.get_mut(&id).unwrap().subscriptions {
                if subscription.sid == sid {
                    subscription.filter.clear();
                }
            }
        }
        ["PUB", subject, .., length] => {
            let mut payload = vec![0; length.parse::<usize>().unwrap() + 2];
            read_all(input, &mut payload)?;
            payload.truncate(payload.len() - 2);
            lock(state).publish(subject, &payload);
        }
        _ => {} // CONNECT, PONG
    }
    Ok(())
}

/// Like `read_exact`, but a timeout in the middle is no reason to give up.
fn read_all(input: &mut impl Read, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        match input.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => buffer = &mut buffer[read..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn subscribe(id: usize, filter: &str, group: Option<String>, sid: &str, state: &Mutex<State>) {
    let subscription =
        Subscription { sid: sid.to_owned(), filter: filter.to_owned(), group, held: HashMap::new() };
    lock(state).clients.get_mut(&id).unwrap().subscriptions.push(subscription);
}
