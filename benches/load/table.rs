//! What is printed: each figure with its limit, the best peer's and our aim beside it.

/// One line, as soon as it is known.
pub fn row(what: &str, ours: &str, limit: &str, peer: &str, aim: &str) {
    println!("{what:<38} | {ours:<74} | {limit:<38} | {peer:<22} | {aim}");
}

pub fn head(stage: &str) {
    println!();
    row(stage, "ours", "limit", "best peer", "aim");
    println!("{}", "-".repeat(200));
}
