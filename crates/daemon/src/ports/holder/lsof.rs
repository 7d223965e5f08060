//! From `lsof`, which every Mac has.

use super::Holder;

#[cfg(target_os = "macos")]
pub(super) fn of(port: u16, transport: api::Transport) -> Option<Holder> {
    let mut lsof = std::process::Command::new("/usr/sbin/lsof");
    match transport {
        api::Transport::Tcp => lsof.args(["-nP", &format!("-iTCP:{port}"), "-sTCP:LISTEN", "-Fpc"]),
        api::Transport::Udp => lsof.args(["-nP", &format!("-iUDP:{port}"), "-Fpc"]),
    };
    first(&String::from_utf8_lossy(&lsof.output().ok()?.stdout))
}

/// The first process of `lsof -Fpc`: a line with `p` and the id, then one with `c` and the name.
fn first(printed: &str) -> Option<Holder> {
    let field = |letter: char| printed.lines().find_map(|line| line.strip_prefix(letter));
    Some(Holder { name: field('c')?.to_owned(), pid: field('p')?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_process_is_read() {
        let printed = "p4711\ncnode (dev)\nf12\np4712\ncother\nf3\n";
        assert_eq!(first(printed), Some(Holder { name: "node (dev)".to_owned(), pid: 4711 }));
        assert_eq!(first(""), None);
    }
}
