//! The order of trials: round by round, each round in an order of its own, so that what drifts on the
//! machine falls on all targets alike.

use crate::prng::Prng;
use crate::scenario::Scenario;

/// Trial number (from 1) and index of the target, in the order in which they run.
#[must_use]
pub fn order(scenario: &Scenario) -> Vec<(u32, usize)> {
    let mut prng = Prng::split(scenario.trials.seed, 0x07de);
    let mut order = Vec::new();
    for trial in 1..=scenario.trials.count {
        let mut targets: Vec<usize> = (0..scenario.targets.len()).collect();
        prng.shuffle(&mut targets);
        order.extend(targets.into_iter().map(|target| (trial, target)));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(text: &str) -> Scenario {
        Scenario::parse(text, "test", &[]).unwrap()
    }

    const TWO: &str = "name = \"two\"\n[trials]\ncount = 8\nseed = 3\n\
        [[target]]\nname = \"a\"\ndriver = \"loopback\"\n[[target]]\nname = \"b\"\ndriver = \"loopback\"\n";

    #[test]
    fn each_round_has_each_target_once_and_rounds_differ_in_order() {
        let order = order(&scenario(TWO));
        assert_eq!(order.len(), 16);
        for (round, pair) in order.chunks(2).enumerate() {
            assert!(pair.iter().all(|(trial, _)| *trial == round as u32 + 1));
            assert_ne!(pair[0].1, pair[1].1);
        }
        let first: Vec<usize> = order.chunks(2).map(|pair| pair[0].1).collect();
        assert!(first.contains(&0) && first.contains(&1), "{first:?}");
    }

    #[test]
    fn the_seed_decides_the_order() {
        assert_eq!(order(&scenario(TWO)), order(&scenario(TWO)));
    }
}
