//! The program: builds the application, hands it to one adapter, turns an error into an exit code. The only
//! file that names two adapters.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use dipeo::cli::{self, Cli, Command, McpArgs, MonitorArgs, Output, Remote};
use dipeo::clock::{Clock, SystemClock};
use dipeo::code::Code;
use dipeo::config::{Config, Environment, LogSettings};
use dipeo::diagram::NodeKind;
use dipeo::error::Error;
use dipeo::handlers::authenticate::Access;
use dipeo::handlers::live_server::live_server;
use dipeo::handlers::maintenance::keep_small::keep_small;
use dipeo::handlers::readiness::Probe;
use dipeo::handlers::supervisor::release_dead;
use dipeo::handlers::{App, Caller};
use dipeo::llm::Llm;
use dipeo::mcp::McpConfig;
use dipeo::mcp::client::RemoteServer;
use dipeo::nodes::integrated_api::providers::Providers;
use dipeo::nodes::ports::Ports;
use dipeo::outside::{GuardedHttp, UserSecrets, WorkspaceFiles, browser, spawn_detached};
use dipeo::secret::Scrubber;
use dipeo::spans::Traces;
use dipeo::{code, http, limits, llm, logs, mcp, meter, spans};
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    // The sandbox worker: before anything else is set up, it must stay small.
    if arguments.get(1).is_some_and(|it| it == code::worker::SUBCOMMAND) {
        return code::worker::main();
    }
    as_it_is_called(&mut arguments);
    as_the_guide_has_it(&mut arguments);
    let form = cli::form_of(&arguments);
    let cli = match cli::parse(arguments) {
        Ok(cli) => cli,
        Err(e) => return fail(Output { form, colours: true }, &e),
    };
    let output = cli::output_of(&cli);
    let outcome = match cli::describe_program(cli.command.as_ref(), output) {
        Some(outcome) => outcome,
        None => run(cli, output),
    };
    match outcome {
        // Whoever read the result had enough of it (`| head`).
        _ if cli::is_closed() => ExitCode::SUCCESS,
        Ok(code) => ExitCode::from(code),
        Err(e) => fail(output, &e),
    }
}

/// A link called `dipeocc` is `dipeo dipeocc`.
fn as_it_is_called(arguments: &mut Vec<OsString>) {
    let name = arguments.first().and_then(|it| Path::new(it).file_stem());
    if name.is_some_and(|it| it == "dipeocc") {
        arguments.insert(1, "dipeocc".into());
    }
}

/// `dipeo --server`, alone or with flags behind it, is the guide's form of `dipeo serve`; with an address it is the
/// flag that names a server.
fn as_the_guide_has_it(arguments: &mut [OsString]) {
    let has_address = arguments.get(2).is_some_and(|it| !it.as_encoded_bytes().starts_with(b"-"));
    if let Some(first) = arguments.get_mut(1).filter(|it| *it == "--server" && !has_address) {
        *first = "serve".into();
    }
}

fn fail(output: Output, error: &Error) -> ExitCode {
    cli::print_error(output, error);
    tracing::debug!("{}", error.chain());
    if cli::is_closed() { ExitCode::SUCCESS } else { ExitCode::from(error.kind().exit_code()) }
}

