//! `tasks bench`: how fast gradients are, against the machine and against the autodiff library.

use clap::Args;
use velo_tasks::cost::{Peak, Workload, gradient_seconds};
use velo_tasks::data::DataConfig;
use velo_tasks::family::families;
use velo_tasks::models::{Backend, Loss, ModelConfig, TransformerConfig, VisionTransformerConfig};
use velo_tasks::{TaskConfig, worker};

use crate::table::{Table, thousands};
use crate::{print, source};

/// Fixed tasks that are timed besides the families; the first one is the MLP of 64-32-10 units that a bar is set for.
const FIXED: [&str; 6] = [
    "digits_mlp",
    "digits_tanh_deep",
    "digits_autoencoder",
    "digits_convolutional",
    "text_transformer",
    "digits_vision_transformer",
];

/// What to time.
#[derive(Debug, Args)]
#[command(
    after_help = "One thread, the fastest of several repetitions; batches are included. Operations are those of matrix products:
three passes, a multiplication and an addition each. A dash stands where nothing is counted, or where the library's path does not
exist (it has plain MLPs, causal language models and vision transformers)."
)]
pub struct Arguments {
    /// Tasks in place of the usual ones, as `tasks show` names them.
    tasks: Vec<String>,
    /// Draws of every family, of which the one with the middle time is printed.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    draws: u64,
}

/// One line of the table.
struct Timed {
    name: String,
    config: TaskConfig,
    seconds: f64,
}

/// Times and prints.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (peak, timed) = worker::single_threaded(|| -> anyhow::Result<_> {
        let peak = Peak::measure();
        let timed = if arguments.tasks.is_empty() { usual(arguments.draws)? } else { named(&arguments.tasks)? };
        Ok((peak, timed))
    })??;
    print(&format!(
        "one thread: {:.0} GFLOP/s of multiply-adds in registers (the peak below), {:.0} in a product of large matrices\n\n",
        peak.multiply_adds / 1e9,
        peak.product / 1e9
    ))?;
    let headings = ["task", "parameters", "batch", "µs / gradient", "GFLOP/s", "% of peak", "autodiff µs", "speed-up"];
    let mut table = Table::new(&headings);
    for Timed { name, config, seconds } in &timed {
        let work = Workload::of(config)?;
        let counted = work.operations > 0.0 && config.build()?.flops_per_gradient().is_some();
        let rate = work.operations / seconds;
        let autodiff = worker::single_threaded(|| autodiff_seconds(config))?;
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        table.push([
            name.clone(),
            thousands(work.parameters),
            config.batch_size.to_string(),
            format!("{:.1}", seconds * 1e6),
            or_dash(counted.then(|| format!("{:.1}", rate / 1e9))),
            or_dash(counted.then(|| format!("{:.0}", 100.0 * rate / peak.multiply_adds))),
            or_dash(autodiff.map(|seconds| format!("{:.1}", seconds * 1e6))),
            or_dash(autodiff.map(|autodiff| format!("{:.1}", autodiff / seconds))),
        ]);
    }
    print(&table.to_text())
}

/// The vision transformer that a bar is set for, and no fixed task is: two blocks of 64 on sixteen patches.
fn wide_vision_transformer() -> TaskConfig {
    let transformer = TransformerConfig { blocks: 2, width: 64, heads: 4, hidden: 256, ..TransformerConfig::default() };
    TaskConfig {
        name: "two blocks of 64, 16 patches".to_owned(),
        data: DataConfig::Digits,
        model: ModelConfig::VisionTransformer(VisionTransformerConfig { patch: 2, transformer }),
        loss: Loss::SoftmaxCrossEntropy,
        batch_size: 32,
        augmentations: Vec::new(),
    }
}

/// Fixed tasks, the vision transformer of the bar, and the middle one of some draws of each family.
fn usual(draws: u64) -> anyhow::Result<Vec<Timed>> {
    let mut timed = named(&FIXED.map(str::to_owned))?;
    let wide = wide_vision_transformer();
    timed.push(time(wide.name.clone(), wide)?);
    for family in families() {
        eprintln!("timing {}", family.name());
        let mut of_family = Vec::new();
        for draw in 0..draws {
            of_family.push(time(format!("{}#{draw}", family.name()), family.sample(draw))?);
        }
        of_family.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        timed.push(of_family.swap_remove(draws as usize / 2));
    }
    Ok(timed)
}

fn named(names: &[String]) -> anyhow::Result<Vec<Timed>> {
    names.iter().map(|name| time(name.clone(), source::task(name)?)).collect()
}

fn time(name: String, config: TaskConfig) -> anyhow::Result<Timed> {
    let seconds = gradient_seconds(config.build()?.as_mut());
    Ok(Timed { name, config, seconds })
}

/// Seconds of a gradient by the autodiff library, where it has the model and the loss.
fn autodiff_seconds(config: &TaskConfig) -> Option<f64> {
    let mut task = config.build_with(Backend::Autodiff).ok()?;
    // Models that are no graphs ignore the backend.
    let is_graph = config.data != DataConfig::None;
    is_graph.then(|| gradient_seconds(task.as_mut()))
}
