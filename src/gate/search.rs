//! Where the highest rate lies that still meets an objective: which rate is tried next, given what came of those
//! tried before. Nothing but this history counts, so that a search can be taken up again where it ended.
//!
//! The rate is doubled or halved until one meets the objective and one misses it, then the gap is halved on a
//! logarithmic scale, in longer trials once it is [`NEAR`]. Trials are noisy, so a rate is decided only when one answer
//! is [`LEAD`] ahead of the other; one that ends the search from above is tried until it is [`LEAD_AT_END`] ahead, since a
//! machine that stands still spoils trials and never mends one, and the answer itself is confirmed in longer ones.

use serde::{Deserialize, Serialize};

/// By how many trials one answer has to be ahead of the other.
const LEAD: i32 = 2;
/// The same for the rate that bounds the answer from above: a search is pruned by it for good.
const LEAD_AT_END: i32 = 4;
/// After so many trials of a rate the majority counts.
const TRIALS_MAX: usize = 11;
/// When the rates around the answer are closer than this ratio, only longer trials say which side a rate is on: what
/// waits grows slowly there.
const NEAR: f64 = 1.25;
/// Factor between two rates while there are no two to search between.
const STRIDE: f64 = 2.0;

/// One trial of a search.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// Messages per second that were offered.
    pub rate_per_s: f64,
    /// Whether it was one of the longer trials, which are made close to the answer.
    pub long: bool,
    /// Whether it met the objective.
    pub met: bool,
}

/// What a search is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reach {
    /// The rate that is tried first, messages per second.
    pub first: f64,
    /// No lower rate is tried.
    pub lowest: f64,
    /// No higher rate is tried: what the generator can offer.
    pub highest: f64,
    /// The search ends when the rates around the answer are closer than this ratio, above 1.
    pub ratio: f64,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Next {
    /// Offer this rate in a trial.
    Try {
        /// Messages per second.
        rate_per_s: f64,
        /// In one of the longer trials.
        long: bool,
    },
    /// Nothing.
    End(Found),
}

/// Where a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// Between a rate that meets the objective, confirmed, and one that misses it.
    Knee,
    /// The highest rate that could be offered meets it, confirmed.
    AtLeast,
    /// The lowest rate that is tried misses it.
    Nothing,
}

/// Decides which rate is tried next.
#[derive(Debug, Clone)]
pub struct Search {
    reach: Reach,
    tried: Vec<Tried>,
}

/// How far one answer is ahead at a rate, and after how many trials.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    ahead: i32,
    trials: usize,
}

impl Tally {
    fn of<'a>(trials: impl Iterator<Item = &'a Tried>) -> Self {
        trials.fold(Self::default(), |tally, one| Self {
            ahead: tally.ahead + if one.met { 1 } else { -1 },
            trials: tally.trials + 1,
        })
    }

    /// Whether the objective is met; `None` while that is open.
    fn decided(self, lead: i32) -> Option<bool> {
        let enough = self.ahead.abs() >= lead || (self.trials >= TRIALS_MAX && self.ahead != 0);
        enough.then_some(self.ahead > 0)
    }
}

impl Search {
    /// Begins, or goes on behind what was tried before.
    #[must_use]
    pub fn new(reach: Reach, tried: Vec<Tried>) -> Self {
        Self { reach, tried }
    }

    /// Notes what came of a trial.
    pub fn record(&mut self, tried: Tried) {
        self.tried.push(tried);
    }

    /// All trials so far.
    #[must_use]
    pub fn tried(&self) -> &[Tried] {
        &self.tried
    }

    /// The rates that were tried, ascending.
    #[must_use]
    pub fn rates(&self) -> Vec<f64> {
        let mut rates: Vec<f64> = self.tried.iter().map(|one| one.rate_per_s).collect();
        rates.sort_by(f64::total_cmp);
        rates.dedup();
        rates
    }

    fn tally(&self, rate: f64, long: bool) -> Tally {
        Tally::of(self.tried.iter().filter(|one| one.rate_per_s == rate && one.long == long))
    }

    /// Whether a rate meets the objective as far as is known; longer trials outweigh short ones.
    fn meets(&self, rate: f64) -> Option<bool> {
        self.tally(rate, true).decided(LEAD).or_else(|| self.tally(rate, false).decided(LEAD))
    }

    /// The lowest rate that misses the objective, and the highest below it that meets it.
    fn bounds(&self) -> (Option<f64>, Option<f64>) {
        let rates = self.rates();
        let misses = rates.iter().copied().find(|rate| self.meets(*rate) == Some(false));
        let below = |rate: &f64| misses.is_none_or(|misses| *rate < misses);
        let meets = rates.iter().copied().rfind(|rate| below(rate) && self.meets(*rate) == Some(true));
        (meets, misses)
    }

    /// The best answer so far: the highest rate that meets the objective.
    #[must_use]
    pub fn answer(&self) -> Option<f64> {
        self.bounds().0
    }

