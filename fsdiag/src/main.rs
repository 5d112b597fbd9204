//! The program `fsdiag`.

use std::process::ExitCode;

use clap::Parser as _;
use fsdiag::cli::Cli;

fn main() -> anyhow::Result<ExitCode> {
    Cli::parse().run()
}
