//! The program `dipeo`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The sandbox worker comes first: nothing else may be set up in its process.
    if std::env::args_os().nth(1).is_some_and(|it| it == "code-worker") {
        return dipeo::code::worker::main();
    }
    ExitCode::SUCCESS
}
