//! What a command line asks of a scenario beyond its keys: `--only TARGET`, `--expect "…"`.

use super::expect::Expect;
use super::model::{Rate, Scenario};
use super::problem::{Problem, ScenarioError, did_you_mean, one_of};

impl Scenario {
    /// Keeps the named targets alone. Answers with the expectations that spoke of another one and were left
    /// out with it.
    ///
    /// # Errors
    /// All names that are no target, together.
    pub fn keep_only(&mut self, names: &[String]) -> Result<Vec<Expect>, ScenarioError> {
        let known: Vec<&str> = self.targets.iter().map(|target| target.name.as_str()).collect();
        let unknown = names.iter().filter(|name| !known.contains(&name.as_str()));
        let problems: Vec<Problem> = unknown
            .map(|name| {
                let hint = did_you_mean(name, known.iter().copied());
                let allowed = one_of(known.iter().copied());
                of_argument(
                    &format!("--only {name}"),
                    format!("no target has this name{hint}; allowed: {allowed}"),
                )
            })
            .collect();
        if !problems.is_empty() {
            return Err(ScenarioError { problems });
        }
        self.targets.retain(|target| names.contains(&target.name));
        for point in &mut self.points {
            point.scenario.targets.retain(|target| names.contains(&target.name));
        }
        let speaks_of_others =
            |expect: &Expect| expect.targets().any(|name| names.iter().all(|kept| kept != name));
        let (dropped, kept) = std::mem::take(&mut self.expects).into_iter().partition(speaks_of_others);
        self.expects = kept;
        Ok(dropped)
    }

    /// Adds expectations to those of the file.
    ///
    /// # Errors
    /// All texts that are no expectation, or speak of what this scenario hasn't got, together.
    pub fn expect_also(&mut self, texts: &[String]) -> Result<(), ScenarioError> {
        let max = self.workload.rate == Rate::Max;
        let targets: Vec<&str> = self.targets.iter().map(|target| target.name.as_str()).collect();
        let mut problems = Vec::new();
        let mut expects = Vec::new();
        for text in texts {
            let origin = format!("--expect \"{text}\"");
            match Expect::parse(text) {
                Ok(expect) => {
                    let misfits = expect.misfits(targets.iter().copied(), max).into_iter();
                    problems.extend(misfits.map(|misfit| of_argument(&origin, misfit)));
                    expects.push(expect);
                }
                Err(error) => problems.push(of_argument(&origin, error.to_string())),
            }
        }
        if !problems.is_empty() {
            return Err(ScenarioError { problems });
        }
        self.expects.append(&mut expects);
        Ok(())
    }
}

fn of_argument(origin: &str, message: String) -> Problem {
    Problem { origin: origin.to_owned(), position: None, key: String::new(), message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::shipped;

    fn scenario() -> Scenario {
        shipped::find("redis-vs-jetstream").unwrap().scenario(&[]).unwrap()
    }

    #[test]
    fn only_keeps_a_target_and_drops_what_was_expected_of_the_other() {
        let mut scenario = scenario();
        let dropped = scenario.keep_only(&["redis-8".to_owned()]).unwrap();
        assert_eq!(scenario.targets.len(), 1);
        assert_eq!(
            dropped.iter().map(|expect| expect.text.as_str()).collect::<Vec<_>>(),
            ["nats-2.11.lost == 0"]
        );
        assert_eq!(scenario.expects.len(), 1);
        let error = scenario.keep_only(&["redis".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("--only redis: no target has this name (did you mean `redis-8`?)"), "{error}");
    }

    #[test]
    fn expectations_of_the_command_line_are_held_to_the_same_rules() {
        let mut scenario = scenario();
        scenario.expect_also(&["redis-8.delivery_time_us_p99 <= 5ms".to_owned()]).unwrap();
        assert_eq!(scenario.expects.len(), 3);
        let wrong = ["lost = 0".to_owned(), "nats.lost == 0".to_owned()];
        let error = scenario.expect_also(&wrong).unwrap_err();
        assert_eq!(error.problems.len(), 2, "{error}");
        assert!(
            error.to_string().contains("--expect \"nats.lost == 0\": there is no target `nats`"),
            "{error}"
        );
        assert_eq!(scenario.expects.len(), 3, "nothing is added if one is wrong");
    }
}
