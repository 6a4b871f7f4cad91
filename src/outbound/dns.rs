//! TXT records, for the proof that a domain is an org's. One question to the machine's name servers
//! (RFC 1035 4), over UDP and, when the answer is cut, TCP. An answer is held to its question:
//! same server, same random id, same name; every length in it is checked.

use super::OutboundError;
use model::Chance;
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

/// Three of these fit into the outbound limit of 5 s.
const SERVER_WAIT: Duration = Duration::from_millis(1_600);
const SERVERS_MAX: usize = 3;
/// A lone server is asked again: UDP may lose a question.
const QUESTIONS: usize = 3;
/// A busy apex has some 40 TXT records.
const RECORDS_MAX: usize = 200;
const TYPE_TXT: u16 = 16;
const CLASS_IN: u16 = 1;
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// The machine's name servers, from /etc/resolv.conf; its own when that names none.
pub(super) fn name_servers() -> Vec<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let named = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        if words.next() != Some("nameserver") {
            return None;
        }
        words.next()?.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 53))
    });
    let mut servers: Vec<_> = named.take(SERVERS_MAX).collect();
    if servers.is_empty() {
        servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53));
    }
    servers
}

/// Asks one server after the other, and again, until one answers.
pub(super) async fn txt(
    name: &str,
    servers: &[SocketAddr],
    chance: &dyn Chance,
) -> Result<Vec<String>, OutboundError> {
    let mut last = OutboundError::Unresolved(name.chars().take(NAME_BYTES_MAX).collect());
    for server in servers.iter().take(SERVERS_MAX).cycle().take(QUESTIONS) {
        let mut id = [0; 2];
        chance.fill(&mut id);
        let query = question(name, id).ok_or(OutboundError::BadUrl("not a domain name"))?;
        match timeout(SERVER_WAIT, ask(*server, &query)).await {
            Ok(Ok(answer)) => match read(&answer, &query) {
                Some(Reading::Texts(texts)) => return Ok(texts),
                Some(Reading::NoSuchName) => return Ok(Vec::new()),
                Some(Reading::Refused(code)) => {
                    let why = format!("the name server did not answer for {name} (code {code})");
                    last = OutboundError::Failed(why);
                }
                Some(Reading::Cut) | None => {}
            },
            Ok(Err(why)) => last = super::failed(&why),
            Err(_) => last = OutboundError::Late(SERVER_WAIT.as_secs()),
        }
    }
    Err(last)
}

/// A query for one name, or nothing when it is not one.
fn question(name: &str, id: [u8; 2]) -> Option<Vec<u8>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return None;
    }
    // Recursion desired, one question.
    let mut query = vec![id[0], id[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let length = u8::try_from(label.len()).ok()?;
        if label.is_empty() || label.len() > LABEL_BYTES_MAX || !plain {
            return None;
        }
        query.push(length);
        query.extend(label.bytes().map(|b| b.to_ascii_lowercase()));
    }
    query.push(0);
    query.extend(TYPE_TXT.to_be_bytes());
    query.extend(CLASS_IN.to_be_bytes());
    Some(query)
}

async fn ask(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    // Connected: the system drops what comes from anywhere else.
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; 4_096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let answer = buffer.get(..length).unwrap_or_default();
        match read(answer, query) {
            Some(Reading::Cut) => return ask_again(server, query).await,
            Some(_) => return Ok(answer.to_vec()),
            // Not an answer to this question: a forgery, or a late one. Wait on.
            None => {}
        }
    }
}

async fn ask_again(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), query].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

#[derive(Debug, PartialEq, Eq)]
enum Reading {
    Texts(Vec<String>),
    NoSuchName,
    /// Truncated: to be asked again over TCP.
    Cut,
    /// By its RCODE: 2 is SERVFAIL (a broken zone or DNSSEC), 5 REFUSED.
    Refused(u8),
}

/// Reads an answer; `None` when it does not answer this query.
fn read(answer: &[u8], query: &[u8]) -> Option<Reading> {
    let (header, rest) = answer.split_at_checked(12)?;
    let flags = (*header.get(2)?, *header.get(3)?);
    let asked = query.get(12..)?;
    let echoed = rest.get(..asked.len())?;
    if header.get(..2)? != query.get(..2)? || flags.0 & 0x80 == 0 || !echoed.eq_ignore_ascii_case(asked) {
        return None;
    }
    if flags.0 & 0x02 != 0 {
        return Some(Reading::Cut);
    }
    match flags.1 & 0x0f {
        0 => {}
        3 => return Some(Reading::NoSuchName),
        code => return Some(Reading::Refused(code)),
    }
    let count = usize::from(u16::from_be_bytes([*header.get(6)?, *header.get(7)?]));
    let mut records = rest.get(asked.len()..)?;
    let mut texts = Vec::new();
    for _ in 0..count.min(RECORDS_MAX) {
        records = past_name(records)?;
        let (fixed, after) = records.split_at_checked(10)?;
        let word = |at: usize| Some(u16::from_be_bytes([*fixed.get(at)?, *fixed.get(at + 1)?]));
        let (data, after) = after.split_at_checked(usize::from(word(8)?))?;
        if (word(0)?, word(2)?) == (TYPE_TXT, CLASS_IN) {
            texts.push(joined(data)?);
        }
        records = after;
    }
    Some(Reading::Texts(texts))
}