    /// The highest rate that met the objective in every trial, and the lowest that missed it in every one.
    #[must_use]
    pub fn interval(&self) -> (Option<f64>, Option<f64>) {
        let (meets, misses) = self.bounds();
        let every = |rate: f64, met: bool| {
            self.tried.iter().filter(|one| one.rate_per_s == rate).all(|one| one.met == met)
        };
        let rates = self.rates();
        let low = rates
            .iter()
            .copied()
            .rfind(|rate| meets.is_some_and(|meets| *rate <= meets) && every(*rate, true));
        let high = rates
            .iter()
            .copied()
            .find(|rate| misses.is_some_and(|misses| *rate >= misses) && every(*rate, false));
        (low, high)
    }

    /// What is to be done next.
    #[must_use]
    pub fn next(&self) -> Next {
        if let Some(open) = self.tried.iter().rev().find(|one| self.is_open(one)) {
            return Next::Try { rate_per_s: open.rate_per_s, long: open.long };
        }
        let Reach { first, lowest, highest, ratio } = self.reach;
        let short = |rate_per_s: f64| Next::Try { rate_per_s, long: false };
        match self.bounds() {
            (None, None) => short(first.clamp(lowest, highest)),
            (Some(meets), None) if meets >= highest => self.confirm(meets, Found::AtLeast),
            (Some(meets), None) => short(round(meets * STRIDE).min(highest)),
            (None, Some(misses)) if misses <= lowest => Next::End(Found::Nothing),
            // One that only longer trials miss is close to the answer.
            (None, Some(misses)) if self.tally(misses, true).trials > 0 => {
                short(round(misses / NEAR).max(lowest))
            }
            (None, Some(misses)) => short(round(misses / STRIDE).max(lowest)),
            (Some(meets), Some(misses)) => {
                let (gap, middle) = (misses / meets, round((meets * misses).sqrt()));
                if gap > ratio && middle > meets && middle < misses {
                    return Next::Try { rate_per_s: middle, long: gap <= NEAR };
                }
                let long = self.tally(misses, true).trials > 0;
                if self.tally(misses, long).decided(LEAD_AT_END).is_none() {
                    return Next::Try { rate_per_s: misses, long };
                }
                self.confirm(meets, Found::Knee)
            }
        }
    }

    /// Whether a trial's rate is not decided yet. Short trials don't matter where long ones have decided.
    fn is_open(&self, one: &Tried) -> bool {
        let long = self.tally(one.rate_per_s, true);
        let decided_long = long.decided(LEAD).is_some();
        let open = self.tally(one.rate_per_s, one.long).decided(LEAD).is_none();
        open && !decided_long
    }

    fn confirm(&self, rate_per_s: f64, found: Found) -> Next {
        match self.tally(rate_per_s, true).decided(LEAD) {
            Some(true) => Next::End(found),
            // A rate that long trials miss is no candidate: see `meets`.
            _ => Next::Try { rate_per_s, long: true },
        }
    }
}

