//! The JetStream-style engine on a thread of the test's process.

use std::net::SocketAddr;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

use busmark::clock::Clock;
use busmark::engine::jetstream::{Bound, Settings, Stopper};

/// A running server; it ends with its owner.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts one on a free port.
    pub(crate) fn start(settings: Settings) -> Self {
        let settings = Settings { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..settings };
        let (tell, told) = sync_channel(1);
        let thread = std::thread::spawn(move || {
            let bound = Bound::open(settings, Clock::real()).unwrap();
            tell.send((bound.address(), bound.stopper())).unwrap();
            bound.run().unwrap();
        });
        let (address, stopper) = told.recv().unwrap();
        Self { address, stopper, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}
