//! What a client says of itself in CONNECT.

use serde::{Deserialize, Serialize};

/// The options of CONNECT; unknown ones are ignored, as the server does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectOptions {
    /// Whether every operation is confirmed with `+OK`.
    pub verbose: bool,
    /// Whether subjects are checked when publishing.
    pub pedantic: bool,
    /// Whether own messages come back.
    pub echo: bool,
    /// 1: the client understands INFO at any time.
    pub protocol: i32,
    /// Whether the client understands headers.
    pub headers: bool,
    /// Whether requests that nobody listens to are answered with status 503.
    pub no_responders: bool,
    /// User name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Password.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pass: String,
    /// Token, instead of user and password.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub auth_token: String,
    /// Public key that has signed the server's nonce.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nkey: String,
    /// Signature of the nonce.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sig: String,
    /// JSON web token.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub jwt: String,
    /// The client's name.
    pub name: String,
    /// Library's language.
    pub lang: String,
    /// Library's version.
    pub version: String,
}

impl ConnectOptions {
    /// Reads CONNECT's JSON as the server does: `null` is as good as an option left out.
    ///
    /// # Errors
    /// It is no JSON object, or an option is of another type.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        let mut map: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(json)?;
        map.retain(|_, value| !value.is_null());
        serde_json::from_value(serde_json::Value::Object(map))
    }
}

impl Default for ConnectOptions {
    /// As the server assumes before CONNECT.
    fn default() -> Self {
        Self {
            verbose: true,
            pedantic: true,
            echo: true,
            protocol: 0,
            headers: false,
            no_responders: false,
            user: String::new(),
            pass: String::new(),
            auth_token: String::new(),
            nkey: String::new(),
            sig: String::new(),
            jwt: String::new(),
            name: String::new(),
            lang: String::new(),
            version: String::new(),
        }
    }
}
