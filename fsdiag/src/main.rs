//! The program `fsdiag`.

fn main() {}
