//! The program `shild`: reads the command line, and calls the library.
// The library forbids it; here it is expected in one place.
#![deny(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
