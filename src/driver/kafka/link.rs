//! What all clients of librdkafka share: where the brokers are, how errors are classified, and how they are asked.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::NAME;
use crate::driver::{DriverError, ErrorKind};

/// Each step of setting a connection up may take this long. That is longer than for other systems: brokers that have just
/// started choose leaders and a group's coordinator first, and members of a group wait for each other.
pub(super) const SETUP_LIMIT: Duration = Duration::from_secs(30);

/// A broker that is there takes a connection at once, however busy it is: its kernel does. librdkafka itself would use up the
/// whole of [`SETUP_LIMIT`] before it says that nobody is there.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A context that says nothing of errors: whoever asks gets them as answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
    }
}

/// A client for control work.
pub(super) type Control = Arc<AdminClient<Quiet>>;

/// The brokers that a URL names, as librdkafka wants them: `kafka://a:1,kafka://b:2` is `a:1,b:2`.
pub(super) fn servers(url: &str) -> Result<String, DriverError> {
    let place = |part: &str| {
        let place = part.trim().strip_prefix("kafka://")?.trim_end_matches('/');
        let whole = !place.is_empty() && !place.contains(['/', '@', '?']);
        whole.then(|| place.to_owned())
    };
    let places: Option<Vec<String>> = url.split(',').map(place).collect();
    places.map(|places| places.join(",")).ok_or_else(|| {
        fatal("the target's address is no list of kafka://HOST:PORT").remedy(
            "write kafka://HOST:PORT, several with commas between them; TLS and passwords are not supported",
        )
    })
}

/// What every client is told.
pub(super) fn config(servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", servers)
        .set("client.id", "busmark")
        .set("socket.nagle.disable", "true")
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "500")
        .set("log.connection.close", "false");
    config
}

/// A client for control work; connects to nothing yet.
pub(super) fn control(servers: &str) -> Result<Control, DriverError> {
    let made = config(servers).create_with_context::<_, AdminClient<Quiet>>(Quiet);
    made.map(Arc::new).map_err(|error| of_library(servers, &error))
}

/// Makes sure that one of the brokers takes connections.
pub(super) async fn listening(servers: &str) -> Result<(), DriverError> {
    let mut why = String::new();
    for place in servers.split(',') {
        match timeout(CONNECT_LIMIT, TcpStream::connect(place)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => why = error.to_string(),
            Err(_) => why = format!("no connection within {CONNECT_LIMIT:?}"),
        }
    }
    Err(disconnected(format!("can't reach {servers}: {why}")))
}

/// How long an administrative request may take.
pub(super) fn within_limit() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(SETUP_LIMIT)).operation_timeout(Some(SETUP_LIMIT))
}

/// All topics and brokers, as the cluster knows them.
pub(super) async fn metadata(control: &Control, within: Duration) -> Result<Metadata, KafkaError> {
    let control = Arc::clone(control);
    blocking(move || control.inner().fetch_metadata(None, within)).await
}

/// Runs what waits inside librdkafka beside the runtime.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, KafkaError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(KafkaError::Canceled))
}

pub(super) fn fatal(what: impl Into<String>) -> DriverError {
    DriverError::new(ErrorKind::Fatal, NAME, what)
}

pub(super) fn disconnected(what: impl Into<String>) -> DriverError {
    DriverError::new(ErrorKind::Disconnected, NAME, what)
}

/// What an error of the library means for a trial.
pub(super) fn of_library(servers: &str, error: &KafkaError) -> DriverError {
    let code = match error {
        KafkaError::AdminOp(code) => Some(*code),
        _ => error.rdkafka_error_code(),
    };
    match code {
        Some(code) if is_absence(code) => disconnected(format!("can't reach {servers}: {error}")),
        _ => fatal(format!("{servers}: {error}")),
    }
}

/// Whether nobody answered.
fn is_absence(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::TimedOutQueue
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::BrokerNotAvailable
    )
}

/// Whether a broker said that it won't take a message: its codes are positive, the library's own are negative.
/// Two of them leave open whether it was stored.
pub(super) fn is_refusal(code: RDKafkaErrorCode) -> bool {
    let unknown =
        matches!(code, RDKafkaErrorCode::RequestTimedOut | RDKafkaErrorCode::NotEnoughReplicasAfterAppend);
    code as i32 > 0 && !unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_a_list_of_brokers_and_what_is_none_is_told_without_its_secrets() {
        assert_eq!(servers("kafka://a:1").unwrap(), "a:1");
        assert_eq!(servers("kafka://a:1,kafka://b:2/").unwrap(), "a:1,b:2");
        for wrong in ["a:1", "kafka://", "kafka://u:secret@a:1", "kafka://a:1,b:2", "nats://a:1"] {
            let error = servers(wrong).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Fatal, "{wrong}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_broker_s_no_is_a_refusal_and_silence_is_not() {
        for refused in [RDKafkaErrorCode::MessageSizeTooLarge, RDKafkaErrorCode::NotEnoughReplicas] {
            assert!(is_refusal(refused), "{refused:?}");
        }
        for open in [
            RDKafkaErrorCode::MessageTimedOut,
            RDKafkaErrorCode::BrokerTransportFailure,
            RDKafkaErrorCode::RequestTimedOut,
            RDKafkaErrorCode::NotEnoughReplicasAfterAppend,
        ] {
            assert!(!is_refusal(open), "{open:?}");
        }
    }
}
