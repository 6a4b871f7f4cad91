//! The place after the mint: the sign-in has committed, its session is on the way to Redis, and a
//! revocation overtakes it on another node. Whatever arrives when, the session is dead in Redis too.

use crate::{
    house::{Site, house},
    mint_pauses::{Out, Revoker, Story, dead, person, ready},
};
use broker::inspect::BrowserSession;
use idp_fixtures::Browser;
use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use store::live::Seen;

/// Stands between a node and Redis, and can hold back what puts a session there.
struct Strait {
    url: String,
    shut: Arc<AtomicBool>,
    held: Arc<AtomicBool>,
}

impl Strait {
    fn before(redis_url: &str) -> Self {
        let redis = redis_url.strip_prefix("unix://").unwrap().to_owned();
        let path = std::env::temp_dir().join(format!("vst-strait-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let (shut, held) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (gate, note) = (shut.clone(), held.clone());
        std::thread::spawn(move || {
            for inward in listener.incoming().flatten() {
                let outward = UnixStream::connect(&redis).unwrap();
                let (mut from, mut to) = (outward.try_clone().unwrap(), inward.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                let (gate, note) = (gate.clone(), note.clone());
                std::thread::spawn(move || carry(inward, outward, &gate, &note));
            }
        });
        Self { url: format!("unix://{}", path.display()), shut, held }
    }
}

fn carry(mut from: UnixStream, mut to: UnixStream, shut: &AtomicBool, held: &AtomicBool) {
    let mut bytes = [0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        let puts = bytes[..read].windows(5).any(|word| word == b"HMSET");
        while puts && shut.load(Ordering::SeqCst) {
            held.store(true, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(2));
        }
        if to.write_all(&bytes[..read]).is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_session_that_reaches_redis_after_its_revocation_is_dead_there() {
    let house = house();
    let site = Site::named("test");
    let urls = std::fs::read_to_string(site.data.join("embedded.urls")).unwrap();
    let strait = Strait::before(urls.lines().nth(1).unwrap());
    let node =
        Site { redis_url: Some(strait.url.clone()), public_url: Some(house.base.clone()), ..site }.open();
    let tenant = house.tenant().await;
    let user = person(house, &tenant, true).await;
    let mut ready = ready(house, &tenant, Story::SignIn).await;
    // The provider's answer goes to the other node, with the cookie that the first one set.
    for cookie in ready.door.browser.cookies(&house.base) {
        ready.door.browser.set_cookie(&node.base, &format!("{}={}; Path=/", cookie.name, cookie.value));
    }
    ready.door.acs = ready.door.acs.replace(&house.base, &node.base);
    strait.shut.store(true, Ordering::SeqCst);
    let (out, ()) = tokio::join!(ready.go(house, &tenant), async {
        while !strait.held.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Revoker::Directory.act(house, &tenant, user).await;
        strait.shut.store(false, Ordering::SeqCst);
    });
    let given = out.browser.cookies(&node.base);
    let session = given.iter().find(|c| c.name.starts_with("vst_session_")).expect("the sign-in was first");
    let mut browser = Browser::new().unwrap();
    browser.set_cookie(&house.base, &format!("{}={}; Path=/", session.name, session.value));
    // The late put has arrived when a question sent after it on its own connection is answered.
    let asked = BrowserSession::read(&session.value).unwrap();
    let (scope, live) = (node.visitor(&tenant).await, node.gw.live.clone().unwrap());
    let start = Instant::now();
    let arrived = async move {
        while live.session(&scope, &asked.digest).await == Seen::Unknown {
            assert!(start.elapsed() < Duration::from_secs(5), "the put never arrived");
        }
    };
    node.on(arrived).await;
    dead(house, &tenant, Out { browser, ..out }, "put after the watermark").await;
}
