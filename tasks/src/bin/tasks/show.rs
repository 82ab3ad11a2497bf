//! `tasks show`: one task as data, parameters, a look at its rows, and a short training.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use velo_optimizer::Schedule;
use velo_optimizer::hand_designed::{AdamW, AdamWConfig};
use velo_tasks::training::{TrainingCurve, train};
use velo_tasks::{Task, TaskConfig, worker};

use crate::look::Look;
use crate::table::{Table, seconds, thousands};
use crate::{picture, plot, print, source};

/// Points of the curve.
const POINTS: u64 = 60;

/// What to show.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tasks show digits_mlp
  tasks show mlp_glyphs#7 --png glyphs.png
  tasks show my_task.ron --steps 2000 --rate 1e-3")]
pub struct Arguments {
    /// A fixed task, FAMILY#DRAW, MIXTURE#DRAW, or a RON file of a task.
    task: String,
    /// Also draw its rows and the curve into this PNG file.
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// Steps of the training; 0 for none.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    steps: u64,
    /// Peak rate of AdamW, which falls to zero along a cosine after a warm-up of 5 %.
    #[arg(long, default_value_t = 3e-3)]
    rate: f32,
    /// Seed of the start and of the batches.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Prints the task, trains it, draws it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = source::task(&arguments.task)?;
    let mut task = config.build()?;
    print(&format!("{}\n{}\n", config.to_ron(), parameters(task.as_ref())))?;
    print(&format!("{}\n", facts(&config, task.as_ref())?))?;
    let look = Look::at(&config, task.as_mut())?;
    print(&format!("{}\n", look.to_text()))?;
    let curve = match arguments.steps {
        0 => None,
        steps => Some(worker::single_threaded(|| short_training(task.as_mut(), arguments, steps))??),
    };
    if let Some(curve) = &curve {
        print(&report(arguments, curve))?;
    }
    if let Some(path) = &arguments.png {
        picture::save(path, &look, curve.as_ref())?;
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}

/// Names, shapes and sizes at the start.
fn parameters(task: &dyn Task) -> String {
    let mut params = vec![0.0; task.layout().len()];
    task.init(0, &mut params);
    let mut table = Table::new(&["tensor", "shape", "parameters", "RMS at the start"]);
    for tensor in task.layout().tensors() {
        let values = &params[tensor.range.clone()];
        let square = values.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / values.len() as f64;
        let shape: Vec<_> = tensor.shape.iter().map(usize::to_string).collect();
        let count = thousands(values.len());
        table.push([tensor.name.clone(), shape.join("×"), count, format!("{:.3}", square.sqrt())]);
    }
    table.push(["all".to_owned(), String::new(), thousands(params.len()), String::new()]);
    table.to_text()
}

/// Rows, reference loss, cost and fingerprint.
fn facts(config: &TaskConfig, task: &dyn Task) -> anyhow::Result<String> {
    let mut text = String::new();
    let estimate = velo_tasks::cost::TimingTable::bundled().seconds(config)?;
    writeln!(text, "reference loss {:.4}, the best constant output", task.reference_loss())?;
    writeln!(text, "a gradient takes about {} by the bundled timing table", seconds(estimate))?;
    writeln!(text, "fingerprint {:016x}", config.fingerprint())?;
    Ok(text)
}

fn short_training(task: &mut dyn Task, arguments: &Arguments, steps: u64) -> Result<TrainingCurve, velo_tasks::Error> {
    let config = AdamWConfig { learning_rate: arguments.rate, ..AdamWConfig::default() };
    let mut optimizer =
        AdamW::new(task.layout(), config)?.with_schedule(Schedule::Cosine { warmup: 0.05, floor: 0.0 }, steps);
    train(task, &mut optimizer, arguments.seed, steps, steps.div_ceil(POINTS))
}

/// The curve and where it ended.
fn report(arguments: &Arguments, curve: &TrainingCurve) -> String {
    let heading = format!("training loss over {} steps of AdamW at {}", arguments.steps, arguments.rate);
    let mut text = format!("{heading}\n{}", plot::curve(&curve.train_loss));
    for (split, metrics) in [("training", curve.train), ("held-out", curve.validation)] {
        let accuracy = metrics.accuracy.map_or_else(String::new, |share| format!(", {:.1} % right", 100.0 * share));
        let _ = writeln!(text, "{split} rows: loss {:.4}{accuracy}", metrics.loss);
    }
    if let Some(step) = curve.diverged {
        let _ = writeln!(text, "diverged at step {step}");
    }
    text
}
