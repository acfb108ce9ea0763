//! The echo server of [`crate::bare_mcp`] made with the TypeScript SDK, where `node` and the SDK are installed
//! (`../README.md` says how).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the SDK is looked for, from the folder of this package.
const SDK: &str = "target/clients/typescript-sdk";
const SCRIPT: &str = "benches/workloads/typescript_echo.mjs";

fn from_root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Whether this side can take part; says so when it cannot.
pub fn is_there() -> bool {
    let has_node = Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok_and(|it| it.success());
    let has_sdk = from_root(SDK).join("node_modules/@modelcontextprotocol/sdk").is_dir();
    if !has_node || !has_sdk {
        eprintln!("skipped: the TypeScript SDK (no `node`, or nothing in `{SDK}`)");
    }
    has_node && has_sdk
}

/// The command that starts the server on standard streams; its result has `result_bytes`.
pub fn command(result_bytes: usize) -> Command {
    let mut command = Command::new("node");
    command.arg(from_root(SCRIPT)).arg(from_root(SDK)).arg(result_bytes.to_string());
    command
}
