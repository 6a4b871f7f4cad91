//! What a token is for, where the one who asks for it says so (RFC 8707): the audience of one app, and of an app
//! that serves the org.

use crate::FlowError;
use model::Refusal;
use url::Url;

/// Longer is no audience of an app.
const RESOURCE_BYTES_MAX: usize = 200;

pub(crate) fn refused() -> FlowError {
    Refusal::proven("oauth.invalid_target").into()
}

/// An absolute URI without a fragment (RFC 8707 2), as it stands. Errors: `oauth.invalid_target`.
pub fn checked(resource: &str) -> Result<&str, FlowError> {
    let is_uri = resource.len() <= RESOURCE_BYTES_MAX
        && resource.bytes().all(|byte| byte.is_ascii_graphic())
        && !resource.contains('#')
        && Url::parse(resource).is_ok();
    if is_uri { Ok(resource) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_an_absolute_uri_without_a_fragment() {
        for right in
            ["https://api.example", "https://api.example/v1?x=1", "urn:example:api", "http://localhost:1/"]
        {
            assert!(checked(right).is_ok(), "{right}");
        }
        let long = format!("https://api.example/{}", "x".repeat(200));
        for wrong in
            ["", "api", "/v1", "//api.example", "https://api.example#x", "https://a b", "https://ä", &long]
        {
            assert_eq!(checked(wrong).unwrap_err().code(), "oauth.invalid_target", "{wrong}");
        }
    }
}
