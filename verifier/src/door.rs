//! What a route's door does, whichever framework it stands in: one bearer token out of the headers, judged,
//! and held to what the route asks beyond it.

use crate::{Claims, Denied, Require, Verifier, bearer, verifier::now_secs};

#[derive(Clone, Debug)]
pub(crate) struct Door {
    verifier: Verifier,
    pub(crate) require: Require,
}

impl Door {
    /// A good token is asked for, and nothing more.
    pub(crate) fn new(verifier: Verifier) -> Self {
        Self { verifier, require: Require::new() }
    }

    /// `headers` are the request's `Authorization`.
    pub(crate) async fn admit<'a>(
        &self,
        headers: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Claims, Denied> {
        let claims = self.verifier.verify(bearer(headers)?).await?;
        self.require.check(&claims, now_secs())?;
        Ok(claims)
    }
}
