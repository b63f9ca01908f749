//! Who may come in, into which account, and what they may do there: `authorization` and `accounts`.

use super::syntax::Value;
use super::{ConfigError, units};
use crate::engine::jetstream::access::{
    Account, AccountLimits, Permissions, Proof, Responses, Rule, Rules, User,
};
use crate::engine::jetstream::settings::Settings;
use nkeys::{KeyPair, KeyPairType};
use std::sync::Arc;

fn wrong(key: &str, given: &Value, wanted: &'static str) -> ConfigError {
    ConfigError::Value { key: key.to_owned(), given: format!("{given:?}"), wanted }
}

fn text<'a>(key: &str, value: &'a Value) -> Result<&'a str, ConfigError> {
    if let Value::Text(text) = value { Ok(text) } else { Err(wrong(key, value, "one value")) }
}

fn map<'a>(key: &str, value: &'a Value) -> Result<&'a [(String, Value)], ConfigError> {
    if let Value::Map(map) = value { Ok(map) } else { Err(wrong(key, value, "a map in braces")) }
}

/// Reads `authorization { … }`.
pub(super) fn authorization(settings: &mut Settings, value: &Value) -> Result<(), ConfigError> {
    let (mut user, mut password, mut usual) = (None, None, None);
    let mut users: &[Value] = &[];
    for (key, value) in map("authorization", value)? {
        match key.to_ascii_lowercase().as_str() {
            "user" | "username" => user = Some(text(key, value)?),
            "pass" | "password" => password = Some(text(key, value)?),
            "token" => settings.credentials.token = Some(text(key, value)?.to_owned()),
            "timeout" => settings.auth_timeout = units::duration(key, text(key, value)?)?,
            "users" => users = list(key, value)?,
            "default_permissions" => usual = Some(permissions(value)?),
            other => return Err(ConfigError::Unsupported(format!("authorization.{other}"))),
        }
    }
    match (user, password) {
        (Some(user), Some(password)) => add(settings, password_user(user, password, 0)?)?,
        (None, None) => {}
        (Some(_), None) => return Err(ConfigError::Missing("authorization.password".to_owned())),
        (None, Some(_)) => return Err(ConfigError::Missing("authorization.user".to_owned())),
    }
    read_users(settings, users, (0, usual.as_ref()))
}

fn list<'a>(key: &str, value: &'a Value) -> Result<&'a [Value], ConfigError> {
    if let Value::List(list) = value { Ok(list) } else { Err(wrong(key, value, "a list in brackets")) }
}

/// Reads `accounts { NAME { … } … }`.
pub(super) fn accounts(settings: &mut Settings, value: &Value) -> Result<(), ConfigError> {
    let nothing = Value::Map(Vec::new());
    let named: Vec<(&str, &Value)> = match value {
        Value::Map(map) => map.iter().map(|(name, value)| (name.as_str(), value)).collect(),
        Value::List(list) => list
            .iter()
            .map(|name| Ok((text("accounts", name)?, &nothing)))
            .collect::<Result<_, ConfigError>>()?,
        Value::Text(_) => return Err(wrong("accounts", value, "a map in braces")),
    };
    for (name, value) in named {
        let known = |letter: char| letter.is_ascii_alphanumeric() || "_-$".contains(letter);
        let taken = settings.accounts.iter().any(|account| account.name == name);
        if name.is_empty() || !name.chars().all(known) || taken {
            let wanted = "a name of letters, digits, _, - and $ that no other account has";
            return Err(wrong("accounts", &Value::Text(name.to_owned()), wanted));
        }
        let number = settings.accounts.len() as u32;
        settings.accounts.push(Account { name: name.to_owned(), streams: None });
        let (mut users, mut usual): (&[Value], _) = (&[], None);
        for (key, value) in map(name, value)? {
            match key.to_ascii_lowercase().as_str() {
                "users" => users = list(key, value)?,
                "default_permissions" => usual = Some(permissions(value)?),
                "jetstream" => settings.accounts[number as usize].streams = limits(key, value)?,
                other => return Err(ConfigError::Unsupported(format!("accounts.{name}.{other}"))),
            }
        }
        read_users(settings, users, (number, usual.as_ref()))?;
    }
    // As soon as there are accounts, only those have streams that ask for them.
    if settings.accounts.len() > 1 {
        settings.accounts[0].streams = None;
    }
    Ok(())
}

