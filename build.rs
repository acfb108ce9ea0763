//! Lists the pages of `resources/` so that a new page needs no line of code.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("resources");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut pages = Vec::new();
    for (folder, prefix) in [("guide", ""), ("nodes", "nodes/"), ("errors", "errors/"), ("schema", "schema/")] {
        collect(&root.join(folder), prefix, &mut pages);
    }
    pages.sort();
    let mut code = String::from("/// Every page, by name.\npub const PAGES: &[Page] = &[\n");
    for (name, path) in pages {
        writeln!(code, "    Page {{ name: {name:?}, text: include_str!({:?}) }},", path.display().to_string())
            .expect("writing to a string");
    }
    code.push_str("];\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it")).join("guide_pages.rs");
    std::fs::write(out, code).expect("the build folder is writable");
}

fn collect(folder: &Path, prefix: &str, pages: &mut Vec<(String, PathBuf)>) {
    println!("cargo:rerun-if-changed={}", folder.display());
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let Some(name) = path.file_name().and_then(|it| it.to_str()) else { continue };
        if let Some(stem) = name.strip_suffix(".md") {
            pages.push((format!("{prefix}{stem}"), path.clone()));
        } else if name.ends_with(".json") {
            pages.push((format!("{prefix}{name}"), path.clone()));
        }
    }
}
