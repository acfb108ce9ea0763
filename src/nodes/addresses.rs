//! Which addresses of the network a diagram may reach. Pure: names are looked up by whoever connects,
//! who asks again with the address that came out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use super::fields::Fields;
use super::rights::Rights;
use crate::diagram::Diagnostic;
use crate::error::Error;

/// Blocks of IPv4 that are no public unicast addresses (the special-purpose registry of IANA): first
/// address and length of the prefix.
const SPECIAL_V4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Names that mean this machine or its cloud's metadata, whatever a name server says.
const LOCAL_NAMES: [&str; 3] = ["localhost", "local", "internal"];

/// Whether `address` is one that everybody on the internet may reach: not loopback, link-local, private,
/// shared, multicast or reserved, also when it hides inside an IPv6 address.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(it) => is_public_v4(it),
        IpAddr::V6(it) => is_public_v6(it),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    !SPECIAL_V4.iter().any(|(first, prefix)| (bits ^ first.to_bits()) >> (32 - prefix) == 0)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let v4_at = |n: usize| {
        let [a, b] = segments[n].to_be_bytes();
        let [c, d] = segments[n + 1].to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        // IPv4-mapped, and the NAT64 prefix that stands for all of IPv4.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => is_public_v4(v4_at(6)),
        // 6to4 carries the IPv4 address of its router.
        [0x2002, ..] => is_public_v4(v4_at(1)),
        // Protocol assignments (Teredo and others) and documentation.
        [0x2001, second, ..] => second > 0x01ff && second != 0x0db8,
        [0x3fff, second, ..] => second > 0x0fff,
        // Of the rest only global unicast is given out: 2000::/3.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// Checks the host of `url` as far as it can be told without a name server. Odd spellings such as
/// `0x7f.1` were read as addresses when the URL was parsed.
///
/// # Errors
///
/// `HOST_NOT_ALLOWED`.
pub fn check_host(url: &Url, rights: &Rights) -> Result<(), Error> {
    if rights.private_network {
        return Ok(());
    }
    let is_refused = match url.host() {
        Some(Host::Ipv4(it)) => !is_public_v4(it),
        Some(Host::Ipv6(it)) => !is_public_v6(it),
        Some(Host::Domain(name)) => is_local_name(name),
        None => true,
    };
    if is_refused { Err(refused(url.host_str().unwrap_or_default(), rights)) } else { Ok(()) }
}

/// The refusal of `host`, naming what would allow it.
pub fn refused(host: &str, rights: &Rights) -> Error {
    let shown: String = host.chars().take(100).collect();
    let message = format!("`{shown}` is not an address that a {} diagram may reach", rights.origin.name());
    Error::refused("HOST_NOT_ALLOWED", message)
        .hint("it may reach public addresses only; a person can allow more with `dipeo trust NAME`")
}

fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    let last = name.rsplit('.').next().unwrap_or_default();
    last.is_empty() || LOCAL_NAMES.iter().any(|it| last.eq_ignore_ascii_case(it))
}

/// Checks an address in field `key` as far as its text is the same in every run: E403 when it is no web
/// address, E703 when the diagram may not reach it. `text` may hold templates and references.
pub fn check_field(fields: &mut Fields<'_>, key: &'static str, text: &str) {
    let Some(fixed) = fixed_part(text) else { return };
    let hint = "write it as `https://host/path`";
    let url = match Url::parse(fixed) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => url,
        Ok(url) => {
            fields.problem("E403", key, format!("`{}:` addresses cannot be called", url.scheme()), hint);
            return;
        }
        Err(problem) => {
            fields.problem("E403", key, format!("`{fixed}` is no web address: {problem}"), hint);
            return;
        }
    };
    if let Err(refusal) = check_host(&url, fields.context().surroundings.rights()) {
        let span = fields.node().field(key).map_or(fields.node().span, |it| it.span);
        let hint = refusal.hint_text().unwrap_or_default();
        fields.report(Diagnostic::new("E703", span, refusal.message()).field(key).hint(hint));
    }
}

/// The beginning of `text` that no template can change, when the whole host is in it.
fn fixed_part(text: &str) -> Option<&str> {
    let text = text.trim();
    let end = [text.find("{{"), text.find("${")].into_iter().flatten().min();
    let Some(end) = end else { return Some(text) };
    let fixed = &text[..end];
    let after_scheme = fixed.find("://")? + 3;
    fixed[after_scheme..].contains(['/', '?', '#']).then_some(fixed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nodes::rights::Origin;

    #[test]
    fn only_public_unicast_addresses_are_public() {
        for (address, expected) in [
            ("8.8.8.8", true),
            ("1.1.1.1", true),
            ("172.32.0.1", true),
            ("100.128.0.1", true),
            ("0.0.0.0", false),
            ("10.1.2.3", false),
            ("100.64.0.1", false),
            ("127.0.0.1", false),
            ("127.255.255.254", false),
            ("169.254.169.254", false),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("192.168.1.1", false),
            ("198.19.0.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("2606:4700:4700::1111", true),
            ("::ffff:8.8.8.8", true),
            ("64:ff9b::808:808", true),
            ("2002:808:808::1", true),
            ("::", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:169.254.169.254", false),
            ("::127.0.0.1", false),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b:1::1", false),
            ("2002:7f00:1::1", false),
            ("2001::1", false),
            ("2001:db8::1", false),
            ("fc00::1", false),
            ("fd00:ec2::254", false),
            ("fe80::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(is_public(address.parse().expect(address)), expected, "{address}");
        }
    }

    #[test]
    fn odd_spellings_of_local_addresses_are_seen_through() {
        let narrow = Rights::of(Origin::Submitted, true, false);
        for (url, expected) in [
            ("http://example.com/", true),
            ("https://8.8.8.8:8443/x", true),
            ("http://127.1/", false),
            ("http://0x7f.1/", false),
            ("http://2130706433/", false),
            ("http://0177.0.0.1/", false),
            ("http://127.0.0.1./", false),
            ("http://１２７.０.０.１/", false),
            ("http://[::ffff:127.0.0.1]/", false),
            ("http://[0:0:0:0:0:ffff:7f00:1]/", false),
            ("http://user:pw@127.0.0.1/", false),
            ("http://LOCALHOST/", false),
            ("http://a.localhost./", false),
            ("http://metadata.google.internal/", false),
            ("http://printer.local/", false),
        ] {
            let parsed = Url::parse(url).expect(url);
            assert_eq!(check_host(&parsed, &narrow).is_ok(), expected, "{url}");
            let whole = Rights::of(Origin::Local, true, false);
            assert!(check_host(&parsed, &whole).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_template_leaves_the_host_checked_when_it_stands_behind_it() {
        for (text, expected) in [
            ("http://127.0.0.1/a", Some("http://127.0.0.1/a")),
            (" http://a/{{x}}", Some("http://a/")),
            ("http://a?{{x}}", Some("http://a?")),
            ("http://a/${secret:X}", Some("http://a/")),
            ("http://a{{x}}/", None),
            ("{{base}}/x", None),
            ("{{scheme}}://127.0.0.1/", None),
        ] {
            assert_eq!(fixed_part(text), expected, "{text}");
        }
    }
}