fn run(mut cli: Cli, output: Output) -> Result<u8, Error> {
    let working_dir = std::env::current_dir().map_err(|e| {
        Error::external("FILE_FAILED", "the working folder is gone").hint("change to a folder that exists").source(e)
    })?;
    let config = Config::load(&cli::overrides(&cli), &Environment::of_process(), &working_dir)?;
    let Some(command) = cli.command.take() else {
        return Err(Error::internal("a call without a command reached the settings"));
    };
    if !cli.global.quiet {
        for warning in &config.warnings {
            output.note(&format!("warning: {warning}"));
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| {
        Error::external("INTERNAL", "cannot start threads").hint("check the limits of this machine").source(e)
    })?;
    let code = runtime.block_on(dispatch(command, config, working_dir, output, &cli));
    // Nothing that still reads a file or a pipe may hold the exit up.
    runtime.shutdown_background();
    code
}

async fn dispatch(
    command: Command,
    config: Config,
    working_dir: PathBuf,
    output: Output,
    cli: &Cli,
) -> Result<u8, Error> {
    let app = Arc::new(build(config, command.role())?);
    let traces = begin_to_log(&app, cli.global.debug)?;
    let quiet = cli.global.quiet;
    let remote = remote(&app.config, &command, output)?;
    let stop = CancellationToken::new();
    let outcome = match command {
        Command::Mcp(McpArgs { command: None, http: false, .. }) => {
            stop_on_signals(&stop);
            serve_stdio(&app, &stop).await.map(|()| 0)
        }
        Command::Serve(_) | Command::Mcp(McpArgs { command: None, http: true, .. }) => {
            stop_on_signals(&stop);
            let told = move |url: &str| {
                output.note(&format!("dipeo serves MCP on {url}/mcp (stop with Ctrl-C)"));
                Ok(())
            };
            serve_http(&app, told, &stop).await.map(|()| 0)
        }
        Command::Monitor(args) => {
            stop_on_signals(&stop);
            monitor(&app, args, output, &stop).await.map(|()| 0)
        }
        Command::Drain => {
            stop_on_signals(&stop);
            drain(&app, &stop).await.map(|()| 0)
        }
        command => {
            let caller = Caller::Terminal { working_dir: working_dir.clone() };
            let context =
                cli::Context { app: &app, caller, working_dir, output, quiet, remote, manifest: mcp::manifest };
            cli::execute(&context, command).await
        }
    };
    app.shut_down_runs().await;
    if let Err(e) = leave_owner(&app).await {
        tracing::warn!("{}", e.chain());
    }
    app.close().await;
    traces.finish().await;
    outcome
}

/// The server that carries the command out, when the user named one.
fn remote(config: &Config, command: &Command, output: Output) -> Result<Option<Remote>, Error> {
    let Some(address) = cli::remote_address(config, command)? else { return Ok(None) };
    let server = Arc::new(RemoteServer::new(address, config.auth.token.clone())?);
    if server.shows_its_token() {
        output.note(&format!("warning: the token goes to {address} in the clear; use https"));
    }
    let ask: cli::Ask = Arc::new(move |name, request| {
        let server = Arc::clone(&server);
        Box::pin(async move { server.ask(name, request).await })
    });
    Ok(Some(Remote { address: address.to_owned(), ask }))
}

/// Puts the application together. Nothing is opened or started yet.
fn build(config: Config, role: &'static str) -> Result<App, Error> {
    let program = own_program()?;
    let code = Code::new(code::Settings::new(
        vec![program.into_os_string(), code::worker::SUBCOMMAND.into()],
        config.workspace.clone(),
    ));
    let secrets = UserSecrets::new(config.user_dir.clone());
    let settings = llm::Settings::from_config(&config.models).in_folder(config.workspace.clone());
    let models = Llm::with_secrets(settings, Arc::clone(&secrets) as _);
    let closed = Ports::closed(
        Arc::clone(&code) as _,
        models,
        WorkspaceFiles::new(config.workspace.clone()),
        Arc::new(SystemClock),
    );
    let providers = Arc::new(Providers::new(config.provider_keys.clone()));
    let (http, commands) = (GuardedHttp::new(), Arc::clone(&code) as _);
    let ports = Ports { http, commands, secrets, providers, ..closed };
    Ok(App::new(config, role, ports, code))
}

fn own_program() -> Result<PathBuf, Error> {
    std::env::current_exe().map_err(|e| {
        Error::external("FILE_FAILED", "cannot find the program's own file").hint("start dipeo by its path").source(e)
    })
}

async fn serve_stdio(app: &Arc<App>, stop: &CancellationToken) -> Result<(), Error> {
    take_open_executions(app, stop);
    mcp::stdio::serve(Arc::clone(app), stop.clone()).await
}

/// Leads to the server of this database; where none lives, one serves here.
async fn monitor(app: &Arc<App>, args: MonitorArgs, output: Output, stop: &CancellationToken) -> Result<(), Error> {
    let environment = Environment::of_process();
    let open = move |url: &str| {
        let program = browser::browser(|name| environment.get(name).map(str::to_owned));
        program.is_some_and(|it| browser::open_page(&it, url))
    };
    let pages = cli::Pages::of(&app.config);
    match live_server(app, &Caller::owner_client()).await?.url {
        Some(url) => args.lead(output, (&url, pages), open),
        None => serve_http(app, move |url| args.lead(output, (url, pages), open), stop).await,
    }
}

/// Serves until it is told to stop. `told` hears once where.
async fn serve_http(
    app: &Arc<App>,
    told: impl FnOnce(&str) -> Result<(), Error>,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let mut config = http::HttpConfig::from_config(&app.config);
    config.access = Some(Access::new(Arc::clone(app))?);
    config.check()?;
    let asks = config.access.as_ref().map_or(Ok(false), |it| it.is_required())?;
    config.routes = [mcp::ROUTES, http::graphql::ROUTES, &[http::metrics::ROUTE]].concat();
    if !app.config.is_production {
        config.routes.extend(http::rest::PAGES);
        config.routes.extend(http::graphql::PAGES);
    }
    config.hints = http::rest::paths();
    meter::start(&NodeKind::ALL.map(NodeKind::name), SystemClock.now());
    config.readiness = Some(readiness(app));
    let events = http::events::Events::new(Arc::clone(app), stop.clone());
    config.routes.extend(http::events::ROUTES);
    config.vitals = Some(vitals(app, &events));
    app.supervisor()?.register().await?;
    app.supervisor()?.claim_open().await?;
    let router = mcp::router(
        Arc::clone(app),
        &McpConfig::for_server(&config.host_names(), &config.origin_names(), asks, stop.clone()),
    )
    .merge(http::rest::routes(Arc::clone(app), stop.clone()))
    .merge(http::graphql::routes(Arc::clone(app), stop.clone()))
    .merge(http::metrics::router(Arc::clone(app)))
    .merge(events.routes());
    let pruning = stop.child_token();
    app.supervisor()?.spawn(keep_small(Arc::clone(app), pruning.clone()));
    app.supervisor()?.spawn(meter::upkeep(pruning.clone()));
    let mut outcome = Ok(());
    let served = http::serve(config, router, stop.clone(), |address| {
        tracing::info!(%address, "the server listens");
        be_found(app, address);
        outcome = told(&format!("http://{address}"));
    })
    .await;
    // Also when it never began to serve: shutting down waits for what was started.
    pruning.cancel();
    served.and(outcome)
}

/// Lets others on this database know where this server listens.
fn be_found(app: &Arc<App>, address: SocketAddr) {
    let ip = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    let url = format!("http://{}", SocketAddr::new(ip, address.port()));
    let Ok(supervisor) = app.supervisor().cloned() else { return };
    let me = Arc::clone(&supervisor);
    supervisor.spawn(async move {
        if let Err(e) = me.reachable_at(url).await {
            tracing::warn!("others cannot be told where this server listens: {}", e.chain());
        }
    });
}

/// The server is ready when the database takes reads and writes and somebody takes up executions.
fn readiness(app: &Arc<App>) -> http::Readiness {
    let offering = Arc::clone(app);
    let probe = Probe::new(Arc::clone(app), Arc::new(move || mcp::count_tools(&offering)));
    Arc::new(move || {
        let probe = Arc::clone(&probe);
        Box::pin(async move { probe.look().await })
    })
}

/// What is under way.
fn vitals(app: &Arc<App>, events: &http::events::Events) -> http::Vitals {
    let (app, events) = (Arc::clone(app), events.clone());
    Arc::new(move || http::VitalSigns {
        n_running: app.started_supervisor().map_or(0, |it| it.running_count()),
        n_streams: events.n_open(),
        keeps_house: app.started_supervisor().is_some_and(|it| it.keeps_house()),
        offers_tools: mcp::offers_tools(&app),
    })
}

/// Takes over what is open, now and whenever somebody who ran it dies, without holding up the first answer.
fn take_open_executions(app: &Arc<App>, stop: &CancellationToken) {
    let (app, stop) = (Arc::clone(app), stop.clone());
    tokio::spawn(async move {
        // Another process may make the database.
        while let Ok(None) = app.existing_store() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(limits::DEAD_OWNER_LOOK) => {}
            }
        }
        match app.supervisor() {
            Ok(supervisor) => supervisor.look_out().await,
            Err(e) => tracing::warn!("open executions cannot be taken over: {}", e.chain()),
        }
    });
}