fn limits(key: &str, value: &Value) -> Result<Option<AccountLimits>, ConfigError> {
    let map = match value {
        Value::Text(given) => {
            return Ok(units::switch(key, given)?.then(AccountLimits::default));
        }
        other => map(key, other)?,
    };
    let mut limits = AccountLimits::default();
    for (key, value) in map {
        let given = text(key, value)?;
        let key = key.to_ascii_lowercase();
        if matches!(&*key, "max_bytes_required" | "max_stream_bytes" | "max_bytes") {
            limits.max_bytes_required = units::switch(&key, given)?;
            continue;
        }
        let limit = if given == "-1" { None } else { Some(units::size(&key, given)?) };
        match key.as_str() {
            "max_memory" | "max_mem" | "mem" | "memory" => limits.max_memory = limit,
            "max_store" | "max_file" | "max_disk" | "store" | "disk" => limits.max_file = limit,
            "max_streams" | "streams" => limits.max_streams = limit,
            "max_consumers" | "consumers" => limits.max_consumers = limit,
            "max_ack_pending" => limits.max_ack_pending = limit,
            "mem_max_stream_bytes" | "memory_max_stream_bytes" => limits.memory_max_stream_bytes = limit,
            "disk_max_stream_bytes" | "store_max_stream_bytes" => limits.file_max_stream_bytes = limit,
            other => return Err(ConfigError::Unsupported(format!("accounts.jetstream.{other}"))),
        }
    }
    Ok(Some(limits))
}

fn read_users(
    settings: &mut Settings,
    users: &[Value],
    (account, usual): (u32, Option<&Arc<Permissions>>),
) -> Result<(), ConfigError> {
    for entry in users {
        let (mut user, mut password, mut key_of, mut own) = (None, None, None, None);
        for (key, value) in map("users", entry)? {
            match key.to_ascii_lowercase().as_str() {
                "user" | "username" => user = Some(text(key, value)?),
                "pass" | "password" => password = Some(text(key, value)?),
                "nkey" => key_of = Some(text(key, value)?),
                "permission" | "permissions" | "authorization" => own = Some(permissions(value)?),
                other => return Err(ConfigError::Unsupported(format!("users.{other}"))),
            }
        }
        let mut read = match (user, password, key_of) {
            (None, None, Some(key)) => key_user(key, account)?,
            (Some(user), password, None) => password_user(user, password.unwrap_or_default(), account)?,
            (None, _, None) => return Err(ConfigError::Missing("users.user".to_owned())),
            (_, _, Some(_)) => {
                return Err(wrong("users.nkey", entry, "a user without name and password"));
            }
        };
        read.permissions = own.or_else(|| usual.cloned());
        add(settings, read)?;
    }
    Ok(())
}

fn password_user(name: &str, password: &str, account: u32) -> Result<User, ConfigError> {
    if password.starts_with("$2a$") || password.starts_with("$2b$") {
        return Err(ConfigError::Unsupported("a password hashed by bcrypt".to_owned()));
    }
    let proof = Proof::Password(password.to_owned());
    Ok(User { name: name.to_owned(), proof, account, permissions: None })
}

fn key_user(key: &str, account: u32) -> Result<User, ConfigError> {
    let valid = KeyPair::from_public_key(key).is_ok_and(|pair| pair.key_pair_type() == KeyPairType::User);
    if !valid {
        let wanted = "the public key of a user";
        return Err(ConfigError::Value { key: "nkey".to_owned(), given: key.to_owned(), wanted });
    }
    Ok(User { name: key.to_owned(), proof: Proof::Signature, account, permissions: None })
}

fn add(settings: &mut Settings, user: User) -> Result<(), ConfigError> {
    if settings.credentials.users.iter().any(|known| known.name == user.name) {
        let wanted = "a user that was not named before";
        return Err(ConfigError::Value { key: "users".to_owned(), given: user.name, wanted });
    }
    settings.credentials.users.push(user);
    Ok(())
}

fn permissions(value: &Value) -> Result<Arc<Permissions>, ConfigError> {
    let mut all = Permissions::default();
    for (key, value) in map("permissions", value)? {
        match key.to_ascii_lowercase().as_str() {
            "pub" | "publish" | "import" => all.publish = rules(key, value)?,
            "sub" | "subscribe" | "export" => all.subscribe = rules(key, value)?,
            "allow_responses" | "publish_allow_responses" => all.responses = responses(key, value)?,
            other => return Err(ConfigError::Unknown(format!("permissions.{other}"))),
        }
    }
    if all.responses.is_some() && all.publish.allow.is_none() {
        // Who may answer may publish nothing else, unless something else is allowed.
        all.publish.allow = Some(Vec::new());
    }
    Ok(Arc::new(all))
}

fn rules(key: &str, value: &Value) -> Result<Rules, ConfigError> {
    let Value::Map(map) = value else {
        return Ok(Rules { allow: Some(subjects(key, value)?), deny: Vec::new() });
    };
    let mut rules = Rules::default();
    for (key, value) in map {
        match key.to_ascii_lowercase().as_str() {
            "allow" => rules.allow = Some(subjects(key, value)?),
            "deny" => rules.deny = subjects(key, value)?,
            other => return Err(ConfigError::Unknown(format!("permissions.{other}"))),
        }
    }
    Ok(rules)
}

