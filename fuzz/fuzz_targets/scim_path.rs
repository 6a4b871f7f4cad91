//! No path panics, and what is read as one is read the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scim::{Projection, SortBy, path::{AttrPath, Path}};

fuzz_target!(|text: &str| {
    let path = Path::parse(text);
    assert_eq!(path, Path::parse(text));
    if let (Ok(path), Some(attr)) = (&path, AttrPath::parse(text.trim())) {
        assert_eq!(path.attr, attr, "{text}");
    }
    let _ = Projection::parse(Some(text), None);
    let _ = SortBy::parse(Some(text), None);
});