/// Runs what is open on this database until there has been nothing to do for a while.
async fn drain(app: &Arc<App>, stop: &CancellationToken) -> Result<(), Error> {
    if app.existing_store()?.is_none() {
        // The workspace went away meanwhile; it is not made again for nothing.
        return Ok(());
    }
    let supervisor = Arc::clone(app.supervisor()?);
    release_dead(app.store()?).await?;
    let others = app.store()?.live_owners()?;
    if others.iter().any(|it| it.kind == "drain") {
        return Ok(());
    }
    supervisor.register().await?;
    supervisor.claim_open().await?;
    tokio::select! {
        () = supervisor.drained(limits::DRAIN_IDLE) => {}
        () = stop.cancelled() => {}
    }
    Ok(())
}

/// Leaves exactly one detached owner when runs are open and nobody lives who could go on with them.
async fn leave_owner(app: &App) -> Result<(), Error> {
    let Some(store) = app.opened_store() else { return Ok(()) };
    if app.role == "drain" {
        return Ok(());
    }
    release_dead(store).await?;
    if store.unowned_open()? == 0 || !store.live_owners()?.is_empty() {
        return Ok(());
    }
    let mut arguments: Vec<OsString> = vec!["-C".into(), app.config.workspace.clone().into(), "--db".into()];
    arguments.extend([app.config.database.clone().into_os_string(), "drain".into()]);
    spawn_detached(&own_program()?, &arguments, existing_folder(&app.config.workspace))
}

