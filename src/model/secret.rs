//! Values that must not be seen: `Secret` prints as `[secret]` and is wiped on drop;
//! `TokenDigest` is the only stored form of a 256-bit random token (argon2 is for human
//! passwords alone: there is nothing to guess here).

use aws_lc_rs::{constant_time, digest};
use std::fmt;
use zeroize::Zeroize;

/// Something that never prints, never serialises, and is zeroed on drop.
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    pub const fn new(value: T) -> Self {
        Self(value)
    }
    /// The value itself; each call is a place to look at in review.
    pub const fn reveal(&self) -> &T {
        &self.0
    }
}
impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
impl<T: Zeroize + Clone> Clone for Secret<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
impl<T: Zeroize + PartialEq> PartialEq for Secret<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// SHA-256 of a bearer token's text.
#[derive(Clone, Copy)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    pub fn of(token: &str) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        Self(out)
    }
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}
impl PartialEq for TokenDigest {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}
impl Eq for TokenDigest {}
impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[digest]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints() {
        let s = Secret::new(String::from("hunter2"));
        assert_eq!(format!("{s:?}"), "[secret]");
        assert_eq!(format!("{:?}", TokenDigest::of("hunter2")), "[digest]");
    }
}
