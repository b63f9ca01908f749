//! Does to the broker what the scenario says, at its time, and looks whether it took effect.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::TrialPlan;
use super::setup::Setup;
use crate::clock::Nanos;
use crate::driver::{Driver, DriverError, Migration};
use crate::measure::EventRecord;
use crate::scenario::{Action, EventNode};
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
    /// The new one of two systems is made ready and written to.
    WriteBoth,
    /// So many subscribers, from the first on, leave the old system for the new one. They do it by themselves; here it
    /// is looked at.
    Move(u32, u32),
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Start => "start again",
            Self::WriteBoth => "write to both",
            Self::Move(..) => "move",
        }
    }
}

/// How long a question for the leader may take.
const LEADER_WITHIN: Duration = Duration::from_secs(2);

/// Making the new one of two systems ready may take this long.
const WRITE_BOTH_WITHIN: Duration = Duration::from_secs(5);

/// What a driver is asked, by whoever doesn't know which one it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Question {
    /// Who leads?
    Leader,
    /// That this be done, or whether it was; there is nothing to answer.
    Migrate(Migration),
}

/// Asks a driver.
pub(super) type Ask = Box<dyn Fn(Question) -> Answer>;

type Answer = Pin<Box<dyn Future<Output = Result<Option<String>, DriverError>>>>;

/// Asks this driver.
pub(super) fn ask<D: Driver>(driver: &D, setup: &Arc<Setup>) -> Ask {
    let (driver, setup) = (driver.clone(), Arc::clone(setup));
    Box::new(move |question| -> Answer {
        let (driver, setup) = (driver.clone(), Arc::clone(&setup));
        Box::pin(async move {
            match question {
                Question::Leader => driver.leader(&setup.topology).await,
                Question::Migrate(step) => driver.migrate(&setup.topology, step).await.map(|()| None),
            }
        })
    })
}

/// Something to do.
#[derive(Debug, Clone, Copy)]
struct ToDo {
    at: Nanos,
    step: Step,
    node: EventNode,
    /// Which event of the scenario it belongs to.
    event: usize,
}

/// What is still to be done, and what was.
#[derive(Debug, Default)]
pub(super) struct Happenings {
    to_do: VecDeque<ToDo>,
    done: Vec<EventRecord>,
}

impl Happenings {
    /// What a plan wants done.
    pub(super) fn of(plan: &TrialPlan<'_>) -> Self {
        let begin = plan.scenario.phases.warm_up;
        let at = |span: Duration| Nanos::try_from((begin + span).as_nanos()).unwrap_or(Nanos::MAX);
        let mut to_do = Vec::new();
        for (index, event) in plan.scenario.events_of(&plan.target.name).enumerate() {
            let (first, second) = match event.action {
                Action::Kill => (Step::Kill, None),
                Action::Pause => (Step::Pause, Some(Step::Resume)),
                Action::Restart => (Step::Kill, Some(Step::Start)),
            };
            let step = |at, step| ToDo { at, step, node: event.node, event: index };
            to_do.push(step(at(event.at), first));
            to_do.extend(second.map(|second| step(at(event.at + event.lasting), second)));
        }
        if let Some(dual_write) = &plan.target.dual_write {
            let step = |at, step| ToDo { at, step, node: EventNode::Number(0), event: usize::MAX };
            to_do.extend(dual_write.from.map(|from| step(at(from), Step::WriteBoth)));
            let moves = dual_write.moves();
            to_do.extend(moves.map(|(first, one)| step(at(one.at), Step::Move(first, one.subscribers))));
        }
        to_do.sort_by_key(|to_do| to_do.at);
        Self { to_do: to_do.into(), done: Vec::new() }
    }

    /// Whether something is due at `now`.
    pub(super) fn due(&self, now: Nanos) -> bool {
        self.to_do.front().is_some_and(|first| first.at <= now)
    }

