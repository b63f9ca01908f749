//! When a publisher of a closed loop looks for answers while its socket takes nothing.
//!
//! Servers answer by the dozen (Redis writes once for each read, 16 answers of 1 KiB messages), and to be woken
//! for each dozen costs such a publisher as much as half its writing. It needs none of them before its window is
//! full, and then it waits for them in earnest. So until its socket has room there is a [`PAUSE`] from one look
//! to the next, and the kernel is asked not to wake it for answers meanwhile. Where a look finds nothing, the next
//! answer wakes: a thousand connections that stand still cost nothing.

#![expect(unsafe_code, reason = "neither SO_RCVLOWAT nor a read past tokio's readiness has a safe wrapper")]

use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// From one look to the next. tokio's timer has steps of a millisecond, so that it may become two.
const PAUSE: Duration = Duration::from_millis(1);

/// Bytes of answers that wake a publisher before its pause is over. Eight thousand of Redis's; the kernel may
/// answer more than half of a receive buffer (128 KiB by default) with a larger one, so it is less than that.
const WAKE_BYTES: libc::c_int = 32 * 1024;

/// What a publisher that may look late knows of its looks.
#[derive(Debug)]
pub(super) struct Looks {
    pause: Pin<Box<Sleep>>,
    /// The kernel wakes for nothing less than [`WAKE_BYTES`].
    rare: bool,
}

impl Looks {
    /// The first look is due at once.
    pub(super) fn new() -> Self {
        Self { pause: Box::pin(sleep(Duration::ZERO)), rare: false }
    }

    /// `Ready` when it is time for a look; the next one is due a pause later.
    ///
    /// # Errors
    /// When the system does not know the socket any more.
    pub(super) fn poll_due(&mut self, cx: &mut Context<'_>, stream: &TcpStream) -> Poll<io::Result<()>> {
        if self.pause.as_mut().poll(cx).is_ready() {
            self.pause.set(sleep(PAUSE));
            return Poll::Ready(Ok(()));
        }
        if !self.rare {
            wake_from(stream, WAKE_BYTES)?;
            self.rare = true;
        }
        Poll::Pending
    }

    /// From now on every answer wakes; one that is there already does so at once.
    ///
    /// # Errors
    /// When the system does not know the socket any more.
    #[inline]
    pub(super) fn listen(&mut self, stream: &TcpStream) -> io::Result<()> {
        if std::mem::take(&mut self.rare) { wake_from(stream, 1) } else { Ok(()) }
    }
}

/// Asks the kernel to call the socket readable from so many bytes on (SO_RCVLOWAT), or when it is closed. Linux
/// looks at what has already come, too (tcp_set_rcvlowat, since 4.18).
fn wake_from(stream: &TcpStream, bytes: libc::c_int) -> io::Result<()> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open as long as `stream` is borrowed; the option is one int, which lives through
    // the call.
    let set = unsafe {
        let value = (&raw const bytes).cast();
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVLOWAT, value, length)
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads what has come, without waiting and whatever tokio knows of it.
///
/// # Errors
/// `WouldBlock` where nothing has come, and what reading from a socket may bring.
pub(super) fn read_now(stream: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the descriptor is open as long as `stream` is borrowed; `into` is valid for writes of its length.
    let read =
        unsafe { libc::recv(stream.as_raw_fd(), into.as_mut_ptr().cast(), into.len(), libc::MSG_DONTWAIT) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (ours, theirs) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (ours.unwrap(), theirs.unwrap().0)
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn a_few_bytes_wake_nobody_between_two_looks_and_are_there_at_the_next() {
        runtime().block_on(async {
            let ((ours, mut theirs), mut looks) = (pair().await, Looks::new());
            poll_fn(|cx| looks.poll_due(cx, &ours)).await.unwrap();
            let due = poll_fn(|cx| looks.poll_due(cx, &ours));
            let (due, written) = tokio::join!(due, theirs.write_all(b":1\r\n"));
            due.and(written).unwrap();
            let woken = timeout(Duration::ZERO, ours.readable()).await.is_ok();
            let mut room = [0; 16];
            assert_eq!((woken, read_now(&ours, &mut room).unwrap(), &room[..4]), (false, 4, &b":1\r\n"[..]));
            assert_eq!(read_now(&ours, &mut room).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        });
    }

    #[test]
    fn who_listens_again_is_woken_for_what_had_come_before_and_for_what_comes_later() {
        runtime().block_on(async {
            let ((ours, mut theirs), mut looks) = (pair().await, Looks::new());
            for _ in 0..2 {
                poll_fn(|cx| looks.poll_due(cx, &ours)).await.unwrap();
                let due = poll_fn(|cx| looks.poll_due(cx, &ours));
                let (due, written) = tokio::join!(due, theirs.write_all(b"a"));
                due.and(written).unwrap();
                looks.listen(&ours).unwrap();
                for _ in 0..2 {
                    timeout(Duration::from_secs(10), ours.readable()).await.expect("woken").unwrap();
                    let mut room = [0; 16];
                    assert_eq!(ours.try_read(&mut room).unwrap(), 1);
                    assert_eq!(ours.try_read(&mut room).unwrap_err().kind(), io::ErrorKind::WouldBlock);
                    theirs.write_all(b"b").await.unwrap();
                }
                timeout(Duration::from_secs(10), ours.readable()).await.expect("woken").unwrap();
                assert_eq!(ours.try_read(&mut [0; 16]).unwrap(), 1);
            }
        });
    }

    #[test]
    fn a_connection_that_ends_wakes_at_once() {
        runtime().block_on(async {
            let ((ours, theirs), mut looks) = (pair().await, Looks::new());
            poll_fn(|cx| looks.poll_due(cx, &ours)).await.unwrap();
            let due = poll_fn(|cx| looks.poll_due(cx, &ours));
            tokio::join!(due, async { drop(theirs) }).0.unwrap();
            timeout(Duration::from_secs(10), ours.readable()).await.expect("woken").unwrap();
            assert_eq!(read_now(&ours, &mut [0; 16]).unwrap(), 0);
        });
    }
}
