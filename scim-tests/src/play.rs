//! Plays a script: step by step, each request's answer held against the step's lines.

use crate::{
    case::Stop,
    expect, look,
    script::{Status, Step},
    stage::{Stage, message},
    wire::{Answer, Credential, Request, encode},
};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// Longest pause a step may ask for.
const PAUSE_MS_MAX: u64 = 3_000;

pub async fn script(stage: &mut Stage, steps: &[Step]) -> Result<(), Stop> {
    for step in steps {
        match self::step(stage, step).await {
            Err(Stop::Failed(failure)) if step.setup => return Err(Stop::Blocked(failure)),
            other => other?,
        }
    }
    Ok(())
}

async fn step(stage: &mut Stage, step: &Step) -> Result<(), Stop> {
    if step.pause_ms > 0 {
        tokio::time::sleep(Duration::from_millis(step.pause_ms.min(PAUSE_MS_MAX))).await;
    }
    let with = with(stage, step)?;
    let credential = credential(stage, step)?;
    if let Some(name) = &step.user {
        stage.user(name, &with, credential).await?;
    }
    if let Some(name) = &step.group {
        let mut ids = Vec::new();
        for member in &step.members {
            ids.push(stage.fill(&format!("${{{member}.id}}"))?);
        }
        stage.group(name, &with, &ids, credential).await?;
    }
    match &step.send {
        Some(send) => {
            let request = request(stage, step, send, credential)?;
            let answer = stage.send(request).await?;
            judge(stage, step, &answer)
        }
        None => Ok(()),
    }
}

fn with(stage: &Stage, step: &Step) -> Result<Value, Stop> {
    let text = stage.fill(step.with.as_deref().unwrap_or("{}"))?;
    serde_json::from_str(&text).map_err(|why| stage.mistake(&format!("with: {why}")))
}

fn credential(stage: &Stage, step: &Step) -> Result<Credential, Stop> {
    match step.credential.as_deref() {
        None | Some("own") => Ok(Credential::Own),
        Some("other") => Ok(Credential::Other),
        Some("nobody") => Ok(Credential::Nobody),
        Some("forged") => Ok(Credential::Forged),
        Some("shortened") => Ok(Credential::Shortened),
        Some("lengthened") => Ok(Credential::Lengthened),
        Some("other-case") => Ok(Credential::OtherCase),
        Some(other) => Err(stage.mistake(other)),
    }
}

/// The request that a step sends.
pub fn request(stage: &Stage, step: &Step, send: &str, credential: Credential) -> Result<Request, Stop> {
    let (method, path) = send.split_once(' ').ok_or_else(|| stage.mistake(send))?;
    let mut path = stage.fill(path)?;
    for (name, value) in &step.query {
        let separator = if path.contains('?') { '&' } else { '?' };
        path = format!("{path}{separator}{}={}", encode(name), encode(&stage.fill(value)?));
    }
    let mut request = Request::new(method, path).by(credential);
    for (name, value) in &step.headers {
        request = request.header(name, &stage.fill(value)?);
    }
    let wrapped = match (&step.patch, &step.bulk) {
        (Some(operations), _) => Some(("PatchOp", operations)),
        (None, Some(operations)) => Some(("BulkRequest", operations)),
        (None, None) => None,
    };
    request.body = match (wrapped, &step.body) {
        (Some((name, operations)), _) => {
            let operations = stage.fill(operations)?;
            Some(format!("{{\"schemas\":[\"{}\"],\"Operations\":{operations}}}", message(name)).into_bytes())
        }
        (None, Some(body)) => Some(stage.fill(body)?.into_bytes()),
        (None, None) => None,
    };
    if let Some(name) = &step.usual {
        request = request.json(&stage.user_body(name, &with(stage, step)?));
    }
    Ok(request)
}

fn judge(stage: &mut Stage, step: &Step, answer: &Arc<Answer>) -> Result<(), Stop> {
    if step.unless.as_ref().is_some_and(|unless| unless.takes(answer.status)) {
        return Err(Stop::Skipped(format!("the server does not offer it ({})", answer.status)));
    }
    let wanted = step.status.clone().unwrap_or_else(|| Status::Class("2xx".into()));
    if !wanted.takes(answer.status) {
        return Err(stage.failed(&format!("status {}", wanted.words()), &answer.status.to_string()));
    }
    if let Some(kind) = &step.error {
        let lines = scim_error(kind, answer.status);
        lines.iter().try_for_each(|line| line_holds(stage, line, answer))?;
    }
    for line in &step.expect {
        let line = stage.fill(line)?;
        line_holds(stage, &line, answer)?;
    }
    for line in &step.should {
        let line = stage.fill(line)?;
        match expect::check(&line, answer).map_err(|why| stage.mistake(&format!("{line}: {why}")))? {
            Ok(()) => {}
            Err(missed) => stage.wish(false, &missed.expected, &missed.found),
        }
    }
    for (name, place) in &step.keep {
        let value = match place.strip_prefix("@header.") {
            Some(header) => answer.header(header).map(Value::from),
            None => look::Path::parse(place)
                .ok()
                .and_then(|(path, _)| path.find(answer.body()).first().map(|v| (*v).clone())),
        };
        match value {
            Some(value) => stage.set(name, value),
            None => return Err(stage.failed(&format!("{place} in the answer"), "nothing")),
        }
    }
    Ok(())
}

/// The lines of an error's shape (RFC 7644 3.12).
fn scim_error(kind: &str, status: u16) -> Vec<String> {
    let mut lines = vec![format!("schemas has \"{}\"", message("Error")), format!("status is \"{status}\"")];
    if kind != "any" {
        lines.push(format!("scimType is \"{kind}\""));
    }
    lines
}

fn line_holds(stage: &Stage, line: &str, answer: &Answer) -> Result<(), Stop> {
    match expect::check(line, answer) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(missed)) => Err(stage.failed(&missed.expected, &missed.found)),
        Err(why) => Err(stage.mistake(&format!("{line}: {why}"))),
    }
}

/// Does the answer have an error's shape?
pub fn holds_error(stage: &Stage, kind: &str, answer: &Answer) -> Result<(), Stop> {
    scim_error(kind, answer.status).iter().try_for_each(|line| line_holds(stage, line, answer))
}
