//! The front door: text in, validated scenario or all its mistakes out.

use std::path::Path;

use super::check::check;
use super::document::{self, Node};
use super::model::{Fill, Scenario, Workload};
use super::overrides::Override;
use super::problem::{Problems, ScenarioError};
use super::read;
use super::reader::Context;
use super::sweep::points;
use super::traffic::Shape;

impl Scenario {
    /// Reads and validates a file. A `fill` file is looked for beside it.
    ///
    /// # Errors
    /// All mistakes together, or why the file can't be read.
    pub fn load(path: &Path, overrides: &[Override]) -> Result<Self, ScenarioError> {
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ScenarioError::whole(&origin, format!("can't be read: {error}")))?;
        let mut scenario = Self::parse(&text, &origin, overrides)?;
        let beside = path.parent().unwrap_or(Path::new(""));
        find_files(&mut scenario.workload, beside, &origin)?;
        for point in &mut scenario.points {
            find_files(&mut point.scenario.workload, beside, &origin)?;
        }
        Ok(scenario)
    }

    /// Validates a text; `origin` names it in errors.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn parse(text: &str, origin: &str, overrides: &[Override]) -> Result<Self, ScenarioError> {
        let problems = Problems::new(origin, text, overrides.iter().map(Override::typed).collect());
        let mut root = match document::parse(text) {
            Ok(root) => root,
            Err((at, message)) => return Err(problems.only(at, message)),
        };
        for (index, set) in overrides.iter().enumerate() {
            set.apply(&mut root, index, &problems);
        }
        let read = |context: Context<'_>, root: &Node| {
            let scenario = read::scenario(context, root);
            check(&scenario, root, context.problems);
            scenario
        };
        let context = Context { problems: &problems, overrides };
        let mut scenario = read(context, &root);
        if problems.none() && !scenario.sweep.axes.is_empty() {
            scenario.points = points(&scenario.sweep, &root, context, read);
        }
        problems.finish(scenario)
    }
}

/// Looks for the files that a workload names beside the scenario.
fn find_files(workload: &mut Workload, beside: &Path, origin: &str) -> Result<(), ScenarioError> {
    if let Fill::File(file) = &mut workload.fill {
        *file = beside.join(&file);
        if std::fs::metadata(&file).map_or(0, |meta| meta.len()) == 0 {
            let message = format!("workload.fill.file: `{}` isn't there, or is empty", file.display());
            return Err(ScenarioError::whole(origin, message));
        }
    }
    if let Shape::Csv(file) = &workload.shape {
        let file = beside.join(file);
        let rows = std::fs::read_to_string(&file)
            .map_err(|error| error.to_string())
            .and_then(|text| Shape::rows(&text))
            .map_err(|why| {
                ScenarioError::whole(origin, format!("workload.shape.csv: `{}`: {why}", file.display()))
            })?;
        workload.shape = Shape::Replay(rows);
    }
    Ok(())
}
