//! Ctrl-C and SIGTERM: the first asks the run to end well, the second ends it at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Whether the user wants the run to end.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for SIGINT and SIGTERM from now on, on a thread of its own. A second signal ends the process
    /// with 130 at once.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn listen() -> io::Result<Self> {
        let interrupt = Self::default();
        let requested = Arc::clone(&interrupt.0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let signals = {
            let _guard = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            runtime.block_on(heed(signals, &requested));
        })?;
        Ok(interrupt)
    }

    /// Whether a signal came.
    #[must_use]
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// As if a signal had come.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Notes the first signal; ends the process at the second.
async fn heed((mut interrupts, mut terminations): (Signal, Signal), requested: &AtomicBool) {
    loop {
        tokio::select! {
            _ = interrupts.recv() => {}
            _ = terminations.recv() => {}
        }
        if requested.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    }
}
