//! What is said to a server that runs by its process id, as `nats-server --signal` does.

#![expect(unsafe_code, reason = "there is no safe interface to kill")]

use std::io;

/// What a running server is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Let nobody in any more, and end when all have gone.
    LameDuck,
    /// End as by Ctrl-C.
    Quit,
    /// End.
    Terminate,
    /// End at once, whatever is under way.
    Stop,
}

impl Order {
    /// Reads one of nats-server's words.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "ldm" => Some(Self::LameDuck),
            "quit" => Some(Self::Quit),
            "term" => Some(Self::Terminate),
            "stop" => Some(Self::Stop),
            _ => None,
        }
    }

    /// Tells it to a process.
    ///
    /// # Errors
    /// There is no such process, or it is somebody else's.
    pub fn send(self, pid: u32) -> io::Result<()> {
        let signal = match self {
            Self::LameDuck => libc::SIGUSR2,
            Self::Quit => libc::SIGINT,
            Self::Terminate => libc::SIGTERM,
            Self::Stop => libc::SIGKILL,
        };
        let pid = libc::pid_t::try_from(pid).ok().filter(|&pid| pid > 1);
        let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: kill has no memory effects; a number above 1 names one process.
        if unsafe { libc::kill(pid, signal) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}
