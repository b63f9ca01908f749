//! Addresses of brokers as text: which parts are secret, and how a secret comes in from the environment.
//!
//! A scenario says `redis://ann:${REDIS_PASSWORD}@host`. The file, the manifest and every message keep it like
//! that; only what connects sees it filled in.

/// Why an address can't be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// The environment has no such variable.
    #[error("the environment variable {0} is not set; set it to what the broker's address needs")]
    Unset(String),
    /// `${` without its end, or with no name in it.
    #[error("`${{` has to be followed by the name of an environment variable and `}}`")]
    Unfinished,
}

/// Replaces each `${NAME}` by the variable's value, encoded so that it can hold any character.
///
/// # Errors
/// The first variable that `look_up` doesn't know, or a `${` that doesn't end.
pub fn filled_in(url: &str, look_up: impl Fn(&str) -> Option<String>) -> Result<String, UrlError> {
    let mut filled = String::with_capacity(url.len());
    let mut rest = url;
    while let Some(start) = rest.find("${") {
        filled.push_str(&rest[..start]);
        let inside = &rest[start + 2..];
        let (name, after) = inside.split_once('}').ok_or(UrlError::Unfinished)?;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(UrlError::Unfinished);
        }
        encode(&mut filled, &look_up(name).ok_or_else(|| UrlError::Unset(name.to_owned()))?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// Percent-encoding (RFC 3986) of everything but unreserved characters.
fn encode(out: &mut String, text: &str) {
    use std::fmt::Write as _;
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
}

/// The address for people: without user and password.
#[must_use]
pub fn public(url: &str) -> String {
    let url = match secret_query(url) {
        Some((at, _)) => &url[..at],
        None => url,
    };
    match user_info(url) {
        Some((start, end)) => format!("{}…{}", &url[..start], &url[end..]),
        None => url.to_owned(),
    }
}

/// A password behind the `?`, as addresses of Unix sockets have it: where the `?` is, and the password.
fn secret_query(url: &str) -> Option<(usize, &str)> {
    let at = url.find('?')?;
    let secret = url[at + 1..].split('&').find_map(|pair| pair.strip_prefix("pass="))?;
    Some((at, secret))
}

/// Whether a password, or a token in its place, stands in the address itself.
#[must_use]
pub fn has_open_secret(url: &str) -> bool {
    let in_query = secret_query(url).is_some_and(|(_, secret)| !is_variable(secret));
    in_query
        || user_info(url).is_some_and(|(start, end)| {
            let secret = url[start..end].split_once(':').map_or("", |(_, password)| password);
            !secret.is_empty() && !is_variable(secret)
        })
}

/// The address with a variable in the place of its password, as an example of what to write.
#[must_use]
pub fn with_variable(url: &str) -> String {
    if let Some((at, _)) = secret_query(url) {
        return format!("{}?pass=${{BROKER_PASSWORD}}", &url[..at]);
    }
    match user_info(url) {
        Some((start, end)) => {
            let user = url[start..end].split_once(':').map_or("", |(user, _)| user);
            format!("{}{user}:${{BROKER_PASSWORD}}{}", &url[..start], &url[end..])
        }
        None => url.to_owned(),
    }
}

fn is_variable(text: &str) -> bool {
    text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).is_some_and(|name| !name.contains('}'))
}

/// Where user and password stand: after `://` and before the last `@` of the authority.
fn user_info(url: &str) -> Option<(usize, usize)> {
    let start = url.find("://")? + 3;
    let end = url[start..].find(['/', '?']).map_or(url.len(), |at| start + at);
    let at = url[start..end].rfind('@')?;
    Some((start, start + at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_up(name: &str) -> Option<String> {
        (name == "PW").then(|| "p@ss/w:rd%".to_owned())
    }

    #[test]
    fn variables_are_filled_in_so_that_any_character_may_be_in_them() {
        let filled = filled_in("redis://ann:${PW}@h:1/0", look_up);
        assert_eq!(filled.as_deref(), Ok("redis://ann:p%40ss%2Fw%3Ard%25@h:1/0"));
        assert_eq!(filled_in("redis://h:1", look_up).as_deref(), Ok("redis://h:1"));
    }

    #[test]
    fn what_is_not_set_or_not_finished_is_said_without_the_address() {
        let unset = filled_in("redis://ann:${NO_SUCH}@h", look_up).unwrap_err();
        assert_eq!(unset, UrlError::Unset("NO_SUCH".to_owned()));
        for wrong in ["redis://${", "redis://${}@h", "redis://${a b}@h"] {
            assert_eq!(filled_in(wrong, look_up), Err(UrlError::Unfinished), "{wrong}");
        }
    }

    #[test]
    fn people_see_neither_user_nor_password() {
        assert_eq!(public("redis://u:secret@h:1/0"), "redis://…@h:1/0");
        assert_eq!(public("nats://h:4222"), "nats://h:4222");
        assert_eq!(public("unix:///run/a@b.sock"), "unix:///run/a@b.sock");
        assert_eq!(public("nonsense"), "nonsense");
    }

    #[test]
    fn a_password_in_the_open_is_told_from_one_in_the_environment() {
        for open in ["redis://u:secret@h", "redis://:secret@h/0", "redis://u:a${PW}@h"] {
            assert!(has_open_secret(open), "{open}");
        }
        assert!(has_open_secret("unix:///s?db=1&pass=secret") && !has_open_secret("unix:///s?pass=${PW}"));
        assert_eq!(public("unix:///s?pass=secret"), "unix:///s");
        assert_eq!(with_variable("unix:///s?pass=secret"), "unix:///s?pass=${BROKER_PASSWORD}");
        for fine in ["redis://h:1", "redis://u@h", "redis://u:${PW}@h", "unix:///a:b@c"] {
            assert!(!has_open_secret(fine), "{fine}");
        }
        assert_eq!(with_variable("redis://u:secret@h:1"), "redis://u:${BROKER_PASSWORD}@h:1");
    }
}
