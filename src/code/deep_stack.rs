//! Runs work that recurses over source text. Parsers and syntax trees need stack in proportion to
//! the text, and the 2 MiB of an ordinary thread overflow, which would end the whole server.

use std::thread;

use crate::error::Error;

/// Stack of a thread that parses at most [`crate::limits::CODE_BYTES_MAX`] of Python: the longest
/// chain of operators in it takes about 40 MiB in a debug build. Untouched pages cost nothing.
pub(super) const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Runs `work` on a thread of its own with [`STACK_BYTES`] of stack and waits for it.
///
/// # Errors
///
/// `INTERNAL` when the thread cannot be started or `work` panics.
pub(super) fn run<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    run_with(STACK_BYTES, work)
}

/// As [`run`], with `stack_bytes` of stack.
///
/// # Errors
///
/// As [`run`].
pub(super) fn run_with<T: Send>(stack_bytes: usize, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    thread::scope(|scope| {
        let handle = thread::Builder::new()
            .name("dipeo-parse".into())
            .stack_size(stack_bytes)
            .spawn_scoped(scope, work)
            .map_err(|error| Error::internal("no thread to parse code on").source(error))?;
        handle.join().map_err(|_| Error::internal("the parser of code panicked"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_work_is_an_error() {
        assert_eq!(run(|| 3).unwrap(), 3);
        assert_eq!(run(|| panic!("boom")).unwrap_err().code(), "INTERNAL");
    }
}
