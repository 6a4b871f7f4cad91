//! The command: reads the words, runs the cases, writes the report, ends with a code.

use scim_tests::{
    args::{self, Args, Asked, Format},
    case::{Case, Mark},
    catalogue,
    progress::Progress,
    report,
    runner::{self, Options, Report},
    wire::{Settings, Wire},
};
use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

const GREEN: u8 = 0;
const RED: u8 = 1;
const UNJUDGED: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    match args::parse(std::env::args_os(), |name| std::env::var(name).ok()) {
        Ok(Asked::Help) => {
            say(args::HELP);
            ExitCode::from(GREEN)
        }
        Ok(Asked::Run(args)) => match asked(&args).await {
            Ok(code) => ExitCode::from(code),
            Err(why) => {
                eprintln!("scim-tests: {why}");
                ExitCode::from(UNJUDGED)
            }
        },
        Err(why) => {
            eprintln!("scim-tests: {why}\n\n{}", args::HELP);
            ExitCode::from(UNJUDGED)
        }
    }
}

async fn asked(args: &Args) -> Result<u8, String> {
    let (cases, people) = catalogue::all()?;
    let cases = catalogue::chosen(cases, args)?;
    if args.list {
        say(&listed(&cases));
        return Ok(GREEN);
    }
    let authority = args.ca.as_ref().map(std::fs::read).transpose().map_err(|why| format!("--ca: {why}"))?;
    let wire = Wire::new(Settings {
        base: args.base.clone(),
        token: args.token.clone(),
        other_token: args.other_token.clone(),
        other_base: args.other_base.clone(),
        timeout: args.timeout,
        authority,
    })?;
    let options = Options { domain: args.domain.clone(), burst: args.burst, tag: run_tag() };
    let mut progress = Progress::new(args.quiet);
    let report = runner::run(wire, options, cases, &people, &mut progress).await?;
    write(&report, args)?;
    let strict = args.strict && report.count(Mark::Warn) > 0;
    Ok(if report.is_green() && !strict { GREEN } else { RED })
}

fn write(report: &Report, args: &Args) -> Result<(), String> {
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let text = match args.format {
        Format::Terminal => report::terminal::render(report, colour && args.out.is_none(), true),
        Format::Json => report::json::render(report),
        Format::Junit => report::junit::render(report),
    };
    match &args.out {
        Some(path) => {
            std::fs::write(path, text).map_err(|why| format!("{}: {why}", path.display()))?;
            say(&report::terminal::render(report, colour, false));
        }
        None => say(&text),
    }
    Ok(())
}

/// Writes to stdout; a reader that has gone (`| head`) is no error.
fn say(text: &str) {
    let mut stdout = std::io::stdout();
    drop(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
}

fn listed(cases: &[Case]) -> String {
    let width = cases.iter().map(|one| one.label.id.len()).max().unwrap_or(0);
    let mut out = String::new();
    for Case { label, .. } in cases {
        let needs = if label.needs.is_empty() {
            String::new()
        } else {
            format!("  needs {}", label.needs.join(", "))
        };
        let whose = label.client.as_ref().map(|client| format!("{client}: ")).unwrap_or_default();
        out.push_str(&format!(
            "{:<width$}  {:<6}  {}  {whose}{}{needs}\n",
            label.id,
            label.level.name(),
            label.rule,
            label.title
        ));
    }
    format!("{out}{} cases\n", cases.len())
}

/// Of this run alone: seconds of the clock and the process, in base 36.
#[allow(clippy::disallowed_methods, reason = "the runner has no clock seam: a name needs only to be new")]
fn run_tag() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = since.map_or(0, |age| age.as_millis()) ^ (u128::from(std::process::id()) << 44);
    let digits: Vec<char> = "0123456789abcdefghijklmnopqrstuvwxyz".chars().collect();
    let mut rest = seed;
    let mut text = String::new();
    while rest > 0 {
        text.extend(digits.get(usize::try_from(rest % 36).unwrap_or(0)));
        rest /= 36;
    }
    format!("st-{text}")
}
