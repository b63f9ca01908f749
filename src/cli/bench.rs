//! `busmark bench`: an answer about systems that are named on the command line, without a file.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::args::MeasureArgs;
use super::bench_place::{FORMS, Place, places};
use super::exit::{Exit, complain, say};
use super::run;
use crate::scenario::{Rate, Scenario, ScenarioError};
use crate::units;

/// Flags of `busmark bench`.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  busmark bench bundled:pubsub bundled:jetstream\n  \
    busmark bench redis://127.0.0.1:6379 nats://127.0.0.1:4222 --size 1KiB --rate 20k/s --pubs 10 --subs 10 --for 10s\n  \
    busmark bench nats://127.0.0.1:4222 jetstream://127.0.0.1:4222 --save mine.toml\n  \
    busmark bench /run/redis/redis.sock --rate max"
)]
pub(super) struct BenchArgs {
    /// Systems to measure side by side.
    #[arg(required = true, value_name = "PLACE", long_help = format!("Systems to measure side by side: {FORMS}"))]
    places: Vec<String>,
    /// Drive URLs by this driver, where it can reach them; jetstream:// says the same for one.
    #[arg(long, value_name = "DRIVER")]
    driver: Option<String>,
    /// Bytes per message.
    #[arg(long, value_name = "SIZE", default_value = "1KiB", value_parser = size)]
    size: u64,
    /// Messages per second, all publishers together, or max.
    #[arg(long, value_name = "RATE", default_value = "20k/s", value_parser = rate)]
    rate: Rate,
    /// Publishers.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pubs: u32,
    /// Subscribers.
    #[arg(long, value_name = "N", default_value_t = 10)]
    subs: u32,
    /// Topics; each message goes to one, subscriber i reads topic i [default: one for each subscriber].
    #[arg(long, value_name = "N")]
    topics: Option<u32>,
    /// How long each trial measures.
    #[arg(long = "for", value_name = "TIME", default_value = "5s", value_parser = units::parse_duration)]
    span: Duration,
    /// Trials of each system, in turn.
    #[arg(long, value_name = "N", default_value_t = 3)]
    trials: u32,
    /// Also expect this, such as "lost == 0"; repeatable.
    #[arg(long, value_name = "EXPRESSION")]
    expect: Vec<String>,
    /// Write the equivalent scenario to this file; never over one that is there.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Print the equivalent scenario, and measure nothing.
    #[arg(long)]
    dry_run: bool,
    /// How it is measured and told.
    #[command(flatten)]
    measure: MeasureArgs,
}

fn size(text: &str) -> Result<u64, String> {
    units::parse_size(text).map_err(|error| error.to_string())
}

fn rate(text: &str) -> Result<Rate, String> {
    if text == "max" {
        return Ok(Rate::Max);
    }
    units::parse_rate(text).map(Rate::PerSecond).map_err(|error| format!("{error}, or max"))
}

/// Measures, prints the table, and the scenario to keep.
///
/// # Errors
/// When results or the scenario can't be written, or the machine refuses something.
pub(super) fn run(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let (text, scenario) = match planned(args) {
        Ok(planned) => planned,
        Err(why) => {
            complain(&format!("error: {why}"));
            return Ok(Exit::Usage.code());
        }
    };
    if let Some(file) = &args.save {
        std::fs::File::create_new(file)
            .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
            .with_context(|| format!("can't write the scenario to {}", file.display()))?;
    }
    if args.dry_run {
        say(text.trim_end());
        return Ok(Exit::Good.code());
    }
    let code = run::measure(&scenario, &text, &args.measure)?.exit.code();
    if !args.measure.json {
        say(&kept(args, &text));
    }
    Ok(code)
}

/// Where the scenario is, or the scenario itself.
fn kept(args: &BenchArgs, text: &str) -> String {
    match &args.save {
        Some(file) => format!("\nThe same again: busmark run {}", file.display()),
        None => format!("\nThe same as a scenario, to keep (--save FILE writes it):\n\n{}", text.trim_end()),
    }
}

/// The scenario that the flags mean, as text and as it is understood.
fn planned(args: &BenchArgs) -> Result<(String, Scenario), String> {
    let places = places(&args.places, args.driver.as_deref())?;
    let text = scenario_text(args, &places);
    let scenario = Scenario::parse(&text, "bench", &[]).map_err(|error| without_places(&error))?;
    Ok((text, scenario))
}

