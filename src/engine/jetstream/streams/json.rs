//! Requests as the real server reads them: fields it does not know are passed over, and `null` is as good as a field
//! left out.

use super::errors::ApiError;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads a request.
pub(super) fn read(json: &[u8]) -> Result<Value, ApiError> {
    let mut value: Value = serde_json::from_slice(json).map_err(ApiError::invalid_json)?;
    strip(&mut value);
    Ok(value)
}

/// Reads a request that may be empty, or `null`.
pub(super) fn read_as<T: DeserializeOwned + Default>(json: &[u8]) -> Result<T, ApiError> {
    if json.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    match read(json)? {
        Value::Null => Ok(T::default()),
        value => serde_json::from_value(value).map_err(ApiError::invalid_json),
    }
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(strip);
        }
        Value::Array(list) => list.iter_mut().for_each(strip),
        _ => {}
    }
}

/// Whether a field asks for nothing.
pub(super) fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        // Go's zero time is what its clients send for "never".
        Value::String(text) => text.is_empty() || text.starts_with("0001-01-01T00:00:00"),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_nothing),
        Value::Bool(true) => false,
    }
}

/// Standard base64, as messages are shown in JSON.
pub(super) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let all = chunk.iter().fold(0u32, |all, &byte| all << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[(all >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("one", "b25l"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(plain.as_bytes()), text);
        }
    }

    #[test]
    fn null_is_nothing() {
        let value = read(br#"{"a":null,"b":[{"c":null}],"d":1}"#).unwrap();
        assert_eq!(value, serde_json::json!({"b":[{}],"d":1}));
        assert!(is_nothing(&serde_json::json!({"a": 0, "b": ""})));
        assert_eq!(read(b"{bad").unwrap_err().err_code, 10025);
    }
}
