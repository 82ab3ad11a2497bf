//! What each subcommand does, in terms of the library.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result};
use velo_comparison::table::{Align, Table};
use velo_meta_train::checkpoint::light::{self, Light};
use velo_meta_train::closing::evaluation::{LEARNED, START, evaluate};
use velo_meta_train::config::{Config, EvaluationConfig, Plan};
use velo_meta_train::folder::RunFolder;
use velo_meta_train::observe::{compare, metrics, watch};
use velo_meta_train::population::Mode;
use velo_meta_train::run::{Ended, Run};
use velo_meta_train::throughput;
use velo_meta_train::throughput::balance::{self, Balance, Extent};
use velo_meta_train::validation::standings;
use velo_meta_train::{Error, closing};
use velo_optimizer::LearnedWeights;
use velo_tasks::family::families;
use velo_tasks::registry::named_tasks;

use crate::cli::{Command, RunArgs};
use crate::interrupt::Interrupt;

/// Runs a subcommand.
pub fn execute(command: Command) -> Result<()> {
    match command {
        Command::Run(args) => run(args),
        Command::Resume { run, restart_unrolls, from: None, workers } => {
            resume(&run, restart_unrolls, worker_count(workers))
        }
        Command::Resume { run, from: Some(file), workers, .. } => go_on_from(&run, &file, worker_count(workers)),
        Command::Export { subject, to, workers } => export(&subject, &to, worker_count(workers)),
        Command::Evaluate { subject, seeds, steps, workers } => {
            evaluate_frozen(&subject, seeds, steps, worker_count(workers))
        }
        Command::Watch { run, every } => watch(&run, every),
        Command::Compare { runs, to } => compare(&runs, to.as_deref()),
        Command::ListFamilies => {
            list_families();
            Ok(())
        }
        Command::Bench { seconds } => bench(seconds),
    }
}

/// 2 when the caller has to change something in the command or the configuration, 1 otherwise.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.downcast_ref::<Error>().is_some_and(Error::is_usage) { 2 } else { 1 }
}

