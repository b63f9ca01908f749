//! A TCP proxy that lets every byte through later by a fixed time, in both directions, and in order: a longer way to
//! the same broker. Two threads for each direction of a connection: one stamps what it reads, one waits and writes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use crate::clock::{Clock, Nanos};

/// Read at a time.
const READ_BYTES: usize = 64 * 1024;

/// Pieces under way in one direction of a connection at most; a full queue holds the sender back, as a full pipe does.
const PIECES_MAX: usize = 16 * 1024;

/// Serves until the process ends; `listening` is told the address once it listens.
///
/// # Errors
/// If the address can't be had, or no more connections can be accepted.
pub fn delay(
    listen: SocketAddr,
    upstream: SocketAddr,
    by: Duration,
    listening: impl FnOnce(SocketAddr),
) -> io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    listening(listener.local_addr()?);
    for client in listener.incoming() {
        let client = client?;
        // A client whose way is blocked sees its connection closed, as if the broker were gone.
        if let Ok(server) = TcpStream::connect(upstream) {
            join(&client, &server, by)?;
        }
    }
    Ok(())
}

/// Carries bytes between two sockets, both ways.
fn join(client: &TcpStream, server: &TcpStream, by: Duration) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let clock = Clock::real();
    for (from, to) in [(client, server), (server, client)] {
        let (pieces, waiting) = sync_channel::<(Nanos, Vec<u8>)>(PIECES_MAX);
        let (from, to, reader, writer) = (from.try_clone()?, to.try_clone()?, clock.clone(), clock.clone());
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        std::thread::Builder::new().spawn(move || read(from, &pieces, &reader, by))?;
        std::thread::Builder::new().spawn(move || write(to, &waiting, &writer))?;
    }
    Ok(())
}

/// Reads pieces, and says when each is to go on.
fn read(mut from: TcpStream, pieces: &SyncSender<(Nanos, Vec<u8>)>, clock: &Clock, by: Nanos) {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = match from.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(count) if count > 0 => count,
            // The end travels as far as the bytes before it.
            _ => return,
        };
        if pieces.send((clock.now().saturating_add(by), buffer[..count].to_vec())).is_err() {
            return;
        }
    }
}

/// Writes each piece when it is due; closes the way when the last one is through.
fn write(mut to: TcpStream, pieces: &Receiver<(Nanos, Vec<u8>)>, clock: &Clock) {
    while let Ok((due, bytes)) = pieces.recv() {
        wait_until(due, clock);
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    // It is gone already if this fails.
    let _ = to.shutdown(Shutdown::Both);
}

#[expect(clippy::disallowed_methods, reason = "waiting is what this proxy is for")]
fn wait_until(due: Nanos, clock: &Clock) {
    let left = due.saturating_sub(clock.now());
    if left > 0 {
        std::thread::sleep(Duration::from_nanos(left));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_whole_in_order_and_later_by_the_time_both_ways() {
        let echo = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream = echo.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = echo.accept().unwrap();
            let mut again = stream.try_clone().unwrap();
            let _ = io::copy(&mut stream, &mut again);
        });
        let (address, told) = sync_channel(1);
        let by = Duration::from_millis(20);
        std::thread::spawn(move || {
            delay("127.0.0.1:0".parse().unwrap(), upstream, by, |listening| address.send(listening).unwrap())
        });
        let mut stream = TcpStream::connect(told.recv().unwrap()).unwrap();
        let clock = Clock::real();
        let sent: Vec<u8> = (0..200_000u32).map(|byte| byte as u8).collect();
        let mut writer = stream.try_clone().unwrap();
        let to_send = sent.clone();
        std::thread::spawn(move || writer.write_all(&to_send).unwrap());
        let mut received = vec![0; sent.len()];
        stream.read_exact(&mut received[..1]).unwrap();
        let first = clock.now();
        stream.read_exact(&mut received[1..]).unwrap();
        assert!(received == sent, "bytes differ");
        assert!(first >= 2 * 20_000_000, "the first byte came after {first} ns");
    }
}