fn existing_folder(path: &Path) -> &Path {
    path.ancestors().find(|it| it.is_dir()).unwrap_or(path)
}

/// First signal: finish or hand over; second: exit at once.
fn stop_on_signals(stop: &CancellationToken) {
    let stop = stop.clone();
    tokio::spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        for is_first in [true, false] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if is_first {
                stop.cancel();
            } else {
                std::process::exit(130);
            }
        }
    });
}

/// Every process has a log; servers also speak on stderr, others there only when something is wrong. stdout belongs
/// to results and to MCP.
fn begin_to_log(app: &App, debug: bool) -> Result<Traces, Error> {
    let level = app.config.logs.level;
    let (name, stderr) = match app.role {
        "mcp" => ("mcp", level),
        "serve" | "drain" => ("server", level),
        _ => ("cli", level.min(LevelFilter::WARN)),
    };
    let loud = |level: LevelFilter| if debug { level.max(LevelFilter::DEBUG) } else { level };
    let settings = LogSettings { level: loud(level), ..app.config.logs.clone() };
    let others = format!("{},hyper=warn,reqwest=warn,opentelemetry=warn,{}=off", mcp::LOG_DIRECTIVE, spans::TARGET);
    let to = logs::Destination { name, stderr: loud(stderr), others: &others };
    let known = Scrubber::default();
    app.config.secrets().for_each(|it| known.add(it));
    let secrets = Arc::clone(&app.ports.secrets);
    let (listener, traces) = spans::start(app.config.traces.is_wanted, app.config.traces.is_named)?;
    logs::start(&settings, &to, known, Arc::new(move |text| secrets.scrubber().scrub(text)), listener);
    Ok(traces)
}
