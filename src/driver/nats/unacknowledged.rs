//! Deliveries that were handed over and not yet acknowledged.

use std::collections::VecDeque;

use crate::driver::AckToken;

/// Reply subjects by token; `R` is how a client holds one.
#[derive(Debug)]
pub(super) struct Unacknowledged<R> {
    /// Token of the front.
    first: u64,
    /// With the subscription it came on.
    replies: VecDeque<Option<(u32, R)>>,
}

impl<R> Unacknowledged<R> {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { first: 0, replies: VecDeque::new() }
    }

    /// Keeps a reply subject until its token comes back.
    #[inline]
    pub(super) fn push(&mut self, subscription: u32, reply: R) -> AckToken {
        self.replies.push_back(Some((subscription, reply)));
        AckToken(self.first + self.replies.len() as u64 - 1)
    }

    /// What was kept under a token, once.
    #[inline]
    pub(super) fn take(&mut self, token: AckToken) -> Option<(u32, R)> {
        let at = usize::try_from(token.0.checked_sub(self.first)?).ok()?;
        let taken = self.replies.get_mut(at)?.take();
        while let Some(None) = self.replies.front() {
            self.replies.pop_front();
            self.first += 1;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_gives_its_reply_once_in_any_order() {
        let mut open = Unacknowledged::new();
        let tokens: Vec<AckToken> = (0..5u32).map(|i| open.push(i, format!("reply.{i}"))).collect();
        for &at in &[3usize, 0, 1, 4, 2] {
            let (subscription, reply) = open.take(tokens[at]).unwrap();
            assert_eq!((subscription as usize, reply), (at, format!("reply.{at}")));
            assert_eq!(open.take(tokens[at]), None);
        }
        assert!(open.replies.is_empty());
        assert_eq!(open.push(9, "next".to_owned()), AckToken(5));
    }
}
