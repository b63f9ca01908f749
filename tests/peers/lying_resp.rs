//! A Redis that lies, and counts its lies: it speaks enough RESP2 for a client to publish and subscribe, and
//! drops, doubles, swaps, corrupts, misroutes and adds old messages as a seed decides.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::lies::{Liar, Lied, Lies, flush};

/// Digits at the end of a channel's name, which are its topic.
const TOPIC_DIGITS: usize = 6;

/// A running peer; its threads end with their connections, and with the test.
pub(crate) struct LyingResp {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

impl LyingResp {
    /// Starts to listen on a free port.
    pub(crate) fn start(lies: Lies) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { liar: Liar::new(lies), clients: BTreeMap::new() }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for (id, stream) in listener.incoming().filter_map(Result::ok).enumerate() {
                let state = Arc::clone(&shared);
                thread::spawn(move || {
                    let _a_client_that_left = serve(id, &stream, &state);
                    lock(&state).clients.remove(&id);
                });
            }
        });
        Self { url, state }
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
    clients: BTreeMap<usize, Client>,
}

struct Client {
    stream: TcpStream,
    output: Vec<u8>,
    /// Channels subscribed to, each with the message held back for a swap.
    channels: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl State {
    /// How many clients the message is meant for.
    fn publish(&mut self, channel: &[u8], payload: &[u8]) -> usize {
        let mut receivers = 0;
        for client in self.clients.values_mut() {
            let Some(held) = client.channels.get_mut(channel) else { continue };
            receivers += 1;
            for told in self.liar.tell(held, payload) {
                let elsewhere = other_channel(channel, &self.liar);
                let frame = frame(if told.elsewhere { &elsewhere } else { channel }, &told.payload);
                self.liar.send(&frame, &mut client.output, &mut client.stream);
            }
        }
        receivers
    }

    /// Writes all that is queued; with `idle`, also what waits for a swap that won't come.
    fn flush(&mut self, idle: bool) {
        for client in self.clients.values_mut() {
            for (channel, held) in &mut client.channels {
                if idle && let Some(payload) = held.take() {
                    self.liar.send(&frame(channel, &payload), &mut client.output, &mut client.stream);
                    self.liar.no_swap();
                }
            }
            flush(&mut client.output, &mut client.stream);
        }
    }

    fn handle(&mut self, id: usize, command: &[Vec<u8>]) {
        let name = command[0].to_ascii_uppercase();
        let answer = match (name.as_slice(), command) {
            (b"PUBLISH", [_, channel, payload]) => format!(":{}\r\n", self.publish(channel, payload)),
            (b"SUBSCRIBE", [_, channels @ ..]) => return self.subscribe(id, channels),
            (b"PING", _) => "+PONG\r\n".to_owned(),
            // AUTH, SELECT, CLIENT SETINFO
            _ => "+OK\r\n".to_owned(),
        };
        self.clients.get_mut(&id).unwrap().output.extend_from_slice(answer.as_bytes());
    }

    fn subscribe(&mut self, id: usize, channels: &[Vec<u8>]) {
        let client = self.clients.get_mut(&id).unwrap();
        for channel in channels {
            client.channels.insert(channel.clone(), None);
            client.output.extend_from_slice(b"*3\r\n$9\r\nsubscribe\r\n");
            append_bulk(&mut client.output, channel);
            client.output.extend_from_slice(format!(":{}\r\n", client.channels.len()).as_bytes());
        }
    }
}

fn append_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn frame(channel: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut frame = b"*3\r\n$7\r\nmessage\r\n".to_vec();
    append_bulk(&mut frame, channel);
    append_bulk(&mut frame, payload);
    frame
}

/// `bm000003` becomes `bm000004`, and the last one `bm000000`.
fn other_channel(channel: &[u8], liar: &Liar) -> Vec<u8> {
    let (prefix, topic) = channel.split_at(channel.len() - TOPIC_DIGITS);
    let topic: u32 = std::str::from_utf8(topic).unwrap().parse().unwrap();
    [prefix, format!("{:0TOPIC_DIGITS$}", liar.other_topic(topic)).as_bytes()].concat()
}

/// One connection, until it ends.
fn serve(id: usize, stream: &TcpStream, state: &Mutex<State>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_millis(20)))?;
    let client = Client { stream: stream.try_clone()?, output: Vec::new(), channels: BTreeMap::new() };
    lock(state).clients.insert(id, client);
    let mut input = Input { reader: BufReader::with_capacity(1 << 16, stream), state };
    loop {
        let arguments = input.number(b'*')?;
        let mut command = Vec::with_capacity(arguments);
        for _ in 0..arguments {
            let length = input.number(b'$')?;
            let mut bulk = input.bytes(length + 2)?;
            bulk.truncate(length);
            command.push(bulk);
        }
        lock(state).handle(id, &command);
    }
}

/// Commands as they come. Whenever there is nothing to read, what is queued is written.
struct Input<'a> {
    reader: BufReader<&'a TcpStream>,
    state: &'a Mutex<State>,
}

impl Input<'_> {
    /// `<mark><number>\r\n`.
    fn number(&mut self, mark: u8) -> io::Result<usize> {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            line.extend(self.bytes(1)?);
        }
        let digits = line.strip_prefix(&[mark]).and_then(|line| line.strip_suffix(b"\r\n"));
        let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        number.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    fn bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            if self.reader.buffer().is_empty() {
                lock(self.state).flush(false);
            }
            match self.reader.fill_buf() {
                Ok([]) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(some) => {
                    let count = some.len().min(length - bytes.len());
                    (&mut self.reader).take(count as u64).read_to_end(&mut bytes)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => lock(self.state).flush(true),
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }
}
