//! A NATS server that lies, and counts its lies: it speaks enough of the protocol for a client to publish and
//! subscribe, and drops, doubles, swaps, corrupts, misroutes and adds old messages as a seed decides.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::lies::{Liar, Lied, Lies, flush};

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
        lock(&self.state).liar.lied
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct State {
    liar: Liar,
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
    held: HashMap<String, Option<Vec<u8>>>,
}

impl State {
    fn new(lies: Lies) -> Self {
        Self { liar: Liar::new(lies), clients: HashMap::new(), turns: HashMap::new() }
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
        let Some(client) = self.clients.get_mut(&client) else { return };
        if is_inbox(subject) {
            let frame = client.frame(at, subject, payload);
            client.output.extend_from_slice(&frame);
            return;
        }
        let held = client.subscriptions[at].held.entry(subject.to_owned()).or_default();
        for told in self.liar.tell(held, payload) {
            let elsewhere =
                if told.elsewhere { other_subject(subject, &self.liar) } else { subject.to_owned() };
            let frame = client.frame(at, &elsewhere, &told.payload);
            self.liar.send(&frame, &mut client.output, &mut client.stream);
        }
    }

    /// Writes all that is queued; with `idle`, also what waits for a swap that won't come.
    fn flush(&mut self, idle: bool) {
        let waiting: Vec<(usize, usize, String, Vec<u8>)> = if idle { self.take_held() } else { Vec::new() };
        for (id, at, subject, payload) in waiting {
            let Some(client) = self.clients.get_mut(&id) else { continue };
            let frame = client.frame(at, &subject, &payload);
            self.liar.send(&frame, &mut client.output, &mut client.stream);
            self.liar.no_swap();
        }
        for client in self.clients.values_mut() {
            flush(&mut client.output, &mut client.stream);
        }
    }

    fn take_held(&mut self) -> Vec<(usize, usize, String, Vec<u8>)> {
        let mut waiting = Vec::new();
        for (&id, client) in &mut self.clients {
            for (at, subscription) in client.subscriptions.iter_mut().enumerate() {
                let held = subscription.held.drain();
                waiting.extend(held.filter_map(|(subject, payload)| Some((id, at, subject, payload?))));
            }
        }
        waiting
    }
}

impl Client {
    fn frame(&self, at: usize, subject: &str, payload: &[u8]) -> Vec<u8> {
        let sid = &self.subscriptions[at].sid;
        let mut frame = format!("MSG {subject} {sid} {}\r\n", payload.len()).into_bytes();
        frame.extend_from_slice(payload);
        frame.extend_from_slice(b"\r\n");
        frame
    }
}

/// A client's messages to itself are none of those that are lied about and counted.
fn is_inbox(subject: &str) -> bool {
    subject.starts_with("_INBOX.")
}

/// `bm.3` becomes `bm.4`, and the last one `bm.0`.
fn other_subject(subject: &str, liar: &Liar) -> String {
    let (start, topic) = subject.rsplit_once('.').unwrap();
    format!("{start}.{}", liar.other_topic(topic.parse().unwrap()))
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
