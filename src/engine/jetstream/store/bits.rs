//! A set of small numbers, one bit each.

/// Bits that are set; all others are clear, however far out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// The bits of words that were written.
    pub(super) fn from_words(words: Vec<u64>) -> Self {
        Self(words)
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.0
    }

    /// Sets a bit.
    pub(super) fn set(&mut self, at: u64) {
        let word = (at / 64) as usize;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (at % 64);
    }

    #[inline]
    pub(super) fn has(&self, at: u64) -> bool {
        self.0.get((at / 64) as usize).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// All that are set, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        let each = |(index, &word): (usize, &u64)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| index as u64 * 64 + bit)
        };
        self.0.iter().enumerate().flat_map(each)
    }

    /// The first clear bit in `from..end`.
    pub(super) fn next_clear(&self, from: u64, end: u64) -> Option<u64> {
        let mut at = from;
        while at < end {
            let Some(&word) = self.0.get((at / 64) as usize) else { return Some(at) };
            let set = (word >> (at % 64)).trailing_ones();
            if u64::from(set) < 64 - at % 64 {
                let found = at + u64::from(set);
                return (found < end).then_some(found);
            }
            at += 64 - at % 64;
        }
        None
    }

    /// The last clear bit in `0..=from`.
    pub(super) fn previous_clear(&self, from: u64) -> Option<u64> {
        let mut at = from;
        loop {
            let Some(&word) = self.0.get((at / 64) as usize) else { return Some(at) };
            let set = u64::from((word << (63 - at % 64)).leading_ones());
            if set <= at % 64 {
                return Some(at - set);
            }
            at = (at - at % 64).checked_sub(1)?;
        }
    }

    /// How many bits of `from..end` are set.
    pub(super) fn count(&self, from: u64, end: u64) -> u64 {
        let (first, last) = ((from / 64) as usize, (end / 64) as usize);
        let of = |word: usize| self.0.get(word).copied().unwrap_or(0);
        let below = |word: u64, bits: u64| u64::from((word & ((1 << bits) - 1)).count_ones());
        if first >= self.0.len() || from >= end {
            return 0;
        }
        let whole: u64 = self.0[first..last.clamp(first, self.0.len())]
            .iter()
            .map(|word| u64::from(word.count_ones()))
            .sum();
        whole + below(of(last), end % 64) - below(of(first), from % 64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn bits_are_a_set(numbers in prop::collection::btree_set(0u64..300, 0..300), from in 0u64..320, end in 0u64..320) {
            let mut bits = Bits::default();
            numbers.iter().for_each(|&number| bits.set(number));
            let clear: BTreeSet<u64> = (0..400).filter(|number| !numbers.contains(number)).collect();
            prop_assert!((0..400).all(|number| bits.has(number) == numbers.contains(&number)));
            prop_assert_eq!(bits.iter().collect::<BTreeSet<_>>(), numbers.clone());
            prop_assert_eq!(bits.next_clear(from, end), (from..end).find(|number| clear.contains(number)));
            prop_assert_eq!(bits.previous_clear(from), (0..=from).rev().find(|number| clear.contains(number)));
            prop_assert_eq!(bits.count(from, end), (from..end).filter(|number| numbers.contains(number)).count() as u64);
        }
    }
}
