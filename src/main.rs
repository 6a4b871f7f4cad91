//! The command line: reads the words, gives them to one function, turns its outcome into an exit
//! code (0 done, 1 failed, 2 wrong use). Answers go to stdout, everything else to stderr.

mod cli;

use cli::{Command, Words};
use std::{io::Write, process::ExitCode};
use vestibule::{
    platform_keys, running,
    settings::{Settings, SettingsError},
    signing_keys, wiring,
};

/// Requests allocate much and briefly: this one gives and takes back faster than the C library's. Without huge pages,
/// which would double what an idle process holds.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(Words::Help(text)) => {
            // Who reads no further, such as `head`, has had enough.
            let _ = write!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Ok(Words::Version) => {
            println!("vestibule {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Ok(Words::Run(command)) => match run(command) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("vestibule: {why}");
                ExitCode::from(1)
            }
        },
        Err(why) => {
            eprintln!("vestibule: {why}\n`vestibule --help` shows every command with an example.");
            ExitCode::from(2)
        }
    }
}

/// Whatever stops a command, as the operator reads it.
type Stopped = Box<dyn std::error::Error>;

fn run(command: Command) -> Result<(), Stopped> {
    match command {
        Command::Serve { config } => serve(settings(config.as_deref())?),
        Command::Demo { config, port, reset, check } => demo(config.as_deref(), port, reset, check),
        Command::Migrate { config } => {
            let settings = settings(config.as_deref())?;
            runtime()?.block_on(wiring::migrate(&settings, progress))?;
            eprintln!("The database is at this version.");
            Ok(())
        }
        Command::CreatePlatformKey { config, name } => {
            let settings = settings(config.as_deref())?;
            let key = runtime()?.block_on(platform_keys::create(&settings, &name))?;
            println!("{}", key.reveal());
            Ok(())
        }
        Command::ListPlatformKeys { config, json } => {
            let keys = runtime()?.block_on(platform_keys::list(&settings(config.as_deref())?))?;
            if json {
                return say(&serde_json::to_string_pretty(&keys)?);
            }
            if keys.is_empty() {
                eprintln!("There is none yet: vestibule keys create --platform --name NAME");
                return Ok(());
            }
            say(platform_keys::table(&keys).trim_end())
        }
        Command::RevokePlatformKey { config, id, last } => {
            let settings = settings(config.as_deref())?;
            match runtime()?.block_on(platform_keys::revoke(&settings, id, last))? {
                0 => eprintln!(
                    "{id} is revoked. No platform key lives now: `vestibule keys create` makes one."
                ),
                left => eprintln!("{id} is revoked; {left} live on."),
            }
            Ok(())
        }
        Command::ListSigningKeys { config, json } => {
            let keys = runtime()?.block_on(signing_keys::list(&settings(config.as_deref())?))?;
            if json {
                return say(&serde_json::to_string_pretty(&keys)?);
            }
            if keys.is_empty() {
                eprintln!("There is none yet: the first start makes one.");
                return Ok(());
            }
            say(signing_keys::table(&keys).trim_end())
        }
        Command::RotateSigningKey { config, alg, haste } => {
            let said =
                runtime()?.block_on(signing_keys::rotate(&settings(config.as_deref())?, alg, haste))?;
            eprintln!("{said}");
            Ok(())
        }
        Command::WithdrawSigningKey { config, kid } => {
            let said = runtime()?.block_on(signing_keys::withdraw(&settings(config.as_deref())?, &kid))?;
            eprintln!("{said}");
            Ok(())
        }
        Command::Recover { config } => {
            let orgs =
                runtime()?.block_on(vestibule::recover::run(&settings(config.as_deref())?, progress))?;
            eprintln!(
                "{orgs} orgs are raised: no session, token, code or sign-in of before is good.\n\
                 What was done since the backup is undone, revocations of keys too: the runbook, \
                 \"Restoring a backup\", says what to do again."
            );
            Ok(())
        }
        Command::CheckConfig { config, json } => check_config(&settings(config.as_deref())?, json),
        Command::CheckHealth { config, url } => check_health(&settings(config.as_deref())?, url),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

fn progress(line: &str) {
    eprintln!("{line}");
}

/// Serves until told to stop, then drains.
fn serve(settings: Settings) -> Result<(), Stopped> {
    let runtime = runtime()?;
    let telemetry = {
        let _within = runtime.enter();
        vestibule::telemetry::start(&settings)?
    };
    let stores = wiring::Stores::hold(&settings, "vestibule serve", progress)?;
    let served = runtime.block_on(async {
        wiring::migrate_own(&settings, &stores).await?;
        let mut running = wiring::serve(&settings, &stores).await?;
        tokio::select! {
            () = running::told_to_stop() => {}
            () = running.ended() => return Err("the server ended by itself".into()),
        }
        running.stop().await;
        Ok(())
    });
    telemetry.stop();
    served
}

#[cfg(feature = "demo")]
fn demo(config: Option<&std::path::Path>, port: u16, reset: bool, check: bool) -> Result<(), Stopped> {
    let given: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let is_given = |name: &str| given.iter().any(|(given, _)| given == name);
    let mut environment: Vec<(String, String)> = vestibule::demo::environment(port);
    // Where the demo is, it says itself; how much it tells, whoever starts it may.
    environment.retain(|(name, _)| name != "VESTIBULE_LOG__LEVEL" || !is_given(name));
    let own: Vec<String> = environment.iter().map(|(name, _)| name.clone()).collect();
    environment.extend(given.into_iter().filter(|(name, _)| !own.contains(name)));
    let settings = Settings::load(config, environment)?;
    vestibule::demo::run(&settings, port, reset, check)
}

#[cfg(not(feature = "demo"))]
fn demo(_: Option<&std::path::Path>, _: u16, _: bool, _: bool) -> Result<(), Stopped> {
    Err("this build has no demo; build with the feature `demo`".into())
}

fn settings(config: Option<&std::path::Path>) -> Result<Settings, SettingsError> {
    // A variable that is not Unicode is none of ours.
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    Settings::load(config, std::env::vars_os().filter_map(text))
}

/// A line on stdout. A reader that has had enough, such as `head`, is no failure.
fn say(line: &str) -> Result<(), Stopped> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(why) if why.kind() != std::io::ErrorKind::BrokenPipe => Err(why.into()),
        _ => Ok(()),
    }
}

