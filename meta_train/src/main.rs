//! `meta_train`: meta-train, freeze, evaluate. Parses the command line and calls the library.

mod cli;
mod commands;
mod interrupt;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match commands::execute(cli::Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", velo_comparison::one_line(&*error));
            ExitCode::from(commands::exit_code(&error))
        }
    }
}
