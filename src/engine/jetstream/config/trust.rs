//! Accounts that an operator has signed: `operator`, `resolver`, `resolver_preload`, `system_account`.

use super::ConfigError;
use super::syntax::Value;
use crate::engine::jetstream::access::Account;
use crate::engine::jetstream::operator::{Operator, TokenError};
use crate::engine::jetstream::settings::Settings;

/// What every token begins with: `{"` in base64.
const TOKEN: &str = "eyJ";

/// What was said of an operator, until all of it is known.
#[derive(Debug, Default)]
pub(super) struct Trust {
    operator: Option<String>,
    resolver: bool,
    accounts: Vec<(String, String)>,
    system: Option<String>,
}

fn token_error(key: &str) -> impl Fn(TokenError) -> ConfigError {
    move |why| ConfigError::Token { key: key.to_owned(), why }
}

fn value(key: &str, given: &str, wanted: &'static str) -> ConfigError {
    ConfigError::Value { key: key.to_owned(), given: given.to_owned(), wanted }
}

/// A token, or that in a file of this name.
fn token(given: &str) -> Result<String, ConfigError> {
    if given.starts_with(TOKEN) {
        return Ok(given.to_owned());
    }
    let read = std::fs::read_to_string(given);
    let text = read.map_err(|source| ConfigError::Read { path: given.to_owned(), source })?;
    // Tools put a frame of dashes around it.
    let line = text.lines().map(str::trim).find(|line| line.starts_with(TOKEN));
    Ok(line.unwrap_or_default().to_owned())
}

impl Trust {
    /// Takes one of the keys; whether it is one.
    pub(super) fn take(&mut self, key: &str, given: &Value) -> Result<bool, ConfigError> {
        match (key, given) {
            ("operator" | "operators", Value::Text(text)) => self.operator = Some(token(text)?),
            ("operator" | "operators", Value::List(list)) => match list.as_slice() {
                [Value::Text(text)] => self.operator = Some(token(text)?),
                _ => return Err(ConfigError::Unsupported("more than one operator".to_owned())),
            },
            ("resolver", Value::Text(text)) if ["MEMORY", "MEM"].contains(&&*text.to_ascii_uppercase()) => {
                self.resolver = true;
            }
            ("resolver", _) => {
                return Err(ConfigError::Unsupported("a resolver other than MEMORY".to_owned()));
            }
            ("resolver_preload", Value::Map(map)) => {
                for (name, given) in map {
                    let Value::Text(text) = given else { return Err(value(name, "more", "one token")) };
                    self.accounts.push((name.clone(), text.clone()));
                }
            }
            ("system_account" | "system", Value::Text(text)) => self.system = Some(text.clone()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Makes the accounts, if there is an operator.
    pub(super) fn apply(self, settings: &mut Settings) -> Result<(), ConfigError> {
        let Some(given) = self.operator else {
            let without = self.resolver || !self.accounts.is_empty() || self.system.is_some();
            return if without { Err(ConfigError::Missing("operator".to_owned())) } else { Ok(()) };
        };
        if settings.accounts.len() > 1 || !settings.credentials.is_empty() {
            let wanted = "allowed beside users and accounts of this file: tokens say who they are";
            return Err(value("operator", "an operator", wanted));
        }
        if !self.resolver {
            return Err(ConfigError::Missing("resolver".to_owned()));
        }
        let mut operator = Operator::read(&given).map_err(token_error("operator"))?;
        settings.accounts[0].streams = None;
        for (name, given) in self.accounts {
            let number = settings.accounts.len() as u32;
            let key = format!("resolver_preload.{name}");
            let described = operator.trust(&given, number).map_err(token_error(&key))?;
            if described.key != name || settings.accounts.iter().any(|account| account.name == name) {
                return Err(value(&key, &described.key, "the account that it stands beside, once"));
            }
            settings.accounts.push(Account { name, streams: described.streams });
        }
        if let Some(system) =
            self.system.filter(|name| !settings.accounts.iter().any(|known| known.name == *name))
        {
            return Err(value("system_account", &system, "one of resolver_preload"));
        }
        settings.credentials.operator = Some(operator);
        Ok(())
    }
}
