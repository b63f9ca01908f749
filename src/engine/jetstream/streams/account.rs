//! What an account has and may have.

use super::Streams;
use super::api::Request;
use super::errors::ApiError;
use super::stream_config::{StorageKind, StreamConfig};
use crate::engine::jetstream::access::AccountLimits;

/// Requests of the API that were answered.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Calls {
    pub(super) total: u64,
    /// Those of them that were refused.
    pub(super) errors: u64,
}

impl Streams {
    /// What the account that is served may have.
    pub(super) fn own_limits(&self) -> AccountLimits {
        self.limits[self.account as usize].clone().unwrap_or_default()
    }

    pub(super) fn account_info(&mut self, request: Request<'_>) {
        let own = || self.names().values().filter_map(|&key| self.all.get(key));
        let consumers: usize = own().map(|stream| stream.consumers.len()).sum();
        let account = Some(self.account);
        let (memory, storage) = (self.used(account, false), self.used(account, true));
        let reserved = |file: bool| self.reserved(account, file);
        let limits = self.own_limits();
        let limit = |limit: Option<u64>| limit.map_or(-1, |limit| limit as i64);
        let calls = self.calls[self.account as usize];
        let info = serde_json::json!({
            "memory": memory, "storage": storage,
            "reserved_memory": reserved(false), "reserved_storage": reserved(true),
            "streams": own().count(), "consumers": consumers,
            "limits": {
                "max_memory": limit(limits.max_memory), "max_storage": limit(limits.max_file),
                "max_streams": limit(limits.max_streams), "max_consumers": limit(limits.max_consumers),
                "max_ack_pending": limit(limits.max_ack_pending),
                "memory_max_stream_bytes": limit(limits.memory_max_stream_bytes),
                "storage_max_stream_bytes": limit(limits.file_max_stream_bytes),
                "max_bytes_required": limits.max_bytes_required,
            },
            "api": { "level": 1, "total": calls.total, "errors": calls.errors },
        });
        self.reply(request, "account_info", Ok(info));
    }

    /// Whether what a stream asks for is within what the account allows each.
    pub(super) fn check_stream_size(&self, config: &StreamConfig) -> Result<(), ApiError> {
        let limits = self.own_limits();
        let asked = u64::try_from(config.max_bytes).unwrap_or(0);
        if limits.max_bytes_required && asked == 0 {
            return Err(ApiError::max_bytes_required());
        }
        let most = match config.storage {
            StorageKind::Memory => limits.memory_max_stream_bytes,
            StorageKind::File => limits.file_max_stream_bytes,
        };
        // One without a limit of its own would be without any.
        if most.is_some_and(|most| asked > most || (most > 0 && asked == 0)) {
            return Err(ApiError::max_stream_bytes());
        }
        Ok(())
    }

    /// Whether the account may have one more stream like this.
    pub(super) fn check_account(&self, config: &StreamConfig) -> Result<(), ApiError> {
        let limits = self.own_limits();
        self.check_stream_size(config)?;
        if limits.max_streams.is_some_and(|most| self.names().len() as u64 >= most) {
            return Err(ApiError::maximum_streams());
        }
        let asked = u64::try_from(config.max_bytes).unwrap_or(0);
        let file = config.storage == StorageKind::File;
        let over = |most: Option<u64>, account| {
            asked > 0 && most.is_some_and(|most| self.reserved(account, file) + asked > most)
        };
        let (own, whole) = if file {
            (limits.max_file, self.settings.max_file)
        } else {
            (limits.max_memory, self.settings.max_memory)
        };
        if over(own, Some(self.account)) || over(whole, None) {
            return Err(if file {
                ApiError::insufficient_storage()
            } else {
                ApiError::insufficient_memory()
            });
        }
        Ok(())
    }
}
