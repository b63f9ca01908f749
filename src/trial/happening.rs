//! Does to the broker what the scenario says, at its time, and looks whether it took effect.

use std::collections::VecDeque;
use std::time::Duration;

use super::TrialPlan;
use crate::clock::Nanos;
use crate::measure::EventRecord;
use crate::scenario::Action;
use crate::target::{Broker, NodeState, TargetError};

/// A signal shows within this time.
const SHOWS_WITHIN: Duration = Duration::from_millis(500);

/// Between two looks whether it does.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Kill,
    Pause,
    Resume,
    Start,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Start => "start again",
        }
    }
}

/// What is still to be done, and what was.
#[derive(Debug, Default)]
pub(super) struct Happenings {
    to_do: VecDeque<(Nanos, Step, u32)>,
    done: Vec<EventRecord>,
}

impl Happenings {
    /// What a plan wants done.
    pub(super) fn of(plan: &TrialPlan<'_>) -> Self {
        let begin = plan.scenario.phases.warm_up;
        let at = |span: Duration| Nanos::try_from((begin + span).as_nanos()).unwrap_or(Nanos::MAX);
        let mut to_do = Vec::new();
        for event in plan.scenario.events_of(&plan.target.name) {
            let (first, second) = match event.action {
                Action::Kill => (Step::Kill, None),
                Action::Pause => (Step::Pause, Some(Step::Resume)),
                Action::Restart => (Step::Kill, Some(Step::Start)),
            };
            to_do.push((at(event.at), first, event.node));
            to_do.extend(second.map(|step| (at(event.at + event.lasting), step, event.node)));
        }
        to_do.sort_by_key(|(at, ..)| *at);
        Self { to_do: to_do.into(), done: Vec::new() }
    }

    /// Whether something is due at `now`.
    pub(super) fn due(&self, now: Nanos) -> bool {
        self.to_do.front().is_some_and(|(at, ..)| *at <= now)
    }

    /// Does the next thing and notes what came of it; `clock` tells the time since the start of the trial.
    pub(super) async fn next(&mut self, broker: &mut Broker, clock: impl Fn() -> Nanos) {
        let Some((planned, step, node)) = self.to_do.pop_front() else { return };
        let began = clock();
        let failure = perform(broker, step, node).await.err();
        let seconds = |nanos: Nanos| nanos as f64 / 1e9;
        self.done.push(EventRecord {
            what: format!("{} node {node}", step.name()),
            planned_s: seconds(planned),
            began_s: seconds(began),
            done_s: seconds(clock()),
            failure,
        });
    }

    /// Lets servers that stand still go on: a trial leaves nobody paused.
    pub(super) fn end(self, broker: &mut Broker) -> Vec<EventRecord> {
        if self.to_do.iter().any(|(_, step, _)| *step == Step::Resume) {
            broker.resume();
        }
        self.done
    }
}

/// Does one thing and waits until it shows; says why if it doesn't.
async fn perform(broker: &mut Broker, step: Step, index: u32) -> Result<(), String> {
    let index = index as usize;
    let words = |error: TargetError| error.to_string();
    if step == Step::Start {
        return broker.restart_node(index).await.map_err(words);
    }
    let node = broker.node_mut(index).map_err(words)?;
    if node.pids().is_empty() {
        return Err("the server is not ours: there is no process to signal".to_owned());
    }
    match step {
        Step::Kill => node.kill().await,
        Step::Pause => node.pause(),
        Step::Resume | Step::Start => node.resume(),
    }
    let shows = || match step {
        Step::Kill => node.state() == NodeState::Killed && node.sample().is_none(),
        Step::Pause => node.stands_still(),
        Step::Resume | Step::Start => !node.stands_still(),
    };
    let mut interval = tokio::time::interval(LOOK_EVERY);
    let looking = async {
        while !shows() {
            interval.tick().await;
        }
    };
    tokio::time::timeout(SHOWS_WITHIN, looking)
        .await
        .map_err(|_| format!("nothing showed within {} ms", SHOWS_WITHIN.as_millis()))
}
