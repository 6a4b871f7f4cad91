//! Limits that the server announces or must have: too many operations, too large a body, TLS.

use super::{Cast, Coded};
use crate::{
    case::{Acting, Stop},
    look::member,
    play::holds_error,
    stage::{Stage, message},
    wire::{Request, is_loopback},
};
use serde_json::{Value, json};

/// More operations or bytes than this are not sent, whatever is announced.
const OPERATIONS_MAX: u64 = 5_000;
const PAYLOAD_BYTES_MAX: u64 = 16 << 20;
const HUGE_BYTES: usize = 20 << 20;

pub(super) const ACTS: &[Coded] = &[
    ("bulk.too-many", too_many, Cast::Alone),
    ("bulk.too-large", too_large, Cast::Alone),
    ("bulk.limits-announced", limits_announced, Cast::Alone),
    ("filter.max-results", max_results, Cast::Alone),
    ("robust.huge-body", huge_body, Cast::Alone),
    ("robust.body-bytes", body_bytes, Cast::Alone),
    ("tls.required", tls, Cast::Alone),
];

fn bulk(operations: Vec<Value>) -> Value {
    json!({"schemas": [message("BulkRequest")], "Operations": operations})
}

fn too_many(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let max = stage.bench.server.number("bulk", "maxOperations").unwrap_or(0);
        if max == 0 || max > OPERATIONS_MAX {
            return Err(Stop::Skipped(format!("bulk.maxOperations is {max}: not tried")));
        }
        let one = json!({"method": "DELETE", "path": format!("/Users/{}-none", stage.tag)});
        let operations = (0..=max).map(|_| one.clone()).collect();
        let answer = stage.send(Request::new("POST", "/Bulk").json(&bulk(operations))).await?;
        stage.hold(answer.status == 413, "status 413", &answer.status.to_string())?;
        holds_error(stage, "any", &answer)
    })
}

fn too_large(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let max = stage.bench.server.number("bulk", "maxPayloadSize").unwrap_or(0);
        if max == 0 || max > PAYLOAD_BYTES_MAX {
            return Err(Stop::Skipped(format!("bulk.maxPayloadSize is {max}: not tried")));
        }
        let padding = "x".repeat(usize::try_from(max).unwrap_or(0));
        let one = json!({"method": "PUT", "path": format!("/Users/{}-none", stage.tag), "data": {"displayName": padding}});
        let answer = stage.send(Request::new("POST", "/Bulk").json(&bulk(vec![one]))).await?;
        stage.hold(answer.status == 413, "status 413", &answer.status.to_string())
    })
}

fn limits_announced(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        for name in ["maxOperations", "maxPayloadSize"] {
            let said = stage.bench.server.number("bulk", name);
            stage.hold(
                said.is_some_and(|number| number > 0),
                &format!("{name} above 0"),
                &format!("{said:?}"),
            )?;
        }
        Ok(())
    })
}

fn max_results(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let Some(max) = stage.bench.server.number("filter", "maxResults").filter(|max| *max > 0) else {
            return Err(Stop::Skipped("ServiceProviderConfig has no filter.maxResults".into()));
        };
        let answer =
            stage.send(Request::new("GET", format!("/Users?count={}", max.saturating_add(50)))).await?;
        stage.hold(answer.status == 200, "status 200", &answer.status.to_string())?;
        let shown = member(answer.body(), "Resources").and_then(Value::as_array).map_or(0, Vec::len);
        stage.hold(
            u64::try_from(shown).is_ok_and(|shown| shown <= max),
            &format!("at most {max}"),
            &shown.to_string(),
        )
    })
}

fn huge_body(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let body = stage.user_body("ada", &json!({"displayName": "x".repeat(HUGE_BYTES)}));
        match stage.send(Request::new("POST", "/Users").json(&body)).await {
            Ok(answer) => {
                let refused = (400..500).contains(&answer.status);
                stage.hold(refused, "status 413", &answer.status.to_string())?;
            }
            // The connection may be cut before the whole body is sent.
            Err(Stop::Failed(_)) => {}
            Err(other) => return Err(other),
        }
        stage.last = None;
        let answer = stage.send(Request::new("GET", "/Users?count=1")).await?;
        stage.hold(answer.status == 200, "status 200 afterwards", &answer.status.to_string())
    })
}

fn body_bytes(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let mut body = stage.user_body("ada", &json!({"displayName": "DISPLAY"})).to_string().into_bytes();
        let at = body.windows(7).position(|part| part == b"DISPLAY").unwrap_or(0);
        for bytes in [[0xff, 0xfe], [0xc3, 0x28], [0xed, 0xa0]] {
            body.splice(at..at + 2, bytes);
            let mut request = Request::new("POST", "/Users");
            request.body = Some(body.clone());
            let answer = stage.send(request).await?;
            stage.hold((400..500).contains(&answer.status), "status 400", &answer.status.to_string())?;
        }
        Ok(())
    })
}

fn tls(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let base = stage.bench.wire.settings().base.clone();
        if is_loopback(&base) {
            return Err(Stop::Skipped("the server is on loopback".into()));
        }
        stage.hold(base.starts_with("https://"), "an https URL", &base)
    })
}
