//! Words on the guest's kernel command line by which a driver tells the agent what sort of machine it is in.

/// The agent listens on its port of the kernel's sockets for anyone on the host. Only for hypervisors that let no
/// process but the machine's owner connect.
pub const AGENT_ON_SOCKETS: &str = "cove.agent=sockets";

/// The network's addresses come by DHCP, in place of `cove.ip`, `cove.gw` and `cove.dns`.
pub const NETWORK_BY_DHCP: &str = "cove.ip=dhcp";

/// `cove.shares=TAG`: every share is a folder, named by its own tag, of the one device TAG.
pub const SHARES: &str = "cove.shares";

/// The kernel's own words that every machine of ours has, whatever carries it.
pub const KERNEL: [&str; 7] = [
    "quiet",
    "loglevel=5",
    "panic=-1",
    "random.trust_cpu=on",
    "audit=0",
    "nowatchdog",
    "cryptomgr.notests=1",
];