fn worker_count(asked: Option<usize>) -> usize {
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

fn run(args: RunArgs) -> Result<()> {
    let config = Config::read(&args.config, &args.overrides).map_err(Error::of_config_file)?;
    let plan = config.check().with_context(|| args.config.display().to_string())?;
    let folder = RunFolder::create(&args.out.unwrap_or_else(|| default_folder(&args.config)), &plan)?;
    eprintln!("run folder: {}", folder.root().display());
    let run = Run::start(plan, folder, worker_count(args.workers))?;
    let interrupt = Interrupt::listen()?;
    train_and_close(run, worker_count(args.workers), &interrupt)
}

/// `runs/<stem>`, or with the first number behind it that is free.
fn default_folder(config: &Path) -> PathBuf {
    let stem = config.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let numbered = |number: u32| PathBuf::from("runs").join(format!("{stem}-{number}"));
    (1..).map(numbered).find(|path| !path.exists()).unwrap_or_else(|| PathBuf::from("runs").join(stem))
}

/// Refuses the name of a file or folder that is not there: the command has to change, not the machine.
fn require_exists(path: &Path) -> Result<()> {
    if path.exists() { Ok(()) } else { Err(Error::run_folder(path, "does not exist").into()) }
}

/// What a folder says that it is to do.
fn plan_of(folder: &RunFolder) -> Result<Plan> {
    folder.plan().with_context(|| folder.config().display().to_string())
}

fn resume(root: &Path, restart_unrolls: bool, workers: usize) -> Result<()> {
    let folder = RunFolder::open_to_go_on(root)?;
    let plan = plan_of(&folder)?;
    let run = if restart_unrolls {
        Run::restart_unrolls(plan, folder, workers, &mut warn)?
    } else {
        Run::resume(plan, folder, workers, &mut warn)?
    };
    eprintln!("resuming after outer step {}", run.totals().generation);
    let interrupt = Interrupt::listen()?;
    train_and_close(run, workers, &interrupt)
}

fn go_on_from(root: &Path, file: &Path, workers: usize) -> Result<()> {
    require_exists(file)?;
    let light = light::read(file)?;
    let plan = plan_of_light(file, &light)?;
    let folder = RunFolder::create_from(root, &plan, (file, &light))?;
    eprintln!("going on after outer step {}, with new inner runs", light.totals.generation);
    let run = Run::from_light(plan, folder, workers, light)?;
    let interrupt = Interrupt::listen()?;
    train_and_close(run, workers, &interrupt)
}

fn plan_of_light(file: &Path, light: &Light) -> Result<Plan> {
    light.config.clone().check_from(light.start.clone()).with_context(|| file.display().to_string())
}

fn warn(warning: String) {
    eprintln!("warning: {warning}");
}

fn watch(root: &Path, pause: Duration) -> Result<()> {
    let folder = RunFolder::open(root)?;
    let total = Config::read(&folder.config(), &[]).map_err(Error::from)?.budget.outer_steps;
    loop {
        let records = metrics::read_so_far(&folder.metrics())?;
        let picture = watch::picture(&records, &standings::read(&folder.validation())?, total);
        if !std::io::stdout().is_terminal() {
            print!("{picture}");
            return Ok(());
        }
        // Home, then clear what is below: the picture does not flicker as it would on an empty screen.
        print!("\x1b[H\x1b[J{}\n{picture}", root.display());
        std::io::stdout().flush()?;
        if !folder.is_in_use() {
            let complete = records.last().is_some_and(|record| record.generation >= total);
            println!(
                "{}",
                if complete {
                    "the run has ended"
                } else {
                    "no process trains this run; go on with `meta_train resume`"
                }
            );
            return Ok(());
        }
        std::thread::sleep(pause);
    }
}

fn compare(roots: &[PathBuf], to: Option<&Path>) -> Result<()> {
    if let Some(to) = to.filter(|to| to.exists()) {
        return Err(Error::run_folder(to, "already exists; nothing was overwritten").into());
    }
    let folders = roots.iter().map(|root| RunFolder::open(root)).collect::<std::result::Result<Vec<_>, _>>()?;
    let compared = folders.iter().map(compare::Compared::read).collect::<std::result::Result<Vec<_>, _>>()?;
    print!("{}", compare::table(&compared).to_text());
    if let Some(to) = to {
        compare::page(&compared)?.write(to).map_err(Error::from)?;
    }
    Ok(())
}

fn train_and_close(mut run: Run, workers: usize, interrupt: &Interrupt) -> Result<()> {
    let ended = run.train(interrupt.requested())?;
    interrupt.nothing_to_lose();
    if ended == Ended::Interrupted || interrupt.requested().load(Ordering::SeqCst) {
        let (root, generation) = (run.folder().root().display().to_string(), run.totals().generation);
        eprintln!("stopped after outer step {generation}; go on with: meta_train resume {root}");
        return Ok(());
    }
    print!("{}", closing::close(&run, workers)?);
    Ok(())
}

/// Reads light checkpoints only, so that a run may be on meanwhile.
fn export(subject: &Path, to: &Path, workers: usize) -> Result<()> {
    if to.exists() {
        return Err(Error::run_folder(to, "already exists; nothing was overwritten").into());
    }
    require_exists(subject)?;
    let (file, light) = if subject.is_dir() {
        let checkpoints = RunFolder::open(subject)?.checkpoints();
        let newest = light::newest(&checkpoints, &mut warn)?;
        newest.ok_or_else(|| Error::run_folder(subject, "has no checkpoint to freeze yet"))?
    } else {
        (subject.to_owned(), light::read(subject)?)
    };
    let plan = plan_of_light(&file, &light)?;
    let weights = closing::freeze(&plan.config, &plan.setting, &light.state.average, workers)?;
    let weights = closing::trained(weights, &plan.config, light.totals);
    weights.save(to)?;
    println!("{}: {} after {} outer steps", to.display(), weights.architecture().name(), light.totals.generation);
    Ok(())
}

fn evaluate_frozen(subject: &Path, seeds: Option<u64>, steps: Option<u64>, workers: usize) -> Result<()> {
    require_exists(subject)?;
    let (config, frozen) = if subject.is_dir() {
        let folder = RunFolder::open(subject)?;
        if !folder.learned().exists() {
            let problem = "has no frozen optimizer yet; let it end, or freeze a checkpoint with `meta_train export`";
            return Err(Error::run_folder(subject, problem).into());
        }
        let config = Config::read(&folder.config(), &[]).map_err(Error::from)?;
        (config, vec![(LEARNED, folder.learned()), (START, folder.initial())])
    } else {
        (Config::default(), vec![(LEARNED, subject.to_owned())])
    };
    for (_, weights) in &frozen {
        LearnedWeights::load(weights).map_err(Error::from)?;
    }
    let defaults = config.evaluation.clone();
    let evaluation =
        EvaluationConfig { seeds: seeds.unwrap_or(defaults.seeds), steps: steps.unwrap_or(defaults.steps), ..defaults };
    // Where theta began does not matter here.
    let plan = Config { evaluation, ..config }.check_from(Vec::new())?;
    let (evaluation, selection) = (&plan.config.evaluation, &plan.config.selection);
    let outcome = evaluate(evaluation, selection, &plan.evaluation_tasks, &plan.setting, &frozen, workers)?;
    print!("{}", outcome.summary());
    Ok(())
}

fn list_families() {
    let mut table = Table::new([("family", Align::Left), ("draws", Align::Left)]);
    families().iter().for_each(|family| table.push(vec![family.name().into(), family.summary().into()]));
    println!("procedural families, for meta-training:\n\n{}", table.to_text());
    let mut table = Table::new([("task", Align::Left), ("is", Align::Left)]);
    named_tasks().for_each(|(name, summary)| table.push(vec![name.into(), summary.into()]));
    print!("tasks on real data, for evaluation:\n\n{}", table.to_text());
}

fn bench(duration: Duration) -> Result<()> {
    let workers: &[usize] = if worker_count(None) > 1 { &[1, 2] } else { &[1] };
    let mut measured = Vec::new();
    for rule in throughput::rules() {
        for &workers in workers {
            measured.push(throughput::measure(&rule, workers, duration)?);
        }
    }
    println!("{}, batch 64\n\n{}", throughput::TASK, throughput::table(&measured).to_text());
    let mut measured: Vec<Balance> = Vec::new();
    // All take the outer steps that one worker takes in the time.
    let extent = |measured: &[Balance]| {
        measured.first().map_or(Extent::Time(5 * duration), |first| Extent::OuterSteps(first.outer_steps))
    };
    for mode in [Mode::Synchronous, Mode::Asynchronous { staleness: 4, reports: None }] {
        for &workers in workers {
            measured.push(balance::measure(mode, workers, extent(&measured))?);
        }
    }
    for &workers in &workers[1..] {
        measured.push(balance::measure_apart(workers, extent(&measured))?);
    }
    println!(
        "{} outer steps of {} pairs, mixture \"{}\"\n\n{}",
        measured[0].outer_steps,
        balance::PAIRS,
        balance::MIXTURE,
        balance::table(&measured).to_text().trim_end()
    );
    Ok(())
}
