//! Every case there is, and which of them are wanted.

use crate::{
    args::Args,
    case::Case,
    script::{self, Person},
};

macro_rules! files {
    ($($path:literal),* $(,)?) => { &[$(($path, include_str!(concat!("../", $path)))),*] };
}

/// Built into the program, so that it runs anywhere. A test holds this list and the folders together.
pub const FILES: &[(&str, &str)] = files![
    "cases/discovery.toml",
    "cases/auth.toml",
    "cases/media.toml",
    "cases/create.toml",
    "cases/read.toml",
    "cases/list.toml",
    "cases/projection.toml",
    "cases/filter.toml",
    "cases/filter-refused.toml",
    "cases/sort.toml",
    "cases/cursor.toml",
    "cases/put.toml",
    "cases/patch-add.toml",
    "cases/patch-remove.toml",
    "cases/patch-replace.toml",
    "cases/patch-rules.toml",
    "cases/groups.toml",
    "cases/etag.toml",
    "cases/bulk.toml",
    "cases/me-and-methods.toml",
    "cases/robust.toml",
    "cases/types.toml",
    "cases/race.toml",
    "cases/tenancy.toml",
    "dialects/okta-oin.toml",
    "dialects/okta-aiw.toml",
    "dialects/entra.toml",
    "dialects/entra-flag.toml",
    "dialects/entra-groups.toml",
    "dialects/onelogin.toml",
    "dialects/jumpcloud.toml",
    "dialects/google.toml",
    "dialects/ping.toml",
    "dialects/rippling.toml",
];

/// All cases, and the people that filters and pages are about.
pub fn all() -> Result<(Vec<Case>, Vec<Person>), String> {
    let (mut cases, mut people) = (Vec::new(), Vec::new());
    for (name, text) in FILES {
        let (more, persons) = script::read(name, text)?;
        cases.extend(more);
        people.extend(persons);
    }
    Ok((cases, people))
}

/// Those that the profile, `--only` and `--skip` leave. An error when a name of the profile is unknown
/// or nothing is left.
pub fn chosen(cases: Vec<Case>, args: &Args) -> Result<Vec<Case>, String> {
    let client = |case: &Case| case.label.client.as_deref().unwrap_or_default().to_lowercase();
    for name in &args.profile {
        let known = ["all", "rfc", "clients"].contains(&name.as_str());
        if !known && !cases.iter().any(|case| client(case).starts_with(name.as_str())) {
            return Err(format!("--profile: nobody is called {name}"));
        }
    }
    let in_profile = |case: &Case| {
        args.profile.is_empty()
            || args.profile.iter().any(|name| match name.as_str() {
                "all" => true,
                "rfc" => case.label.client.is_none(),
                "clients" => case.label.client.is_some(),
                name => client(case).starts_with(name),
            })
    };
    let within = |case: &Case, text: &String| {
        let label = &case.label;
        [&label.id, &label.rule, &label.part].iter().any(|field| field.to_lowercase().contains(text))
            || client(case).contains(text)
    };
    let left: Vec<Case> = cases
        .into_iter()
        .filter(in_profile)
        .filter(|case| args.only.is_empty() || args.only.iter().any(|text| within(case, text)))
        .filter(|case| !args.skip.iter().any(|text| within(case, text)))
        .collect();
    if left.is_empty() { Err("no case fits --profile, --only and --skip".into()) } else { Ok(left) }
}