/// Reads all that a start would read, and starts nothing.
fn check_config(settings: &Settings, json: bool) -> Result<(), Stopped> {
    vestibule::telemetry::check(&settings.log)?;
    if let (Some(cert), Some(key)) = (&settings.tls.cert_file, &settings.tls.key_file) {
        vestibule::tls::server_config(cert, key)?;
    }
    let seal_keys = settings.seal_key_path();
    if seal_keys.exists() {
        vestibule::seal_keys::load(&seal_keys)?;
    } else if settings.seal_key_file.is_some() {
        // Right before the first start of all, wrong ever after.
        eprintln!(
            "warning: seal_key_file {} is not there; a start would make a new one.",
            seal_keys.display()
        );
    }
    if json {
        return say(&serde_json::to_string_pretty(settings)?);
    }
    say(&format!("The settings are good: {} on {}.", settings.public_url, settings.listen))?;
    if settings.insecure_loopback() {
        eprintln!("warning: public_url is plain http; cookies are not Secure. For this machine alone.");
    }
    if settings.egress.allow_loopback {
        eprintln!("warning: egress.allow_loopback is on; outgoing requests may reach this machine.");
    }
    Ok(())
}

/// Asks a running server whether it lives: what a container's health check calls.
fn check_health(settings: &Settings, url: Option<String>) -> Result<(), Stopped> {
    let url = match (url, settings.ops_listen, &settings.tls.cert_file) {
        (Some(url), _, _) => url,
        (None, Some(ops), _) => cli::health_url(ops),
        (None, None, None) => cli::health_url(settings.listen),
        (None, None, Some(_)) => return Err("with tls set, set ops_listen too, or give --url".into()),
    };
    let chance = std::sync::Arc::new(vestibule::seams::SystemChance);
    let sockets = vestibule::outbound::Sockets::new(true, chance)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outside: &dyn vestibule::outbound::Outbound = &sockets;
    let answer = runtime.block_on(outside.get(&url))?;
    if answer.is_success() { Ok(()) } else { Err(format!("{url} answered {}", answer.status).into()) }
}
