//! The program `fsd`.

fn main() -> std::process::ExitCode {
    fsd::process::main().into()
}
