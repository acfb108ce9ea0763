//! Whether `dipeo serve` could listen where it is to.

use std::net::TcpListener;

use super::Part;
use crate::handlers::App;
use crate::store::Store;

/// Tries to listen for a moment.
pub(super) async fn check(app: &App) -> Part {
    let mut part = Part::default();
    let (host, port) = (app.config.host.as_str(), app.config.port);
    let address = format!("{host}:{port}");
    match TcpListener::bind((host, port)) {
        Ok(_) => part.fact(&address, "free"),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse && serves(app) => part.fact(&address, "dipeo serves here"),
        Err(e) => {
            let message = format!("`dipeo serve` cannot listen on {address}: {e}");
            part.finding(message, "name another port with `--port` or `DIPEO_PORT`, another address with `--host`");
        }
    }
    part
}

/// Whether a server lives on this database.
fn serves(app: &App) -> bool {
    let found = Store::examine(&app.config.database, app.clock.now());
    let contents = found.ok().flatten().and_then(|it| it.contents);
    contents.is_some_and(|it| it.owners.iter().any(|owner| owner.kind == "serve"))
}