fn subjects(key: &str, value: &Value) -> Result<Vec<Rule>, ConfigError> {
    let all = match value {
        Value::List(list) => &list[..],
        one => std::slice::from_ref(one),
    };
    all.iter()
        .map(|value| {
            let wanted = "a subject, with a queue group behind it or without";
            Rule::parse(text(key, value)?).ok_or_else(|| wrong(key, value, wanted))
        })
        .collect()
}

fn responses(key: &str, value: &Value) -> Result<Option<Responses>, ConfigError> {
    let map = match value {
        Value::Text(given) => return Ok(units::switch(key, given)?.then_some(Responses::USUAL)),
        other => map(key, other)?,
    };
    let mut all = Responses::USUAL;
    for (key, value) in map {
        let given = text(key, value)?;
        let endless = given.starts_with('-');
        match key.to_ascii_lowercase().as_str() {
            "max" | "max_msgs" | "max_messages" | "max_responses" => {
                let most = if endless { 0 } else { units::size(key, given)? };
                all.most = if endless { None } else { Some(most).filter(|most| *most > 0).or(all.most) };
            }
            "expires" | "expiration" | "ttl" => {
                all.within = if endless { None } else { Some(units::duration(key, given)?) };
            }
            other => return Err(ConfigError::Unknown(format!("allow_responses.{other}"))),
        }
    }
    Ok(Some(all))
}

#[cfg(test)]
mod tests {
    use super::super::{apply, syntax};
    use super::*;
    use std::time::Duration;

    fn read(file: &str) -> Result<Settings, ConfigError> {
        let mut settings = Settings::default();
        apply::apply(&mut settings, &syntax::parse("f", file)?)?;
        Ok(settings)
    }

    const FILE: &str = r#"
        no_auth_user: b
        accounts {
            $SYS { users = [{user: admin, password: s}] }
            A {
                jetstream: { max_mem: 1MB, max_file: -1, max_streams: 3 }
                default_permissions: { subscribe: "x.>" }
                users: [ {user: a, password: p, permissions: {
                    publish: { allow: ["a.>", b], deny: a.c }
                    subscribe: { deny: ["d.> workers"] }
                    allow_responses: { max: 5, expires: "1m" } } }, {user: a2, password: q} ]
            }
            B: { jetstream: enabled, users: [ {user: b, password: p, permission: {allow_responses: true}} ] }
        }"#;

    #[test]
    fn accounts_users_and_permissions_are_those_of_nats() {
        let settings = read(FILE).unwrap();
        let streams: Vec<bool> = settings.accounts.iter().map(|account| account.streams.is_some()).collect();
        assert_eq!(streams, [false, false, true, true], "the global one has none once there are others");
        let limits = settings.accounts[2].streams.clone().unwrap();
        assert_eq!((limits.max_memory, limits.max_file, limits.max_streams), (Some(1 << 20), None, Some(3)));
        let named = |name: &str| {
            let users = &settings.credentials.users;
            users.iter().find(|user| user.name == name).cloned().unwrap()
        };
        let may = named("a").permissions.unwrap();
        assert_eq!(may.publish.allow.as_ref().map(Vec::len), Some(2));
        assert_eq!(may.subscribe.deny[0].queue.as_deref(), Some("workers"));
        let minute = Some(Duration::from_secs(60));
        assert_eq!(may.responses, Some(Responses { most: Some(5), within: minute }));
        assert!(named("a2").permissions.unwrap().may_subscribe(b"x.y", b""), "the account's usual ones");
        let answers = named("b").permissions.unwrap();
        assert_eq!(
            (answers.responses, answers.publish.allow.clone()),
            (Some(Responses::USUAL), Some(Vec::new()))
        );
        assert_eq!((named("admin").account, named("b").account), (1, 3));
        assert_eq!(settings.credentials.no_auth_user.as_deref(), Some("b"));
    }

    #[test]
    fn keys_are_checked_and_what_makes_no_sense_is_refused() {
        let key = KeyPair::new_user().public_key();
        let settings = read(&format!("authorization {{ users: [ {{nkey: {key}}} ] }}")).unwrap();
        assert_eq!(settings.credentials.users[0].proof, Proof::Signature);
        let account = KeyPair::new_account().public_key();
        for bad in [
            &*format!("authorization {{ users: [ {{nkey: {account}}} ] }}"),
            "authorization { users: [ {nkey: x} ] }",
            "authorization { users: [ {password: x} ] }",
            "authorization { users: [ {user: a, password: b}, {user: a, password: c} ] }",
            "authorization { users: [ {user: a, password: b, permissions: {publish: \"a..b\"}} ] }",
            "authorization { user: a }",
            "accounts { A { exports: [] } }",
            "accounts { \"a/b\" {} }",
            "accounts { A {}, A {} }",
            "no_auth_user: nobody",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
