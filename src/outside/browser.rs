//! Opens a page in the user's browser, where there is one. `main` alone uses it: no node and no client may.

use std::process::{Command, Stdio};

/// Returns the program that opens pages, as the environment has it: `$BROWSER`, else the desktop's own opener.
/// `None` where nobody would see a page: no desktop, no screen.
pub fn browser(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    if let Some(program) = variable("BROWSER") {
        return Some(program);
    }
    if cfg!(target_os = "macos") {
        return Some("open".to_owned());
    }
    let has_screen = variable("DISPLAY").is_some() || variable("WAYLAND_DISPLAY").is_some();
    has_screen.then(|| "xdg-open".to_owned())
}

/// Hands `url` to `program` and does not wait for it. Says whether it could be started.
pub fn open_page(program: &str, url: &str) -> bool {
    let started =
        Command::new(program).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    started.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(not(target_os = "macos"))]
    fn a_page_is_opened_where_somebody_can_see_it() {
        for (set, expected) in [
            (&[][..], None),
            (&[("TERM", "xterm")], None),
            (&[("DISPLAY", ":0")], Some("xdg-open")),
            (&[("WAYLAND_DISPLAY", "wayland-0")], Some("xdg-open")),
            (&[("BROWSER", "firefox"), ("DISPLAY", ":0")], Some("firefox")),
        ] {
            let variable = |name: &str| set.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned());
            assert_eq!(browser(variable).as_deref(), expected, "{set:?}");
        }
    }

    #[test]
    fn a_browser_that_is_not_there_is_no_failure() {
        assert!(!open_page("/nowhere/browser", "http://127.0.0.1:1/"));
    }
}
