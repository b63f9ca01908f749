//! The bundled Pub/Sub server, run as the process it is, over real sockets; with one event loop and with
//! several, which must not be told apart.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and says what it saw")]
#![expect(
    clippy::duplicate_mod,
    reason = "the same questions are asked with one event loop and with several"
)]

mod node;
mod scale;
mod support;
mod threads;

/// What is asked of the engine, whatever its threads.
macro_rules! questions {
    ($($name:ident $threads:literal),*) => {
        $(
            #[path = "."]
            mod $name {
                /// Event loops of the engine.
                const THREADS: &str = $threads;

                mod access;
                mod differential;
                mod garbage;
                mod golden;
                mod library;
                mod limits;
                mod odd_input;
                mod together;
                mod words;
            }
        )*
    };
}

questions! { one_thread "1", three_threads "3" }