/// To three digits, so that rates have short names.
fn round(rate: f64) -> f64 {
    let unit = 10f64.powi(rate.log10().floor() as i32 - 2);
    // Whole thousandths, as rates are written.
    ((rate / unit).round() * unit * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;

    const REACH: Reach = Reach { first: 20_000.0, lowest: 100.0, highest: 2_000_000.0, ratio: 1.03 };

    /// A server with one queue: the 99th percentile of its latency at a rate, µs.
    fn p99_us(knee: f64, rate: f64) -> f64 {
        if rate >= knee { f64::INFINITY } else { 50.0 * 100f64.ln() / (1.0 - rate / knee) }
    }

    /// The rate at which such a server's p99 reaches a limit.
    fn truth(knee: f64, limit_us: f64) -> f64 {
        knee * (1.0 - 50.0 * 100f64.ln() / limit_us)
    }

    /// Searches until the end; `meets` says what a trial comes to.
    fn searched(reach: Reach, mut meets: impl FnMut(f64, bool) -> bool) -> (Search, Found) {
        let mut search = Search::new(reach, Vec::new());
        for _ in 0..1_000 {
            match search.next() {
                Next::End(found) => return (search, found),
                Next::Try { rate_per_s, long } => {
                    let met = meets(rate_per_s, long);
                    search.record(Tried { rate_per_s, long, met });
                }
            }
        }
        panic!("a search ends: {:?}", search.tried());
    }

    #[test]
    fn a_known_knee_is_found_within_three_percent_wherever_it_is() {
        for knee in [350.0, 1_234.0, 20_000.0, 77_777.0, 640_000.0, 1_900_000.0] {
            let (search, found) = searched(REACH, |rate, _| p99_us(knee, rate) <= 5_000.0);
            let (truth, answer) = (truth(knee, 5_000.0), search.answer().unwrap());
            assert_eq!(found, Found::Knee);
            assert!(answer <= truth && answer >= truth * 0.97, "{answer} for {truth}");
            let (low, high) = search.interval();
            assert!(low.unwrap() <= truth && truth <= high.unwrap(), "{low:?} {truth} {high:?}");
            assert!(search.tried().len() < 60, "{}", search.tried().len());
        }
    }

    #[test]
    fn a_known_knee_is_found_within_three_percent_of_trials_that_vary() {
        let mut far = 0;
        let rounds = 400;
        for seed in 0..rounds {
            let mut prng = Prng::new(seed);
            let knee = 10f64.powf(3.0 + 2.5 * prng.unit());
            // 10 % of variation in what is measured, and one trial in 20 that a neighbour spoils.
            let (search, _) = searched(REACH, |rate, _| {
                let wobble = (0.1 * prng.normal()).exp();
                prng.unit() > 0.05 && p99_us(knee, rate) * wobble <= 5_000.0
            });
            let truth = truth(knee, 5_000.0);
            let off = (search.answer().unwrap_or(0.0) / truth - 1.0).abs();
            far += u32::from(off > 0.03);
        }
        assert!(f64::from(far) <= 0.02 * rounds as f64, "seeds 0 to {rounds}: {far} further than 3 % off");
    }

    #[test]
    fn on_a_machine_that_spoils_one_trial_in_four_an_answer_is_seldom_far_off() {
        let rounds = 400;
        let (mut far, mut trials) = (0, 0);
        for seed in 0..rounds {
            let mut prng = Prng::new(seed);
            let (search, _) = searched(REACH, |rate, _| prng.unit() > 0.25 && rate <= 50_000.0);
            far += u32::from(search.answer().unwrap_or(0.0) < 50_000.0 * 0.93);
            trials += search.tried().len();
        }
        assert!(f64::from(far) <= 0.1 * rounds as f64, "seeds 0 to {rounds}: {far} more than 7 % off");
        assert!(trials as u64 <= 32 * rounds, "{trials} trials in {rounds} searches");
    }

    #[test]
    fn one_noisy_failure_at_any_place_changes_nothing() {
        let knee = 50_000.0;
        let plain = searched(REACH, |rate, _| rate <= knee).0.answer();
        for spoiled in 0..40 {
            let mut trial = 0;
            let (search, _) = searched(REACH, |rate, _| {
                trial += 1;
                rate <= knee && trial != spoiled + 1
            });
            assert_eq!(search.answer(), plain, "trial {spoiled} was spoiled");
        }
    }

    #[test]
    fn what_can_not_be_offered_is_at_least_and_what_is_never_met_is_nothing() {
        let (search, found) = searched(REACH, |_, _| true);
        assert_eq!((found, search.answer()), (Found::AtLeast, Some(REACH.highest)));
        let (search, found) = searched(REACH, |_, _| false);
        assert_eq!((found, search.answer()), (Found::Nothing, None));
    }

    #[test]
    fn a_rate_that_only_short_trials_meet_is_not_the_answer() {
        // Caches hold for short trials up to 50,000, for long ones up to 40,000.
        let (search, found) = searched(REACH, |rate, long| rate <= if long { 40_000.0 } else { 50_000.0 });
        let answer = search.answer().unwrap();
        assert_eq!(found, Found::Knee);
        assert!((38_800.0..=40_000.0).contains(&answer), "{answer}");
    }

    #[test]
    fn close_to_the_answer_trials_are_long_and_what_only_they_miss_is_not_left_far_behind() {
        let (search, _) = searched(REACH, |rate, long| rate <= if long { 18_000.0 } else { 23_000.0 });
        let answer = search.answer().unwrap();
        assert!((17_460.0..=18_000.0).contains(&answer), "{answer}");
        assert!(search.rates()[0] > 12_000.0, "begun at 20,000, it went down to {}", search.rates()[0]);
        let near = |one: &&Tried| one.rate_per_s / answer < 1.2 && one.rate_per_s / answer > 1.05;
        assert!(search.tried().iter().filter(near).any(|one| one.long), "{:?}", search.tried());
        assert!(search.tried().len() <= 28, "{}", search.tried().len());
    }

    #[test]
    fn a_search_that_is_taken_up_again_goes_on_as_if_it_had_never_ended() {
        let meets = |rate: f64, _: bool| rate <= 33_333.0;
        let (whole, found) = searched(REACH, meets);
        for cut in 0..whole.tried().len() {
            let mut again = Search::new(REACH, whole.tried()[..cut].to_vec());
            let ended = loop {
                match again.next() {
                    Next::End(found) => break found,
                    Next::Try { rate_per_s, long } => {
                        again.record(Tried { rate_per_s, long, met: meets(rate_per_s, long) });
                    }
                }
            };
            assert_eq!((again.tried(), ended), (whole.tried(), found), "cut after {cut}");
        }
    }

    #[test]
    fn rates_have_three_digits() {
        assert_eq!(
            [round(41_234.0), round(999.6), round(12.345), round(1_234_567.0)],
            [41_200.0, 1_000.0, 12.3, 1_230_000.0]
        );
    }
}
