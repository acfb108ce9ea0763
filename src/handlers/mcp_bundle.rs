//! Packs this server for desktop programs: an MCPB file, which is a ZIP archive of a manifest, the program, its
//! README and its licence. Equal inputs give equal bytes.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::{App, Caller};
use crate::error::Error;

const README: &str = include_str!("../../README.md");
const LICENSE: &str = include_str!("../../LICENSE");
/// The program's place in the bundle.
const ENTRY_POINT: &str = "bin/dipeo";
/// Where the registry lets publishers put what it has no field for; the tools stand there.
const OWN_DATA: &str = "io.modelcontextprotocol.registry/publisher-provided";
/// Revision of the bundle's manifest.
const MANIFEST_VERSION: &str = "0.3";

/// What to pack.
#[derive(Clone, Debug)]
pub struct Request {
    /// The registry's manifest as the code makes it; name, version and tools are taken from it.
    pub manifest: Value,
    /// The program to pack.
    pub binary: PathBuf,
    /// The file to write.
    pub file: PathBuf,
    /// Replace a file that is there.
    pub force: bool,
}

/// What was packed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    pub file: PathBuf,
    pub size_bytes: u64,
    /// Of the file, in hex: `fileSha256` of a registry entry.
    pub sha256: String,
    /// `linux` or `darwin`.
    pub platform: String,
    pub entries: Vec<String>,
}

/// Packs and writes the bundle.
///
/// # Errors
///
/// `PERMISSION_REQUIRED` for a client; `FILE_NOT_FOUND` and `INVALID_INPUT` when there is no program to pack;
/// `ALREADY_EXISTS` when the file is there and is not to be replaced; `FILE_FAILED`.
pub async fn mcp_bundle(_: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    if !matches!(caller, Caller::Terminal { .. }) {
        return Err(Error::refused("PERMISSION_REQUIRED", "only a person at the terminal may make a bundle")
            .hint("ask the person to run `dipeo mcp bundle`"));
    }
    let Request { manifest, binary, file, force } = request;
    if file.exists() && !force {
        return Err(Error::conflict("ALREADY_EXISTS", format!("`{}` is there already", file.display()))
            .hint("replace it with `--force`, or name another file with `--out`"));
    }
    let (mut program, platform) = open_program(&binary)?;
    let bundle_manifest = format!("{:#}\n", bundle_manifest(&manifest, platform));
    let failed = |e: std::io::Error| {
        Error::external("FILE_FAILED", format!("cannot write `{}`: {}", file.display(), e.kind()))
            .hint("check the path, its rights and the space that is left")
            .source(e)
    };
    // Written aside and renamed: nobody finds half a bundle.
    let mut aside = file.clone().into_os_string();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    let packed = pack(&aside, &bundle_manifest, &mut program).and_then(|size_and_sum| {
        std::fs::rename(&aside, &file)?;
        Ok(size_and_sum)
    });
    let (size_bytes, sha256) = packed.map_err(|e| {
        let _ = std::fs::remove_file(&aside);
        failed(e)
    })?;
    let entries = ["manifest.json", ENTRY_POINT, "README.md", "LICENSE"].map(str::to_owned).to_vec();
    Ok(Response { file, size_bytes, sha256, platform: platform.to_owned(), entries })
}

/// Opens the program and says which system it is for.
fn open_program(path: &Path) -> Result<(File, &'static str), Error> {
    let missing = |e: std::io::Error| {
        Error::not_found("FILE_NOT_FOUND", format!("cannot read the program `{}`", path.display()))
            .hint("name it with `--binary`")
            .source(e)
    };
    let mut file = File::open(path).map_err(missing)?;
    let mut magic = [0; 4];
    let is_read = file.read_exact(&mut magic).and_then(|()| file.seek(SeekFrom::Start(0))).is_ok();
    let platform = match magic {
        [0x7f, b'E', b'L', b'F'] if is_read => "linux",
        // 64 bits, and several processors in one file.
        [0xcf, 0xfa, 0xed, 0xfe] | [0xca, 0xfe, 0xba, 0xbe] if is_read => "darwin",
        _ => {
            return Err(Error::invalid("INVALID_INPUT", format!("`{}` is no program", path.display()))
                .hint("name a dipeo program for Linux or macOS with `--binary`"));
        }
    };
    Ok((file, platform))
}

/// The bundle's manifest; hosts refuse keys that they do not know.
fn bundle_manifest(registry: &Value, platform: &str) -> Value {
    let own = &registry["_meta"][OWN_DATA];
    let described = |it: &Value| json!({"name": it["name"], "description": it["description"]});
    let tools: Vec<Value> = own["tools"].as_array().into_iter().flatten().map(described).collect();
    json!({
        "manifest_version": MANIFEST_VERSION,
        "name": env!("CARGO_PKG_NAME"),
        "display_name": registry["title"],
        "version": registry["version"],
        "description": registry["description"],
        "author": {"name": "The dipeo authors", "url": env!("CARGO_PKG_REPOSITORY")},
        "repository": {"type": "git", "url": env!("CARGO_PKG_REPOSITORY")},
        "license": env!("CARGO_PKG_LICENSE"),
        "keywords": ["workflow", "diagram", "agents", "yaml"],
        "server": {
            "type": "binary",
            "entry_point": ENTRY_POINT,
            "mcp_config": {
                "command": format!("${{__dirname}}/{ENTRY_POINT}"),
                "args": ["mcp"],
                "env": {"DIPEO_BASE_DIR": "${user_config.workspace}"},
            },
        },
        "tools": tools,
        "tools_generated": true,
        "prompts_generated": true,
        "compatibility": {"platforms": [platform]},
        "user_config": {
            "workspace": {
                "type": "directory",
                "title": "Workspace",
                "description": "Folder with your diagrams; results are kept in its .dipeo folder",
                "required": true,
                "default": "${HOME}/dipeo",
            },
        },
    })
}

/// Writes the archive and returns its size and SHA-256.
fn pack(path: &Path, manifest: &str, program: &mut File) -> std::io::Result<(u64, String)> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    let mut archive = ZipWriter::new(file);
    let options = |mode| {
        SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default())
            .unix_permissions(mode)
    };
    for (name, text) in [("manifest.json", manifest), ("README.md", README), ("LICENSE", LICENSE)] {
        archive.start_file(name, options(0o644)).map_err(std::io::Error::other)?;
        archive.write_all(text.as_bytes())?;
    }
    archive.start_file(ENTRY_POINT, options(0o755)).map_err(std::io::Error::other)?;
    std::io::copy(&mut BufReader::new(program), &mut archive)?;
    let mut file = archive.finish().map_err(std::io::Error::other)?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let mut sum = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut size_bytes = 0;
    loop {
        let n_read = file.read(&mut buffer)?;
        if n_read == 0 {
            return Ok((size_bytes, hex::encode(sum.finalize())));
        }
        size_bytes += n_read as u64;
        sum.update(&buffer[..n_read]);
    }
}
