//! The program `fsdiag`.

use std::process::ExitCode;

fn main() -> Result<ExitCode, impl std::fmt::Debug> {
    fsdiag::cli::run()
}
