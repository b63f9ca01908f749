//! Where the highest rate lies that still meets an objective: which rate is tried next, given what came of those
//! tried before. Nothing but this history counts, so that a search can be taken up again where it ended.
//!
//! The rate is doubled or halved until one meets the objective and one misses it, and the gap is halved on a logarithmic
//! scale until it is [`NEAR`]. From there on trials are longer and go up a step after one that meets the objective, down a
//! step after one that misses it: the up-and-down method (Dixon and Mood, "A Method for Obtaining and Analyzing
//! Sensitivity Data", Journal of the American Statistical Association, 1948). They come to hover where half of the trials
//! meet the objective, and the mean of their rates estimates that place. A trial that the machine spoils costs a step, which
//! the next ones take back; a machine that drifts is followed.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// By how many trials a rate has to be met more often than missed, far from where the search ends.
const LEAD: i32 = 2;
/// The same the other way: a machine that stands still spoils trials and never mends one, and nothing above is tried then.
const LEAD_MISSED: i32 = 4;
/// After so many of these trials of a rate the majority counts.
const TRIALS_MAX: i32 = 11;
/// When the rates around the answer are closer than this ratio, trials are longer: what waits grows slowly there.
const NEAR: f64 = 1.25;
/// Factor between two rates while there are no two to search between.
const STRIDE: f64 = 2.0;
/// Steps at a time until the longer trials have turned once.
const FIRST_STEPS: usize = 4;
/// So many longer trials after that lead to where they hover and don't count.
const SETTLING: usize = 10;
/// So many count.
const COUNTED: usize = 40;
/// So many longer trials of a rate are enough if they, and as many of the next rate, say the same without exception.
const ENOUGH: i32 = 4;

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
    /// How finely the answer is told, as a ratio of rates, 1.02 to 1.2.
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
    /// Where the longer trials hover between meeting the objective and missing it.
    Knee,
    /// The highest rate that could be offered meets it in the longer trials.
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

/// What the trials of a rate came to.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    met: i32,
    missed: i32,
}

impl Tally {
    fn add(&mut self, met: bool) {
        *(if met { &mut self.met } else { &mut self.missed }) += 1;
    }

    /// Whether the objective is met; `None` while that is open.
    fn decided(self) -> Option<bool> {
        let ahead = self.met - self.missed;
        let over = self.met + self.missed >= TRIALS_MAX && ahead != 0;
        (over || ahead >= LEAD || ahead <= -LEAD_MISSED).then_some(ahead > 0)
    }
}

/// The longer trials, as places on a ladder of rates.
#[derive(Debug)]
struct Staircase {
    reach: Reach,
    /// The rate at place 0.
    base: f64,
    /// The place of the next trial.
    place: i32,
    /// The places of the trials from the first one that came out otherwise than those before.
    turned: Vec<i32>,
    tallies: BTreeMap<i32, Tally>,
}

