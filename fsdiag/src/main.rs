//! The program `fsdiag`.

use std::{
    io::{Write as _, stderr},
    process::ExitCode,
};

use fsdiag::output::clean::clean;

fn main() -> ExitCode {
    fsdiag::cli::run().unwrap_or_else(|error| {
        // For a person: the reasons in one line, and never a backtrace. Whoever closed stderr does not want it.
        drop(writeln!(stderr(), "fsdiag: {}", clean(format!("{error:#}"))));
        ExitCode::FAILURE
    })
}