    /// Does the next thing and notes what came of it; `clock` tells the time since the start of the trial.
    pub(super) async fn next(&mut self, broker: &mut Broker, ask: &Ask, clock: impl Fn() -> Nanos) {
        let Some(ToDo { at: planned, step, node, event }) = self.to_do.pop_front() else { return };
        let found = match node {
            EventNode::Number(number) => Ok(number),
            EventNode::Leader => find_leader(broker, ask).await,
        };
        let began = clock();
        let (failure, whom) = match found {
            Ok(_) if step == Step::WriteBoth => (write_both(ask).await.err(), "systems".to_owned()),
            Ok(_) if let Step::Move(first, count) = step => {
                let whom = format!("subscribers {first} to {}", first + count - 1);
                (all_moved(ask, first, count).await.err(), whom)
            }
            Ok(number) => {
                // What belongs to it is done to the same server, whoever leads by then.
                let rest = self.to_do.iter_mut().filter(|rest| rest.event == event);
                rest.for_each(|rest| rest.node = EventNode::Number(number));
                let role = if node == EventNode::Leader { ", the leader" } else { "" };
                (perform(broker, step, number).await.err(), format!("node {number}{role}"))
            }
            Err(why) => (Some(why), "the leader".to_owned()),
        };
        let seconds = |nanos: Nanos| nanos as f64 / 1e9;
        self.done.push(EventRecord {
            what: format!("{} {whom}", step.name()),
            planned_s: seconds(planned),
            began_s: seconds(began),
            done_s: seconds(clock()),
            failure,
        });
    }

    /// Lets servers that stand still go on: a trial leaves nobody paused.
    pub(super) fn end(self, broker: &mut Broker) -> Vec<EventRecord> {
        if self.to_do.iter().any(|to_do| to_do.step == Step::Resume) {
            broker.resume();
        }
        self.done
    }
}

/// The number of the server that leads.
async fn find_leader(broker: &Broker, ask: &Ask) -> Result<u32, String> {
    let answer = tokio::time::timeout(LEADER_WITHIN, ask(Question::Leader)).await;
    let answer = answer.map_err(|_| format!("nobody said who leads within {} s", LEADER_WITHIN.as_secs()))?;
    let name = answer.map_err(|error| error.to_string())?.ok_or("nobody leads")?;
    let index = broker.nodes().iter().position(|node| node.name() == Some(name.as_str()));
    index.map(|index| index as u32).ok_or_else(|| format!("{name} leads, which is none of our servers"))
}

/// Has the new one of two systems made ready and written to.
async fn write_both(ask: &Ask) -> Result<(), String> {
    let answer = tokio::time::timeout(WRITE_BOTH_WITHIN, ask(Question::Migrate(Migration::WriteBoth))).await;
    let within = WRITE_BOTH_WITHIN.as_secs();
    let answer = answer.map_err(|_| format!("the new system was not ready within {within} s"))?;
    answer.map(drop).map_err(|error| error.to_string())
}

/// Waits until subscribers have left the old one of two systems.
async fn all_moved(ask: &Ask, first: u32, count: u32) -> Result<(), String> {
    let mut interval = tokio::time::interval(LOOK_EVERY);
    let mut seen = String::new();
    let looking = async {
        while let Err(error) = ask(Question::Migrate(Migration::AllMoved(first, count))).await {
            seen = error.to_string();
            interval.tick().await;
        }
    };
    let shown = tokio::time::timeout(SHOWS_WITHIN, looking).await.is_ok();
    if shown { Ok(()) } else { Err(seen) }
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
        Step::Resume | Step::Start | Step::WriteBoth | Step::Move(..) => node.resume(),
    }
    let shows = || match step {
        Step::Kill => node.state() == NodeState::Killed && node.sample().is_none(),
        Step::Pause => node.stands_still(),
        Step::Resume | Step::Start | Step::WriteBoth | Step::Move(..) => !node.stands_still(),
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