/// Skips a name: labels up to a zero, or up to a pointer, which is never followed.
fn past_name(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let (length, rest) = bytes.split_first()?;
        match *length {
            0 => return Some(rest),
            1..=63 => bytes = rest.get(usize::from(*length)..)?,
            192.. => return rest.get(1..),
            64..=191 => return None,
        }
    }
}

/// A TXT record's strings as one (RFC 7208 3.3).
fn joined(mut data: &[u8]) -> Option<String> {
    let mut text = Vec::new();
    while let Some((length, rest)) = data.split_first() {
        let (part, after) = rest.split_at_checked(usize::from(*length))?;
        text.extend_from_slice(part);
        data = after;
    }
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seams::SystemChance;

    /// An answer with one TXT record of these strings, after an alias.
    fn answer(query: &[u8], flags: [u8; 2], strings: &[&str]) -> Vec<u8> {
        let mut bytes = query.to_vec();
        bytes[2..4].copy_from_slice(&flags);
        bytes[7] = 2;
        bytes.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, 12]);
        let data: Vec<u8> = strings.iter().flat_map(|s| [&[s.len() as u8], s.as_bytes()].concat()).collect();
        bytes.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60]);
        bytes.extend((data.len() as u16).to_be_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn reads_its_own_answer_and_no_other() {
        let query = question("_vestibule.example.com", [7, 9]).unwrap();
        let good = answer(&query, [0x81, 0x80], &["vestibule-", "proof=abc"]);
        assert_eq!(read(&good, &query), Some(Reading::Texts(vec!["vestibule-proof=abc".into()])));
        assert_eq!(read(&good, &question("_vestibule.example.com", [7, 8]).unwrap()), None, "another id");
        assert_eq!(read(&good, &question("_vestibule.example.org", [7, 9]).unwrap()), None, "another name");
        assert_eq!(read(&query, &query), None, "a question is no answer");
        assert_eq!(read(&answer(&query, [0x83, 0x80], &[]), &query), Some(Reading::Cut));
        assert_eq!(read(&answer(&query, [0x81, 0x83], &[]), &query), Some(Reading::NoSuchName));
        assert_eq!(read(&answer(&query, [0x81, 0x82], &[]), &query), Some(Reading::Refused(2)));
        for length in 0..good.len() {
            assert_eq!(read(&good[..length], &query), None, "cut at {length}");
        }
    }

    #[test]
    fn only_a_domain_name_is_asked_for() {
        let longest = format!("{}.{}", "a".repeat(63), ["b".repeat(62).as_str(); 3].join("."));
        assert_eq!(longest.len(), 252);
        assert!(question(&longest, [0; 2]).is_some());
        assert!(question(&format!("{longest}cc"), [0; 2]).is_none());
        assert!(question(&"a".repeat(64), [0; 2]).is_none());
        for bad in ["", ".", "a..b", "a b", "ü.de", "a\0b"] {
            assert!(question(bad, [0; 2]).is_none(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn passes_over_a_forgery_and_goes_to_tcp_when_cut() {
        // One port for both: another test may have one of the two.
        let (udp, tcp) = loop {
            let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let server = udp.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let mut query = vec![0; 512];
            let (length, peer) = udp.recv_from(&mut query).await.unwrap();
            query.truncate(length);
            let mut forged = query.clone();
            forged[0] ^= 1;
            udp.send_to(&answer(&forged, [0x81, 0x80], &["forged"]), peer).await.unwrap();
            udp.send_to(&answer(&query, [0x83, 0x80], &[]), peer).await.unwrap();
            let (mut stream, _) = tcp.accept().await.unwrap();
            stream.read_exact(&mut vec![0; length + 2]).await.unwrap();
            let long = answer(&query, [0x81, 0x80], &["from tcp"]);
            stream.write_all(&[&(long.len() as u16).to_be_bytes(), &long[..]].concat()).await.unwrap();
        });
        assert_eq!(txt("example.com", &[server], &SystemChance).await, Ok(vec!["from tcp".into()]));
        serving.await.unwrap();
    }
}
