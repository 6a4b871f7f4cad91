use super::*;
use crate::seams::SystemChance;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// One host form a line; `#` lines say what the next ones are.
const DENIED_HOSTS: &str = include_str!("denied_hosts.txt");
const OPEN_HOSTS: &[&str] = &[
    "8.8.8.8",
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.3.0",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "198.51.101.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "134744072",
    "0x08080808",
    "[2606:4700::1111]",
    "[2001:200::1]",
    "[2001:4860:4860::8888]",
    "[2003::1]",
    "[2a00:1450::1]",
    "[2001:db7:ffff::1]",
    "[2001:db9::1]",
    "[3fff:1000::1]",
    "login.example.com",
    "localhost.example.com",
    "notlocalhost",
];

fn denied_hosts() -> impl Iterator<Item = &'static str> {
    DENIED_HOSTS.lines().filter(|line| !line.starts_with('#'))
}

#[test]
fn no_form_of_an_inner_address_may_be_called() {
    assert!(denied_hosts().count() >= 150);
    for host in denied_hosts() {
        let refused = callable(&format!("https://{host}/"), false);
        assert!(refused.is_err(), "{host} would be called as {refused:?}");
    }
    for host in OPEN_HOSTS {
        assert!(callable(&format!("https://{host}/"), false).is_ok(), "{host}");
    }
}

#[test]
fn allowing_loopback_adds_loopback_and_nothing_else() {
    let added = ["[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::0001]"];
    for host in denied_hosts() {
        if let Ok(url) = callable(&format!("https://{host}/"), true) {
            let host = url.host_str().unwrap();
            assert!(host.starts_with("127.") || is_localhost(host) || added.contains(&host), "{host}");
        }
    }
    for open in ["http://127.0.0.1:8080/", "http://[::1]/", "http://localhost:1", "http://okta.localhost/"] {
        assert!(callable(open, true).is_ok(), "{open}");
        assert!(callable(open, false).is_err(), "{open}");
    }
    for closed in ["http://example.com/", "http://8.8.8.8/", "ftp://localhost/", "file:///etc/passwd"] {
        assert!(callable(closed, true).is_err(), "{closed}");
    }
}

#[test]
fn a_url_is_bounded_and_carries_no_user() {
    let long = |n: usize| format!("https://a.com/{}", "x".repeat(n - "https://a.com/".len()));
    assert!(callable(&long(URL_BYTES_MAX), false).is_ok());
    assert_eq!(callable(&long(URL_BYTES_MAX + 1), false), Err(OutboundError::BadUrl("too long")));
    assert!(callable("https://u@a.com/", false).is_err());
    assert_eq!(callable("https://a.com/#x", false).unwrap().as_str(), "https://a.com/");
}

fn sockets(allow_loopback: bool, bounds: Bounds, found: &'static [&'static str]) -> Sockets {
    let lookup: Lookup = Arc::new(move |_| {
        Box::pin(async move { Ok(found.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>()) })
    });
    Sockets::with(allow_loopback, Arc::new(SystemChance), bounds, lookup).unwrap()
}

async fn get(sockets: &Sockets, url: &str) -> Result<Answer, OutboundError> {
    (sockets as &dyn Outbound).get(url).await
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused_whatever_it_is_called() {
    let rebinding: [&'static [&'static str]; 5] = [
        &["127.0.0.1"],
        &["169.254.169.254"],
        &["::ffff:10.0.0.1"],
        &["64:ff9b::7f00:1"],
        &["10.0.0.1", "::1"],
    ];
    for found in rebinding {
        let told = get(&sockets(false, BOUNDS, found), "https://idp.example.com/").await.unwrap_err();
        assert_eq!(told, OutboundError::Denied("idp.example.com".into()), "{found:?}");
        assert_eq!(told.code(), "outbound.address_denied");
    }
    let none = get(&sockets(false, BOUNDS, &[]), "https://idp.example.com/").await.unwrap_err();
    assert_eq!(none.code(), "outbound.unresolved");
}

/// Answers each connection with these bytes, and gives back what was asked.
async fn serve(answer: Vec<u8>) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 4_096];
        let length = stream.read(&mut asked).await.unwrap();
        // The client hangs up on what is too large.
        let _ = stream.write_all(&answer).await;
        String::from_utf8_lossy(&asked[..length]).into_owned()
    });
    (address, serving)
}

fn ok_with(body: usize) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"a\"\r\n\r\n".as_slice(), &vec![b'x'; body]].concat()
}

#[tokio::test]
async fn connects_to_the_address_that_was_judged() {
    let (address, serving) = serve(ok_with(3)).await;
    // The name is in no name service: only the judged address can have led there.
    let client = sockets(true, BOUNDS, &["127.0.0.1"]);
    let told = get(&client, &format!("https://idp.invalid:{}/", address.port())).await;
    assert!(matches!(told, Err(OutboundError::Failed(_))), "reached, and not TLS: {told:?}");
    assert!(serving.await.unwrap().as_bytes().starts_with("\u{16}\u{3}".as_bytes()), "a TLS hello");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let moved = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n";
    let (address, _serving) = serve(moved.to_vec()).await;
    let answer = get(&sockets(true, BOUNDS, &[]), &format!("http://{address}/")).await.unwrap();
    assert_eq!((answer.status, answer.header("location")), (302, Some("http://169.254.169.254/")));
}

#[tokio::test]
async fn the_body_is_bounded_and_the_time_too() {
    let bounds = Bounds { total: Duration::from_millis(300), body_bytes_max: 10_000 };
    let client = sockets(true, bounds, &[]);
    let (address, _serving) = serve(ok_with(10_000)).await;
    let answer = get(&client, &format!("http://{address}/")).await.unwrap();
    assert_eq!((answer.body.len(), answer.header("etag")), (10_000, Some("\"a\"")));
    let (address, _serving) = serve(ok_with(10_001)).await;
    let large = get(&client, &format!("http://{address}/")).await.unwrap_err();
    assert_eq!(large, OutboundError::TooLarge(10_000));
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let late = get(&client, &format!("http://{}/", silent.local_addr().unwrap())).await.unwrap_err();
    assert_eq!(late.code(), "outbound.timeout");
}

#[tokio::test]
async fn a_form_and_a_json_text_arrive_as_given_and_print_nothing() {
    let client = sockets(true, BOUNDS, &[]);
    let (address, serving) = serve(ok_with(0)).await;
    let url = format!("http://localhost:{}/t?secret=hunter2", address.port());
    let form = Request::post_form(&url, &[("code", "a b&c"), ("client_secret", "hunter2")]);
    assert!(!format!("{form:?}").contains("hunter2"));
    (&client as &dyn Outbound)
        .post_form(&url, &[("code", "a b&c")], &[("authorization", "Basic eA==")])
        .await
        .unwrap();
    let asked = serving.await.unwrap();
    assert!(asked.ends_with("\r\n\r\ncode=a+b%26c"), "{asked}");
    assert!(asked.contains("authorization: Basic eA=="));
    let (address, serving) = serve(ok_with(0)).await;
    let body = b"{ \"kept\" : 1 }".to_vec();
    let headers = [("Content-Type", "application/secevent+jwt")];
    let url = format!("http://{address}/");
    (&client as &dyn Outbound).post_json(&url, body, &headers).await.unwrap();
    let asked = serving.await.unwrap();
    assert!(asked.ends_with("\r\n\r\n{ \"kept\" : 1 }"), "{asked}");
    assert!(asked.contains("application/secevent+jwt") && !asked.contains("application/json"));
}
