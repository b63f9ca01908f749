//! How far each receiver came with each stream: what subscribers leave behind when they go, so that what a stream
//! discarded unread can be told from what is still in it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::wire::resp::EntryId;

/// What a receiver got of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Account {
    /// Entries delivered for the first time.
    pub(super) delivered: u64,
    /// Entries handed over and not acknowledged.
    pub(super) unacknowledged: u64,
    /// The last entry delivered.
    pub(super) last: EntryId,
}

/// The accounts of a trial, by receiver and topic. Subscribers add to them once, at their end.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    of: Mutex<HashMap<(u32, u32), Account>>,
    /// Entries that members of a group took over from others.
    claimed: AtomicU64,
}

impl Accounts {
    /// Forgets an earlier trial.
    pub(super) fn clear(&self) {
        self.of.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.claimed.store(0, Ordering::Relaxed);
    }

    /// A member of a group took so many entries over.
    pub(super) fn claimed(&self, count: u64) {
        self.claimed.fetch_add(count, Ordering::Relaxed);
    }

    /// What a reader of the result has to know.
    pub(super) fn remarks(&self) -> Vec<String> {
        match self.claimed.load(Ordering::Relaxed) {
            0 => Vec::new(),
            count => vec![format!("{count} entries were claimed after nobody had acknowledged them in time")],
        }
    }

    /// Adds what one subscriber has done for a receiver on a topic.
    pub(super) fn add(&self, receiver: u32, topic: u32, account: Account) {
        let mut all = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = all.entry((receiver, topic)).or_default();
        sum.delivered += account.delivered;
        sum.unacknowledged += account.unacknowledged;
        sum.last = sum.last.max(account.last);
    }

    /// What a receiver got of a topic.
    pub(super) fn of(&self, receiver: u32, topic: u32) -> Account {
        let all = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&(receiver, topic)).copied().unwrap_or_default()
    }
}

/// What a stream says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct StreamState {
    /// Entries ever added.
    pub(super) added: u64,
    /// Entries that it holds.
    pub(super) length: u64,
}

/// What became of the entries that a receiver did not get: still to be had, or discarded by the stream's limit.
/// `available` of them stand behind the last one delivered; `pending` were delivered to its group, as the server
/// sees it, and not acknowledged.
pub(super) fn discarded(state: StreamState, account: Account, available: u64, pending: u64) -> u64 {
    // Delivered as the server sees it, and lost with a connection before the harness saw it: not discarded.
    let on_the_way = pending.saturating_sub(account.unacknowledged);
    // What went down with a connection and was claimed by somebody else is still there: no stream discards more than
    // it has let go.
    let gone = state.added.saturating_sub(state.length);
    state.added.saturating_sub(account.delivered + available + on_the_way).min(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_a_group_add_up() {
        let accounts = Accounts::default();
        let id = |millis| EntryId { millis, number: 0 };
        accounts.add(0, 3, Account { delivered: 5, unacknowledged: 1, last: id(9) });
        accounts.add(0, 3, Account { delivered: 2, unacknowledged: 0, last: id(7) });
        assert_eq!(accounts.of(0, 3), Account { delivered: 7, unacknowledged: 1, last: id(9) });
        assert_eq!(accounts.of(1, 3), Account::default());
        accounts.clear();
        assert_eq!(accounts.of(0, 3), Account::default());
    }

    #[test]
    fn what_was_trimmed_unread_is_discarded_and_nothing_else() {
        let state = StreamState { added: 100, length: 10 };
        let account = |delivered, unacknowledged| Account { delivered, unacknowledged, ..Account::default() };
        assert_eq!(discarded(state, account(100, 0), 0, 0), 0);
        assert_eq!(discarded(state, account(40, 0), 10, 0), 50, "the stream holds 10 that nobody read");
        assert_eq!(discarded(state, account(40, 5), 10, 5), 50, "unacknowledged ones were delivered");
        assert_eq!(discarded(state, account(40, 0), 10, 5), 45, "5 went down with a connection");
        let whole = StreamState { added: 100, length: 100 };
        assert_eq!(
            discarded(whole, account(95, 5), 0, 0),
            0,
            "5 went down with a connection and were claimed"
        );
    }
}
