//! One connection: the exchanges that set it up, in RESP.

use super::{Address, fatal};
use crate::driver::DriverError;
use crate::driver::socket::{Place, Socket};
use crate::wire::resp::{Reply, append_command, scan};

/// Connects, authenticates, and makes sure that a Redis answers. `payload_max`: the longest bulk string that
/// will be read, in bytes.
pub(in crate::driver) async fn open(address: &Address, payload_max: usize) -> Result<Socket, DriverError> {
    connect(address, payload_max, false).await
}

/// The same for a connection that speaks RESP3.
pub(in crate::driver) async fn open_resp3(
    address: &Address,
    payload_max: usize,
) -> Result<Socket, DriverError> {
    connect(address, payload_max, true).await
}

async fn connect(address: &Address, payload_max: usize, resp3: bool) -> Result<Socket, DriverError> {
    let mut socket =
        Socket::connect(address.driver, &address.place, address.tls.as_ref(), payload_max).await?;
    greet(&mut socket, address, resp3).await?;
    Ok(socket)
}

async fn greet(socket: &mut Socket, address: &Address, resp3: bool) -> Result<(), DriverError> {
    let mut commands = Vec::new();
    let mut missing = 1;
    if let Some(password) = &address.password {
        match &address.username {
            Some(name) => append_command(&mut commands, &[b"AUTH", name.as_bytes(), password.as_bytes()]),
            None => append_command(&mut commands, &[b"AUTH", password.as_bytes()]),
        }
        missing += 1;
    }
    if address.database != 0 {
        append_command(&mut commands, &[b"SELECT", address.database.to_string().as_bytes()]);
        missing += 1;
    }
    if resp3 {
        append_command(&mut commands, &[b"HELLO", b"3"]);
        missing += 1;
    }
    append_command(&mut commands, &[b"PING"]);
    let place = &address.place;
    exchange(socket, &commands, |reply, _| {
        match reply {
            Reply::Simple(_) => missing -= 1,
            // What HELLO says of the server.
            Reply::Array(_) if resp3 => missing -= 1,
            Reply::Error(text) => return Err(refused(address.driver, place, text)),
            _ => return Err(fatal(address.driver, format!("{place} answers, but not as a Redis does"))),
        }
        Ok(missing == 0)
    })
    .await
}

/// Writes `output` while reading, and shows each whole value (parsed, and its bytes) to `each` until that says
/// `true`.
pub(in crate::driver) async fn exchange(
    socket: &mut Socket,
    output: &[u8],
    mut each: impl FnMut(Reply<'_>, &[u8]) -> Result<bool, DriverError>,
) -> Result<(), DriverError> {
    let take = |socket: &mut Socket| {
        while let Some((reply, length)) =
            scan(socket.unread()).map_err(|error| broken(socket.driver(), error))?
        {
            let done = each(reply, &socket.unread()[..length])?;
            socket.consume(length);
            if done {
                return Ok(true);
            }
        }
        Ok(false)
    };
    socket.exchange(output, take).await
}

/// The stream can't be understood any more.
pub(in crate::driver) fn broken(driver: &'static str, error: crate::wire::resp::ReplyError) -> DriverError {
    fatal(driver, "the server sends what is no RESP").source(error)
}

fn refused(driver: &'static str, place: &Place, text: &[u8]) -> DriverError {
    let error = fatal(driver, format!("{place} refuses the connection: {}", String::from_utf8_lossy(text)));
    if text.starts_with(b"NOAUTH") || text.starts_with(b"WRONGPASS") {
        return error.remedy("put user and password into the target's URL: redis://user:${NAME}@host:port");
    }
    error
}
