//! Limits that the server announces or must have: too many operations, too large a body, TLS.

use super::Brief;
use crate::{
    case::{Acting, Case, Level, Stop},
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

pub(super) fn cases() -> Vec<Case> {
    let brief =
        |id, title, rule, says, todo, needs| Brief { id, title, rule, level: Level::Must, says, todo, needs };
    vec![
        brief(
            "bulk.too-many",
            "more operations than maxOperations are 413",
            "RFC 7644 3.7.4",
            "If either limit is exceeded, the service provider must return 413.",
            "Count before anything is done.",
            &["bulk"],
        )
        .plays("Bulk", too_many),
        brief(
            "bulk.too-large",
            "a job larger than maxPayloadSize is 413",
            "RFC 7644 3.7.4",
            "If either limit is exceeded, the service provider must return 413.",
            "Bound the body before it is read.",
            &["bulk"],
        )
        .plays("Bulk", too_large),
        brief(
            "bulk.limits-announced",
            "Bulk announces limits that let something through",
            "RFC 7644 3.7.4",
            "The service provider must define the maximum number of operations and the maximum payload size.",
            "Announce what is enforced.",
            &["bulk"],
        )
        .plays("Bulk", limits_announced),
        brief(
            "filter.max-results",
            "no page holds more than filter.maxResults",
            "RFC 7643 5",
            "maxResults is the maximum number of resources returned in a response.",
            "Cut count to it.",
            &[],
        )
        .plays("Listing", max_results),
        Brief {
            level: Level::Should,
            ..brief(
                "robust.huge-body",
                "a body of 20 MB is refused, and the server lives",
                "RFC 9110 15.5.14",
                "Content that is larger than the server is willing to process is 413.",
                "Bound bodies before they are read into memory.",
                &[],
            )
        }
        .plays("Robustness", huge_body),
        brief(
            "robust.body-bytes",
            "a body that is no UTF-8 is 400",
            "RFC 7644 3.8",
            "JSON is UTF-8: bytes that are not are a malformed body.",
            "Decode strictly, and answer 400.",
            &[],
        )
        .plays("Robustness", body_bytes),
        brief(
            "tls.required",
            "the service is reached by TLS",
            "RFC 7644 7.2",
            "Clients and service providers must require the use of a transport-layer security mechanism.",
            "Serve https; let http be served on loopback alone.",
            &[],
        )
        .plays("Authentication", tls),
    ]
}

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
