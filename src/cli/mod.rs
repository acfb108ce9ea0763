//! The command line: translates arguments, calls a handler, prints.
