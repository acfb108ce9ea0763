//! The server that the conformance suite tests: dipeo's own handler, router and HTTP server with the suite's
//! fixtures around them (`fixtures`). No release contains it. See `tests/clients/README.md`.

mod fixtures;

use std::sync::Arc;

use dipeo::clock::SystemClock;
use dipeo::code::{self, Code};
use dipeo::config::{Config, Environment, Overrides};
use dipeo::error::Error;
use dipeo::handlers::App;
use dipeo::http;
use dipeo::llm::{self, Llm};
use dipeo::mcp::{self, McpConfig, McpServer};
use dipeo::nodes::ports::Ports;
use dipeo::outside::WorkspaceFiles;
use fixtures::Fixtures;
use tokio_util::sync::CancellationToken;

/// Serves on `--port N` (0 lets the system choose) until it is told to stop, and says where on standard output.
#[tokio::main]
async fn main() -> Result<(), Error> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = application(folder.path())?;
    let stop = CancellationToken::new();
    tokio::spawn(stop_when_told(stop.clone()));
    let mut config = http::HttpConfig::local(port());
    config.routes = mcp::ROUTES.to_vec();
    let mcp_config = McpConfig::for_server(&config.host_names(), &config.origin_names(), false, stop.clone());
    let router = mcp::mount(Fixtures::around(McpServer::new(Arc::clone(&app), stop.child_token())), &mcp_config);
    http::serve(config, router, stop, |address| println!("http://{address}/mcp")).await?;
    app.shut_down_runs().await;
    app.close().await;
    Ok(())
}

fn port() -> u16 {
    let mut arguments = std::env::args().skip_while(|it| it != "--port").skip(1);
    arguments.next().map_or(0, |it| it.parse().expect("`--port` takes a number"))
}

/// The product's application on an empty workspace. No scenario runs code, so it has no worker.
fn application(folder: &std::path::Path) -> Result<Arc<App>, Error> {
    let home = folder.join("home").display().to_string();
    let overrides = Overrides { workspace: Some(folder.join("work")), ..Overrides::default() };
    let config = Config::load(&overrides, &Environment::of(&[("DIPEO_HOME", &home)]), folder)?;
    let code = Code::new(code::Settings::new(vec!["no-such-program".into()], config.workspace.clone()));
    let ports = Ports::closed(
        Arc::clone(&code) as _,
        Llm::new(llm::Settings::from_config(&config.models)),
        WorkspaceFiles::new(config.workspace.clone()),
        Arc::new(SystemClock),
    );
    Ok(Arc::new(App::new(config, "serve", ports, code)))
}

async fn stop_when_told(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be waited for");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    stop.cancel();
}
