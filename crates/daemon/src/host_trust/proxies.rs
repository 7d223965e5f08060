//! Proxy variables, as processes in the machine must see them.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// The variables that programs agree on, in lower case; each is given in upper case as well.
const PROXIES: [&str; 3] = ["http_proxy", "https_proxy", "all_proxy"];
const EXCEPTIONS: &str = "no_proxy";

/// What never goes through a proxy from inside the machine.
const ALWAYS_DIRECT: [&str; 4] = ["localhost", "127.0.0.1", "::1", HOST_NAME];

/// The name by which the machine reaches this computer.
const HOST_NAME: &str = "host.docker.internal";

/// Picks the proxies out of the variables, those of the process before those of the file, and makes them fit for
/// the machine: this computer's loopback goes by another name there. Empty when there is no proxy.
pub(super) fn for_the_guest(
    variables: &BTreeMap<String, String>,
    file: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    // Lower case first: where both are set, it is what most programs follow.
    let look_up = |name: &str| {
        [variables, file]
            .into_iter()
            .flat_map(|from| [from.get(name), from.get(&name.to_uppercase())])
            .flatten()
            .map(|value| value.trim())
            .find(|value| !value.is_empty())
    };
    let mut proxy = BTreeMap::new();
    let mut set = |name: &str, value: String| {
        proxy.insert(name.to_uppercase(), value.clone());
        proxy.insert(name.to_owned(), value);
    };
    let found: Vec<_> =
        PROXIES.into_iter().filter_map(|name| look_up(name).map(|value| (name, value))).collect();
    if found.is_empty() {
        return proxy;
    }
    for (name, value) in found {
        set(name, reachable_from_guest(value));
    }
    let given = look_up(EXCEPTIONS).unwrap_or_default();
    let mut exceptions: Vec<&str> =
        given.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).collect();
    for direct in ALWAYS_DIRECT {
        if !exceptions.contains(&direct) {
            exceptions.push(direct);
        }
    }
    set(EXCEPTIONS, exceptions.join(","));
    proxy
}

/// Replaces this computer's loopback in a proxy's address by the name it has in the machine.
fn reachable_from_guest(url: &str) -> String {
    let authority_start = url.find("://").map_or(0, |at| at + 3);
    let rest = &url[authority_start..];
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    // The last `@` ends the login: a password may contain others.
    let host_start = rest[..authority_end].rfind('@').map_or(0, |at| at + 1);
    let host_and_port = &rest[host_start..authority_end];
    let host_length = if host_and_port.starts_with('[') {
        host_and_port.find(']').map_or(host_and_port.len(), |at| at + 1)
    } else {
        host_and_port.find(':').unwrap_or(host_and_port.len())
    };
    if !is_loopback(&host_and_port[..host_length]) {
        return url.to_owned();
    }
    let before = &url[..authority_start + host_start];
    let after = &url[authority_start + host_start + host_length..];
    format!("{before}{HOST_NAME}{after}")
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Reads the `NAME=value` lines of a file like `/etc/environment`; quotes and `export` are tolerated.
pub(super) fn parse_environment_file(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| {
            let line = line.trim();
            let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
            let value = value.trim();
            let unquoted = ['"', '\'']
                .iter()
                .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote))
                .unwrap_or(value);
            (!name.starts_with('#')).then(|| (name.trim().to_owned(), unquoted.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_proxy_on_this_computer_is_named_as_the_machine_knows_it() {
        for (here, there) in [
            ("http://localhost:3128", "http://host.docker.internal:3128"),
            ("http://ada:p@ss:w@127.0.0.1:3128/", "http://ada:p@ss:w@host.docker.internal:3128/"),
            ("socks5h://[::1]:1080", "socks5h://host.docker.internal:1080"),
            ("LOCALHOST:8080", "host.docker.internal:8080"),
            ("http://localhost.example.com:3128", "http://localhost.example.com:3128"),
            ("http://10.1.2.3:3128", "http://10.1.2.3:3128"),
            ("http://[fd00::1]:3128", "http://[fd00::1]:3128"),
        ] {
            assert_eq!(reachable_from_guest(here), there);
        }
    }

    #[test]
    fn the_process_wins_over_the_file_and_both_cases_are_given() {
        let process = map(&[
            ("HTTPS_PROXY", "http://a:1"),
            ("no_proxy", "corp.example, 10.0.0.0/8"),
            ("http_proxy", " "),
        ]);
        let file = map(&[("https_proxy", "http://b:2"), ("http_proxy", "http://c:3")]);
        let proxy = for_the_guest(&process, &file);
        assert_eq!(proxy["https_proxy"], "http://a:1");
        assert_eq!(proxy["HTTPS_PROXY"], "http://a:1");
        assert_eq!(proxy["http_proxy"], "http://c:3");
        assert_eq!(proxy["NO_PROXY"], "corp.example,10.0.0.0/8,localhost,127.0.0.1,::1,host.docker.internal");
        assert!(!proxy.contains_key("all_proxy"));
    }

    #[test]
    fn exceptions_without_a_proxy_say_nothing() {
        assert!(for_the_guest(&map(&[("no_proxy", "*")]), &BTreeMap::new()).is_empty());
    }

    #[test]
    fn an_environment_file_is_read_as_login_does() {
        let text = "# comment=1\nPATH=\"/bin\"\nexport http_proxy='http://a:1'\nbroken\nNO_PROXY=x=y\n";
        let read = parse_environment_file(text);
        assert_eq!(read, map(&[("PATH", "/bin"), ("http_proxy", "http://a:1"), ("NO_PROXY", "x=y")]));
    }
}
