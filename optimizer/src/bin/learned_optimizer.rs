//! The `learned_optimizer` program: looks at files of weights and carries them from one format to another.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use velo_optimizer::import::{self, Format, flax};
use velo_optimizer::{Architecture, LearnedWeights};

/// Look at the weights of learned optimizers, and exchange them with other libraries.
///
/// Files are read in any of four formats, told by their contents: this project's safetensors, flax states
/// (theta.state), PyLO's safetensors (VeLO in two files), and safetensors with the published names.
///
/// Exit codes: 0 done, 1 failed, 2 bad usage.
#[derive(Debug, Parser)]
#[command(name = "learned_optimizer", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print architecture, configuration, provenance, checksum and tensors.
    Inspect {
        #[command(flatten)]
        source: Source,
    },
    /// Write weights of any format as this project's safetensors.
    #[command(after_help = "Examples:
  learned_optimizer import theta.state --to celo.safetensors --fact licence=MIT
  learned_optimizer import rnn.safetensors mlp.safetensors --to velo.safetensors
  learned_optimizer import theta.state --to celo2.safetensors --architecture '{\"Celo2\": {\"orthogonalize\": true}}'")]
    Import {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        target: Target,
        /// A fact about the origin of the weights, for example licence=MIT or provenance=URL; may be repeated.
        #[arg(long = "fact", value_name = "KEY=VALUE", value_parser = fact)]
        facts: Vec<(String, String)>,
    },
    /// Write this project's safetensors as a flax state.
    ///
    /// A flax state holds only numbers: configuration and provenance stay behind.
    Export {
        /// A file of this project.
        weights: PathBuf,
        #[command(flatten)]
        target: Target,
    },
    /// Write weights of any format in the format that the ending of the target names: .safetensors or .state.
    Convert {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Args)]
struct Source {
    /// File of weights; two for PyLO's VeLO.
    #[arg(required = true, num_args = 1..=2)]
    files: Vec<PathBuf>,
    /// Architecture and configuration as JSON [default: told from the names and shapes in the file, with defaults for
    /// what is not in them].
    #[arg(long, value_name = "JSON", value_parser = architecture)]
    architecture: Option<Architecture>,
}

#[derive(Debug, Args)]
struct Target {
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Replace the file if it exists.
    #[arg(long)]
    overwrite: bool,
}

fn architecture(json: &str) -> Result<Architecture, String> {
    let architecture: Architecture = serde_json::from_str(json).map_err(|error| error.to_string())?;
    architecture.check().map_err(|error| error.to_string())?;
    Ok(architecture)
}

fn fact(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Inspect { source } => print(&description(&source)?),
        Command::Import { source, target, facts } => {
            let weights = source.load()?;
            let origin = source.files.iter().filter_map(|file| file.file_name()).map(|name| name.to_string_lossy());
            let origin = origin.collect::<Vec<_>>().join(" and ");
            let weights = weights.with_provenance("imported_from", origin);
            let weights = facts.into_iter().fold(weights, |weights, (key, value)| weights.with_provenance(&key, value));
            target.write(|path| weights.save(path))
        }
        Command::Export { weights, target } => {
            let weights = LearnedWeights::load(weights)?;
            target.write(|path| flax::save(&weights, path))
        }
        Command::Convert { source, target } => {
            let weights = source.load()?;
            match target.to.extension().and_then(|extension| extension.to_str()) {
                Some("safetensors") => target.write(|path| weights.save(path)),
                Some("state") => target.write(|path| flax::save(&weights, path)),
                _ => bail!("{}: ends in neither .safetensors nor .state", target.to.display()),
            }
        }
    }
}

impl Source {
    fn load(&self) -> anyhow::Result<LearnedWeights> {
        Ok(import::load(&self.files, self.architecture.clone())?)
    }
}

impl Target {
    fn write(&self, save: impl FnOnce(&Path) -> Result<(), velo_optimizer::Error>) -> anyhow::Result<()> {
        if !self.overwrite && self.to.exists() {
            bail!("{}: exists already; give --overwrite to replace it", self.to.display());
        }
        Ok(save(&self.to)?)
    }
}

/// What `inspect` prints.
fn description(source: &Source) -> anyhow::Result<String> {
    let weights = source.load()?;
    let mut facts = Vec::new();
    for file in &source.files {
        let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
        facts.push(("file".to_owned(), format!("{} ({})", file.display(), Format::of(&bytes).name())));
    }
    let layout = weights.architecture().theta_layout();
    facts.push(("architecture".to_owned(), weights.architecture().name().to_owned()));
    facts.push(("weights".to_owned(), format!("{} in {} tensors", layout.len(), layout.tensors().len())));
    facts.push(("checksum".to_owned(), weights.checksum()));
    let known = weights.provenance().iter().map(|(key, value)| (key.clone(), value.clone()));
    facts.extend(known);
    if !weights.provenance().contains_key("licence") {
        facts.push(("licence".to_owned(), "not stated".to_owned()));
    }
    // The JSON form of an architecture is one object of settings under its name. It goes through text, in which a
    // 32-bit number has its shortest form.
    let settings: serde_json::Value = serde_json::from_str(&serde_json::to_string(weights.architecture())?)?;
    let settings = settings.as_object().into_iter().flat_map(|named| named.values());
    let settings = settings.filter_map(|value| value.as_object()).flatten();
    let settings = settings.map(|(key, value)| vec![key.clone(), value.to_string()]);

    let tensors = layout.tensors().iter().map(|tensor| {
        let values = &weights.theta()[tensor.range.clone()];
        let squares: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
        let rms = (squares / values.len().max(1) as f64).sqrt();
        let shape = tensor.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
        vec![tensor.name.clone(), shape, values.len().to_string(), format!("{rms:.4}")]
    });
    let mut text = columns(facts.into_iter().map(|(key, value)| vec![key, value]));
    text += "\n";
    text += &columns(std::iter::once(vec!["setting".to_owned(), "value".to_owned()]).chain(settings));
    text += "\n";
    let head = ["tensor", "shape", "weights", "rms"].map(str::to_owned).to_vec();
    text += &columns(std::iter::once(head).chain(tensors));
    Ok(text)
}

/// Rows with their cells aligned to the left.
fn columns(rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = rows.collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = width(column).unwrap_or(0);
            let _ = write!(line, "{cell:width$}  ");
        }
        text += line.trim_end();
        text += "\n";
    }
    text
}

/// Prints to standard output; a reader that has gone away is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("standard output"),
        _ => Ok(()),
    }
}
