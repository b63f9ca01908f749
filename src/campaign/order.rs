//! The order of trials: round by round, each round in an order of its own, so that what drifts on the
//! machine falls on all targets and points alike.

use crate::prng::Prng;
use crate::scenario::Scenario;

/// One trial of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Number of the trial, from 1.
    pub trial: u32,
    /// Index of the point; 0 without a sweep.
    pub point: usize,
    /// Index of the target.
    pub target: usize,
}

/// All trials in the order in which they run.
#[must_use]
pub fn order(scenario: &Scenario) -> Vec<Step> {
    let mut prng = Prng::split(scenario.trials.seed, 0x07de);
    let points = scenario.at_points().len();
    let mut order = Vec::new();
    for trial in 1..=scenario.trials.count {
        let targets = 0..scenario.targets.len();
        let mut round: Vec<Step> = (0..points)
            .flat_map(|point| targets.clone().map(move |target| Step { trial, point, target }))
            .collect();
        prng.shuffle(&mut round);
        order.extend(round);
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
            assert!(pair.iter().all(|step| step.trial == round as u32 + 1));
            assert_ne!(pair[0].target, pair[1].target);
        }
        let first: Vec<usize> = order.chunks(2).map(|pair| pair[0].target).collect();
        assert!(first.contains(&0) && first.contains(&1), "{first:?}");
    }

    #[test]
    fn each_round_of_a_sweep_has_each_point_of_each_target_once() {
        let swept = format!("{TWO}[sweep]\naxes = [{{ key = \"workload.topics\", values = [1, 2, 3] }}]\n");
        let order = order(&scenario(&swept));
        assert_eq!(order.len(), 8 * 2 * 3);
        for round in order.chunks(6) {
            let mut pairs: Vec<_> = round.iter().map(|step| (step.point, step.target)).collect();
            pairs.sort_unstable();
            assert_eq!(pairs, [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]);
        }
    }

    #[test]
    fn the_seed_decides_the_order() {
        assert_eq!(order(&scenario(TWO)), order(&scenario(TWO)));
    }
}
