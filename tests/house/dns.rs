//! A name server of the tests' own, over UDP and TCP, that answers for each name as it is told;
//! of a name that nobody told it of it says NXDOMAIN.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::{Arc, Mutex},
    thread,
};

#[derive(Clone, Debug)]
pub enum Zone {
    /// TXT records, each of one or more strings.
    Texts(Vec<Vec<String>>),
    /// The same at the end of an alias.
    Alias(Vec<Vec<String>>),
    /// Too much for UDP: cut there, whole over TCP.
    Cut(Vec<Vec<String>>),
    /// The name exists and has no TXT record.
    Nothing,
    Silent,
    Refused(u8),
    /// First an answer to another question, then this one's.
    AfterForgery(Vec<Vec<String>>),
}

pub struct Dns {
    pub address: SocketAddr,
    zones: Arc<Mutex<BTreeMap<String, Zone>>>,
}

impl Dns {
    pub fn start() -> Self {
        // The port must be free for both; where it is not, another is tried.
        let (udp, tcp) = (0..100)
            .find_map(|_| {
                let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
                TcpListener::bind(udp.local_addr().unwrap()).ok().map(|tcp| (udp, tcp))
            })
            .expect("a port for UDP and TCP");
        let address = udp.local_addr().unwrap();
        let zones: Arc<Mutex<BTreeMap<String, Zone>>> = Arc::default();
        let (by_udp, by_tcp) = (zones.clone(), zones.clone());
        thread::spawn(move || {
            let mut buffer = [0; 1_024];
            while let Ok((length, peer)) = udp.recv_from(&mut buffer) {
                let query = &buffer[..length];
                let zone = zone_of(&by_udp, query);
                if let Some(Zone::AfterForgery(_)) = zone {
                    let mut other = query.to_vec();
                    other[0] ^= 1;
                    udp.send_to(&answer(&other, &Some(Zone::Texts(vec![vec!["forged".into()]]))), peer)
                        .unwrap();
                }
                let said = match zone {
                    Some(Zone::Silent) => continue,
                    Some(Zone::Cut(_)) => head(query, 0x83, 0x80, 0),
                    other => answer(query, &other),
                };
                udp.send_to(&said, peer).unwrap();
            }
        });
        thread::spawn(move || {
            for stream in tcp.incoming() {
                let mut stream = stream.unwrap();
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut query).unwrap();
                let said = answer(&query, &zone_of(&by_tcp, &query));
                let length = u16::try_from(said.len()).unwrap().to_be_bytes();
                stream.write_all(&[&length[..], &said].concat()).unwrap();
            }
        });
        Self { address, zones }
    }

    pub fn tell(&self, name: &str, zone: Zone) {
        self.zones.lock().unwrap().insert(name.to_owned(), zone);
    }
}

fn zone_of(zones: &Mutex<BTreeMap<String, Zone>>, query: &[u8]) -> Option<Zone> {
    let (mut labels, mut at) = (Vec::new(), 12);
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8(query[at + 1..end].to_vec()).unwrap());
        at = end;
    }
    zones.lock().unwrap().get(&labels.join(".")).cloned()
}

fn head(query: &[u8], flags: u8, code: u8, records: usize) -> Vec<u8> {
    let mut bytes = query.to_vec();
    (bytes[2], bytes[3], bytes[7]) = (flags, code, u8::try_from(records).unwrap());
    bytes
}

fn answer(query: &[u8], zone: &Option<Zone>) -> Vec<u8> {
    let (texts, alias) = match zone {
        None => return head(query, 0x81, 0x83, 0),
        Some(Zone::Refused(code)) => return head(query, 0x81, 0x80 | code, 0),
        Some(Zone::Nothing | Zone::Silent) => (&Vec::new(), false),
        Some(Zone::Texts(texts) | Zone::Cut(texts) | Zone::AfterForgery(texts)) => (texts, false),
        Some(Zone::Alias(texts)) => (texts, true),
    };
    let mut bytes = head(query, 0x81, 0x80, texts.len() + usize::from(alias));
    if alias {
        // To the name "target", which then stands at the end of the CNAME's data.
        bytes.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 8, 6]);
        bytes.extend(b"target\0");
    }
    for strings in texts {
        let data: Vec<u8> =
            strings.iter().flat_map(|s| [&[u8::try_from(s.len()).unwrap()], s.as_bytes()].concat()).collect();
        bytes.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60]);
        bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend(data);
    }
    bytes
}
