//! What a host says about names: `resolv.conf` and `hosts`, and the names to ask for.

use core::net::IpAddr;
use std::time::Duration;

/// As many as other resolvers take.
const SERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const NDOTS_MAX: usize = 15;
const TIMEOUT_SECONDS_MAX: u64 = 30;
const ATTEMPTS_MAX: u32 = 5;

/// What `resolv.conf` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// Address and, of one that is only valid on a link, the link.
    pub(super) servers: Vec<(IpAddr, Option<String>)>,
    searches: Vec<String>,
    /// Dots that a name has at least when it is asked for as it is first.
    ndots: usize,
    /// For the answer of one server.
    pub(super) timeout: Duration,
    /// How often each server is asked.
    pub(super) attempts: u32,
}

impl Settings {
    /// Reads `resolv.conf`; what it does not understand is passed over.
    pub(super) fn parse(text: &str) -> Settings {
        let mut settings = Settings {
            servers: Vec::new(),
            searches: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
        };
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => settings.servers.extend(words.next().and_then(server)),
                Some("search" | "domain") => {
                    let names = words.map(|name| name.trim_matches('.').to_owned());
                    settings.searches = names.filter(|name| !name.is_empty()).take(SEARCHES_MAX).collect();
                }
                Some("options") => words.for_each(|word| settings.option(word)),
                _ => {}
            }
        }
        settings.servers.truncate(SERVERS_MAX);
        if settings.servers.is_empty() {
            settings.servers.push((IpAddr::from([127, 0, 0, 1]), None));
        }
        settings
    }

    fn option(&mut self, word: &str) {
        let Some((name, Ok(number))) = word.split_once(':').map(|(name, n)| (name, n.parse::<u32>())) else {
            return;
        };
        match name {
            "ndots" => self.ndots = (number as usize).min(NDOTS_MAX),
            "timeout" => self.timeout = Duration::from_secs(u64::from(number).clamp(1, TIMEOUT_SECONDS_MAX)),
            "attempts" => self.attempts = number.clamp(1, ATTEMPTS_MAX),
            _ => {}
        }
    }

    /// The full names to ask for, one after the other until one has an address.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(full) = name.strip_suffix('.') {
            return vec![full.to_owned()];
        }
        let mut names: Vec<String> = self.searches.iter().map(|search| format!("{name}.{search}")).collect();
        let is_full = self.ndots <= name.bytes().filter(|byte| *byte == b'.').count();
        names.insert(if is_full { 0 } else { names.len() }, name.to_owned());
        names
    }
}

fn server(text: &str) -> Option<(IpAddr, Option<String>)> {
    let (address, link) = text.split_once('%').map_or((text, None), |(a, link)| (a, Some(link.to_owned())));
    Some((address.parse().ok()?, link))
}

/// The addresses that `hosts` has for a name.
pub(super) fn hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let address = words.next()?;
            words.any(|word| word.eq_ignore_ascii_case(name)).then(|| address.parse().ok())?
        })
        .collect()
}

/// Whether a name means this host, whatever a server says.
pub(super) fn is_local(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Addresses of both families in turn, so that one family that leads nowhere costs one wait.
pub(super) fn alternating(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut unique: Vec<IpAddr> = Vec::new();
    for address in addresses {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    let (sixes, fours): (Vec<IpAddr>, Vec<IpAddr>) = unique.into_iter().partition(IpAddr::is_ipv6);
    let longer = sixes.len().max(fours.len());
    (0..longer).flat_map(|at| [sixes.get(at), fours.get(at)]).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_bounded() {
        let text = "# c\nnameserver 10.0.0.1\nnameserver fe80::1%eth0 ; c\nnameserver x\nsearch a.b. c\n\
            options ndots:5 timeout:99 attempts:0 rotate\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n";
        let settings = Settings::parse(text);
        assert_eq!(settings.servers.len(), 3);
        assert_eq!(settings.servers[1], ("fe80::1".parse().unwrap(), Some("eth0".to_owned())));
        assert_eq!(settings.searches, ["a.b", "c"]);
        assert_eq!((settings.ndots, settings.timeout, settings.attempts), (5, Duration::from_secs(30), 1));
        assert_eq!(Settings::parse("").servers, [("127.0.0.1".parse().unwrap(), None)]);
    }

    #[test]
    fn names_are_asked_for_in_the_order_of_their_dots() {
        let settings = Settings::parse("search a b\noptions ndots:2");
        assert_eq!(settings.candidates("x.y"), ["x.y.a", "x.y.b", "x.y"]);
        assert_eq!(settings.candidates("x.y.z"), ["x.y.z", "x.y.z.a", "x.y.z.b"]);
        assert_eq!(settings.candidates("x."), ["x"]);
    }

    #[test]
    fn hosts_have_names_in_any_case_and_families_take_turns() {
        let text = "127.0.0.1 localhost\n10.0.0.1 one One.Example # two\n::1 two one\nx one\n10.0.0.2 one\n";
        let found = hosts(text, "ONE");
        assert_eq!(found, ["10.0.0.1", "::1", "10.0.0.2"].map(|a| a.parse::<IpAddr>().unwrap()));
        let turns = alternating([found.clone(), found].concat());
        assert_eq!(turns, ["::1", "10.0.0.1", "10.0.0.2"].map(|a| a.parse::<IpAddr>().unwrap()));
        assert!(is_local("LocalHost.") && is_local("a.localhost") && !is_local("notlocalhost"));
    }
}
