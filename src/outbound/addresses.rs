//! Which addresses may be called: those the IANA special-purpose registries (RFC 6890 and after)
//! call globally reachable, less every form that carries another address inside it (mapped,
//! 6to4, Teredo, NAT64, ISATAP) and the cloud addresses that speak only to their own machines.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// May a connection be made to this address?
pub(super) fn judge(ip: IpAddr, allow_loopback: bool) -> bool {
    match ip {
        IpAddr::V4(ip) if ip.is_loopback() => allow_loopback,
        IpAddr::V6(ip) if ip.is_loopback() => allow_loopback,
        IpAddr::V4(ip) => public_v4(ip),
        IpAddr::V6(ip) => public_v6(ip),
    }
}

/// Base address and prefix length of what is not the public internet.
const CLOSED_V4: [([u8; 4], u32); 16] = [
    ([0, 0, 0, 0], 8),        // this network: Linux connects it to itself
    ([10, 0, 0, 0], 8),       // private
    ([100, 64, 0, 0], 10),    // shared by carriers; Alibaba's metadata
    ([127, 0, 0, 0], 8),      // loopback
    ([168, 63, 129, 16], 32), // Azure's host, public in form alone
    ([169, 254, 0, 0], 16),   // link-local; the clouds' metadata
    ([172, 16, 0, 0], 12),    // private
    ([192, 0, 0, 0], 24),     // protocol assignments; Oracle's metadata
    ([192, 0, 2, 0], 24),     // documentation
    ([192, 88, 99, 0], 24),   // 6to4 relays
    ([192, 168, 0, 0], 16),   // private
    ([198, 18, 0, 0], 15),    // benchmarks
    ([198, 51, 100, 0], 24),  // documentation
    ([203, 0, 113, 0], 24),   // documentation
    ([224, 0, 0, 0], 4),      // multicast
    ([240, 0, 0, 0], 4),      // reserved and broadcast
];

fn public_v4(ip: Ipv4Addr) -> bool {
    let bits = ip.to_bits();
    !CLOSED_V4.iter().any(|(base, length)| {
        let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
        bits & mask == Ipv4Addr::from(*base).to_bits()
    })
}

fn public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, _, _, e, f, _, _] = ip.segments();
    // Only 2000::/3 is given out as global unicast: mapped, compatible, NAT64 (64:ff9b), unique
    // local, link-local, site-local and multicast addresses all lie outside it.
    let global = a & 0xe000 == 0x2000;
    let assignments = a == 0x2001 && b < 0x0200; // Teredo, ORCHID, benchmarks
    let documentation = (a == 0x2001 && b == 0x0db8) || (a == 0x3fff && b < 0x1000);
    let six_to_four = a == 0x2002;
    let isatap = e & 0xfdff == 0 && f == 0x5efe;
    global && !assignments && !documentation && !six_to_four && !isatap
}