impl Staircase {
    fn new<'a>(reach: Reach, base: f64, trials: impl Iterator<Item = &'a Tried>) -> Self {
        let mut stairs = Self { reach, base, place: 0, turned: Vec::new(), tallies: BTreeMap::new() };
        let mut before = None;
        for one in trials {
            // Nothing else is recorded, but by a busmark that searched otherwise.
            if one.rate_per_s == stairs.rate(stairs.place) {
                stairs.step(one.met, before.replace(one.met));
            }
        }
        stairs
    }

    /// Goes on from a trial's place to the next one's.
    fn step(&mut self, met: bool, before: Option<bool>) {
        self.tallies.entry(self.place).or_default().add(met);
        if !self.turned.is_empty() || before.is_some_and(|before| before != met) {
            self.turned.push(self.place);
        }
        for _ in 0..if self.turned.is_empty() { FIRST_STEPS } else { 1 } {
            let further = self.place + if met { 1 } else { -1 };
            if self.rate(further) != self.rate(self.place) {
                self.place = further;
            }
        }
    }

    /// Messages per second at a place, within reach. Two places are half of the precision apart, so that the answer, which is
    /// one of them, lies near the mean.
    fn rate(&self, place: i32) -> f64 {
        let rate = round(self.base * self.reach.ratio.sqrt().powi(place));
        rate.clamp(self.reach.lowest, self.reach.highest)
    }

    fn tally(&self, place: i32) -> Tally {
        self.tallies.get(&place).copied().unwrap_or_default()
    }

    /// The highest place that was tried and met the objective, and is not above the mean of those that count.
    fn answer(&self) -> Option<i32> {
        let highest = self.tallies.last_key_value().map(|(place, _)| *place)?;
        if self.is_highest(highest) {
            return Some(highest);
        }
        let counted = self.turned.get(SETTLING..).filter(|some| !some.is_empty()).unwrap_or(&self.turned);
        let mean = f64::from(counted.iter().sum::<i32>()) / counted.len() as f64;
        let top = if counted.is_empty() { highest } else { mean.floor() as i32 };
        let met = self.tallies.range(..=top).rfind(|(_, tally)| tally.met > 0);
        met.map(|(place, _)| *place)
    }

    /// Whether a place is the end of what is in reach and meets the objective.
    fn is_highest(&self, place: i32) -> bool {
        let tally = self.tally(place);
        self.rate(place) == self.reach.highest && tally.met - tally.missed >= ENOUGH
    }

    /// How the search ends, once it does.
    fn found(&self) -> Option<Found> {
        let place = self.place;
        if self.is_highest(place) {
            return Some(Found::AtLeast);
        }
        let always = |tally: Tally| tally.met >= ENOUGH && tally.missed == 0;
        let never = |tally: Tally| tally.missed >= ENOUGH && tally.met == 0;
        if self.rate(place) == self.reach.lowest && never(self.tally(place)) {
            return Some(Found::Nothing);
        }
        let sharp = |place: i32| always(self.tally(place)) && never(self.tally(place + 1));
        let whole = self.turned.len() >= SETTLING + COUNTED;
        match self.answer() {
            Some(answer) if whole || sharp(answer) => Some(Found::Knee),
            None if whole => Some(Found::Nothing),
            _ => None,
        }
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

    /// Whether a rate meets the objective in the shorter trials; `None` while that is open.
    fn decided(&self, rate: f64) -> Option<bool> {
        let mut tally = Tally::default();
        let own = self.tried.iter().filter(|one| one.rate_per_s == rate && !one.long);
        own.for_each(|one| tally.add(one.met));
        tally.decided()
    }

    /// By the shorter trials, the highest rate that meets the objective, and the lowest above it that misses it.
    fn bracket(&self) -> (Option<f64>, Option<f64>) {
        let rates = self.rates();
        let misses = rates.iter().copied().find(|rate| self.decided(*rate) == Some(false));
        let below = |rate: &f64| misses.is_none_or(|misses| *rate < misses);
        let meets = rates.iter().copied().rfind(|rate| below(rate) && self.decided(*rate) == Some(true));
        (meets, misses)
    }

    /// The longer trials, once the shorter ones have come near the answer.
    fn staircase(&self) -> Option<Staircase> {
        let base = match self.bracket() {
            (Some(meets), None) if meets >= self.reach.highest => meets,
            (Some(meets), Some(misses)) if misses / meets <= NEAR => (meets * misses).sqrt(),
            _ => return None,
        };
        Some(Staircase::new(self.reach, base, self.tried.iter().filter(|one| one.long)))
    }

    /// The best answer so far: by the longer trials, once there are some.
    #[must_use]
    pub fn answer(&self) -> Option<f64> {
        let known = self.staircase().filter(|stairs| !stairs.tallies.is_empty());
        known.map_or_else(|| self.bracket().0, |stairs| stairs.answer().map(|place| stairs.rate(place)))
    }

    /// The highest rate that met the objective in every trial, and the lowest that missed it in every one.
    #[must_use]
    pub fn interval(&self) -> (Option<f64>, Option<f64>) {
        let Some(answer) = self.answer() else { return (None, None) };
        let every = |rate: f64, met: bool| {
            self.tried.iter().filter(|one| one.rate_per_s == rate).all(|one| one.met == met)
        };
        let rates = self.rates();
        let low = rates.iter().copied().rfind(|rate| *rate <= answer && every(*rate, true));
        let high = rates.iter().copied().find(|rate| *rate > answer && every(*rate, false));
        (low, high)
    }

    /// What is to be done next.
    #[must_use]
    pub fn next(&self) -> Next {
        if let Some(stairs) = self.staircase() {
            let further = Next::Try { rate_per_s: stairs.rate(stairs.place), long: true };
            return stairs.found().map_or(further, Next::End);
        }
        let open = self.tried.last().filter(|one| self.decided(one.rate_per_s).is_none());
        let Reach { first, lowest, highest, .. } = self.reach;
        let rate_per_s = match (open, self.bracket()) {
            (Some(open), _) => open.rate_per_s,
            (None, (None, None)) => first.clamp(lowest, highest),
            (None, (Some(meets), None)) => round(meets * STRIDE).min(highest),
            (None, (None, Some(misses))) if misses <= lowest => return Next::End(Found::Nothing),
            (None, (None, Some(misses))) => round(misses / STRIDE).max(lowest),
            (None, (Some(meets), Some(misses))) => round((meets * misses).sqrt()),
        };
        Next::Try { rate_per_s, long: false }
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
            assert!(search.tried().len() < 50, "{}", search.tried().len());
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
        assert!(f64::from(far) <= 0.05 * rounds as f64, "seeds 0 to {rounds}: {far} more than 7 % off");
        assert!(trials as u64 <= 65 * rounds, "{trials} trials in {rounds} searches");
    }

    /// A machine that blurs a knee and drifts: standard deviations of a rate's logarithm, the drift over 60 trials or so.
    struct Machine {
        prng: Prng,
        knee: f64,
        blur: f64,
        drift: f64,
        off: f64,
    }

    impl Machine {
        fn meets(&mut self, rate: f64) -> bool {
            let kept = (-1f64 / 60.0).exp();
            self.off = kept * self.off + (1.0 - kept * kept).sqrt() * self.drift * self.prng.normal();
            (rate / self.knee).ln() <= self.off + self.blur * self.prng.normal()
        }

        fn turn(&mut self, search: &mut Search) {
            if let Next::Try { rate_per_s, long } = search.next() {
                search.record(Tried { rate_per_s, long, met: self.meets(rate_per_s) });
            }
        }

        /// What three searches in turn find.
        fn found(&mut self) -> [f64; 3] {
            let mut searches = [(); 3].map(|()| Search::new(REACH, Vec::new()));
            while searches.iter().any(|search| matches!(search.next(), Next::Try { .. })) {
                searches.iter_mut().for_each(|search| self.turn(search));
            }
            searches.map(|search| search.answer().unwrap_or(0.0))
        }
    }

    /// Of so many times three searches in turn, how often they end more than 7 % apart.
    fn apart(rounds: u64, blur: f64, drift: f64) -> usize {
        let apart = (0..rounds).filter(|seed| {
            let mut prng = Prng::new(*seed);
            let knee = 50_000.0 * 2f64.powf(prng.unit());
            let off = drift * prng.normal();
            let answers = Machine { prng, knee, blur, drift, off }.found();
            let [low, high] = [f64::min, f64::max].map(|of| answers.iter().copied().reduce(of).unwrap());
            high > low * 1.07
        });
        apart.count()
    }

    #[test]
    fn three_searches_in_turn_agree_within_seven_percent_also_on_a_machine_that_drifts() {
        for (blur, drift) in [(0.03, 0.0), (0.08, 0.0), (0.06, 0.04), (0.05, 0.06)] {
            let apart = apart(400, blur, drift);
            assert!(apart <= 16, "blur {blur}, drift {drift}, seeds 0 to 400: {apart} further apart");
        }
    }

    #[test]
    fn what_only_short_trials_miss_is_no_bound() {
        for seed in 0..100 {
            let mut prng = Prng::new(seed);
            // A hiccup fills much of a short trial, and little of a long one.
            let (search, _) = searched(REACH, |rate, long| {
                rate <= 50_000.0 && (long || rate < 40_000.0 || prng.unit() > 0.5)
            });
            let answer = search.answer().unwrap();
            assert!(answer >= 48_500.0, "seed {seed}: {answer} for 50,000: {:?}", search.tried());
        }
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
        assert!(search.tried().len() <= 42, "{}", search.tried().len());
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