/// The mistakes without lines of a file that nobody has seen.
fn without_places(error: &ScenarioError) -> String {
    let lines = error.problems.iter().map(|problem| format!("{}: {}", problem.key, problem.message));
    lines.collect::<Vec<_>>().join("\n")
}

fn scenario_text(args: &BenchArgs, places: &[Place]) -> String {
    let BenchArgs { pubs, subs, trials, .. } = args;
    let topics = args.topics.unwrap_or(*subs).max(1);
    let subscribe = if *subs == 0 { "all" } else { "paired" };
    let names: Vec<&str> = places.iter().map(|place| place.name.as_str()).collect();
    let mut text = format!(
        "name = \"bench\"\ndescription = \"{}, side by side\"\n\n[workload]\npayload = \"{}\"\n\
         publishers = {pubs}\nsubscribers = {subs}\ntopics = {topics}\nsubscribe = \"{subscribe}\"\nrate = \"{}\"\n\n\
         [phases]\nwarm_up = \"1s\"\nmeasure = \"{}\"\ndrain = \"2s\"\n\n[trials]\ncount = {trials}\n",
        names.join(", "),
        units::size(args.size),
        args.rate.text(),
        units::duration(args.span),
    );
    for Place { name, driver, broker } in places {
        let broker = broker.toml();
        let _infallible =
            write!(text, "\n[[target]]\nname = \"{name}\"\ndriver = \"{driver}\"\nbroker = {broker}\n");
    }
    for expect in &args.expect {
        let _infallible = write!(text, "\n[[expect]]\nthat = {}\n", toml_edit::Value::from(expect.as_str()));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::args::{Command, Typed};
    use super::*;

    fn of(arguments: &[&str]) -> Result<(String, Scenario), String> {
        let typed = Typed::try_parse_from([&["busmark", "bench"], arguments].concat());
        let Command::Bench(args) = typed.map_err(|error| error.to_string())?.command else {
            return Err("another command".to_owned());
        };
        planned(&args)
    }

    #[test]
    fn the_scenario_to_keep_says_what_was_typed_and_reads_back_as_what_is_run() {
        let typed = ["redis://h:1", "bundled:jetstream", "--size", "256B", "--rate", "7k/s", "--pubs", "3"];
        let rest = ["--subs", "4", "--for", "9s", "--trials", "6", "--expect", "lost == 0"];
        let (text, scenario) = of(&[&typed[..], &rest[..]].concat()).unwrap();
        assert_eq!(Scenario::parse(&text, "again", &[]).unwrap(), scenario);
        let workload = &scenario.workload;
        assert_eq!((workload.publishers, workload.subscribers, workload.topics), (3, 4, 4));
        assert_eq!((workload.payload.max(), workload.rate), (256, Rate::PerSecond(7_000.0)));
        assert_eq!(scenario.trials.count, 6);
        let names: Vec<&str> = scenario.targets.iter().map(|target| target.name.as_str()).collect();
        assert_eq!(names, ["redis", "bundled-jetstream"]);
        assert_eq!(scenario.expects.len(), 1);
    }

    #[test]
    fn any_number_of_actors_and_topics_makes_a_scenario_that_can_be_run() {
        for (pubs, subs, topics) in [(1, 0, None), (1, 1, Some("7")), (10, 3, Some("2")), (2, 500, None)] {
            let (pubs, subs) = (pubs.to_string(), subs.to_string());
            let mut typed =
                vec!["bundled:pubsub", "bundled:jetstream", "loopback", "--pubs", &pubs, "--subs", &subs];
            typed.extend(topics.map(|topics| ["--topics", topics]).into_iter().flatten());
            assert!(of(&typed).is_ok(), "{typed:?}: {:?}", of(&typed));
        }
        assert_eq!(of(&["loopback", "--rate", "max"]).unwrap().1.workload.rate, Rate::Max);
    }

    #[test]
    fn what_a_scenario_refuses_is_said_without_lines_of_a_file_that_nobody_has_seen() {
        let error = of(&["redis://u:secret@h:1"]).unwrap_err();
        assert!(error.contains("${BROKER_PASSWORD}") && !error.contains("secret"), "{error}");
        let error = of(&["loopback", "--trials", "0"]).unwrap_err();
        assert!(error.starts_with("trials.count") && error.contains("1 to 1000"), "{error}");
        assert!(of(&["loopback", "--size", "1KX"]).unwrap_err().contains("KiB"));
        assert!(of(&["loopback", "--rate", "fast"]).unwrap_err().contains("or max"));
        assert!(of(&["loopback", "--expect", "lst == 0"]).unwrap_err().contains("`lost`"));
    }
}
