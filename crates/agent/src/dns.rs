//! The guest's resolver: answers the names the host gave, and passes every other question on.
//!
//! It keeps no cache: the resolver behind it has one. Questions come from containers, which are not trusted:
//! sizes, numbers and times are limited, and a question that cannot be read is dropped.

mod message;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use message::Question;

/// Questions answered at once; more are dropped, and asked again by their askers.
const AT_ONCE: usize = 512;
/// How long the resolver behind may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a TCP connection may be silent.
const SILENCE: Duration = Duration::from_secs(30);
/// Longest datagram.
const DATAGRAM: usize = 4096;
const PORT: u16 = 53;

/// Names answered here, shared with who changes them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    names: HashMap<String, IpAddr>,
    /// Those that lead to the host.
    of_host: HashSet<String>,
    /// Where the host is, once the network is up.
    host: Option<IpAddr>,
}

impl Names {
    /// Puts these names in place of all others. Those of the host have its address, whatever is given for them. Gives
    /// back the first pair whose address is none.
    pub(crate) fn replace(
        &self,
        names: &BTreeMap<String, String>,
        of_host: &[String],
    ) -> Result<(), (String, String)> {
        let parsed: Result<HashMap<String, IpAddr>, _> = names
            .iter()
            .map(|(name, address)| match address.parse() {
                Ok(parsed) => Ok((plain(name), parsed)),
                Err(_) => Err((name.clone(), address.clone())),
            })
            .collect();
        let parsed = parsed?;
        let mut known = self.known();
        known.names = parsed;
        known.of_host = of_host.iter().map(|name| plain(name)).collect();
        Ok(())
    }

    /// Says where the host is.
    pub(crate) fn set_host(&self, address: IpAddr) {
        self.known().host = Some(address);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, name: &str) -> Option<IpAddr> {
        let known = self.known();
        let host = known.host.filter(|_| known.of_host.contains(name));
        host.or_else(|| known.names.get(name).copied())
    }
}

/// A name as questions are compared with it.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Serves until an error of the listening sockets.
pub(crate) async fn serve(address: Ipv4Addr, upstream: Ipv4Addr, names: Names) -> io::Result<()> {
    let udp = Arc::new(UdpSocket::bind((address, PORT)).await?);
    let tcp = TcpListener::bind((address, PORT)).await?;
    serve_on(udp, tcp, (upstream, PORT).into(), names).await
}

async fn serve_on(
    udp: Arc<UdpSocket>,
    tcp: TcpListener,
    upstream: SocketAddr,
    names: Names,
) -> io::Result<()> {
    let limit = Arc::new(Semaphore::new(AT_ONCE));
    let mut datagram = vec![0; DATAGRAM];
    loop {
        tokio::select! {
            received = udp.recv_from(&mut datagram) => {
                // An error here is about an earlier answer that could not be delivered.
                let Ok((count, asker)) = received else { continue };
                let Ok(permit) = Arc::clone(&limit).try_acquire_owned() else { continue };
                let (question, udp, names) = (datagram[..count].to_vec(), Arc::clone(&udp), names.clone());
                tokio::spawn(async move {
                    if let Some(answer) = answer_datagram(&question, upstream, &names).await {
                        let _ = udp.send_to(&answer, asker).await;
                    }
                    drop(permit);
                });
            }
            accepted = tcp.accept() => {
                let (stream, _) = accepted?;
                let Ok(permit) = Arc::clone(&limit).try_acquire_owned() else { continue };
                tokio::spawn(serve_stream(stream, upstream, names.clone(), permit));
            }
        }
    }
}

fn answer_here(question: &[u8], names: &Names) -> Result<Option<Vec<u8>>, message::Unreadable> {
    let question = Question::parse(question)?;
    Ok(names.get(&question.name).map(|address| question.answer(address)))
}

async fn answer_datagram(question: &[u8], upstream: SocketAddr, names: &Names) -> Option<Vec<u8>> {
    if let Some(answer) = answer_here(question, names).ok()? {
        return Some(answer);
    }
    let forwarded = async {
        // A socket of its own for each question: its random port is what makes answers hard to forge.
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        socket.connect(upstream).await?;
        socket.send(question).await?;
        let mut answer = vec![0; DATAGRAM];
        loop {
            let count = socket.recv(&mut answer).await?;
            if answer.get(..2) == question.get(..2) {
                answer.truncate(count);
                return io::Result::Ok(answer);
            }
        }
    };
    match timeout(PATIENCE, forwarded).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(_)) | Err(_) => message::server_failure(question),
    }
}

async fn serve_stream(
    mut stream: TcpStream,
    upstream: SocketAddr,
    names: Names,
    permit: OwnedSemaphorePermit,
) {
    // The asker sees the end of the connection; there is nobody else to tell.
    let _ = serve_questions(&mut stream, upstream, &names).await;
    drop(permit);
}

async fn serve_questions(stream: &mut TcpStream, upstream: SocketAddr, names: &Names) -> io::Result<()> {
    let mut behind: Option<TcpStream> = None;
    while let Some(question) = timeout(SILENCE, read_message(stream)).await?? {
        let answer = match answer_here(&question, names) {
            Err(_) => return Ok(()),
            Ok(Some(answer)) => answer,
            Ok(None) => {
                let asked = timeout(PATIENCE, ask_behind(&mut behind, upstream, &question)).await;
                if let Ok(Ok(answer)) = asked {
                    answer
                } else {
                    behind = None;
                    let Some(answer) = message::server_failure(&question) else { return Ok(()) };
                    answer
                }
            }
        };
        write_message(stream, &answer).await?;
    }
    Ok(())
}

async fn ask_behind(
    behind: &mut Option<TcpStream>,
    upstream: SocketAddr,
    question: &[u8],
) -> io::Result<Vec<u8>> {
    let stream = match behind {
        Some(stream) => stream,
        None => behind.insert(TcpStream::connect(upstream).await?),
    };
    write_message(stream, question).await?;
    read_message(stream).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// A message on TCP has its length before it. `None`: the peer has ended in order.
async fn read_message(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u16().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(Some(message))
}

async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let mut wire = length.to_be_bytes().to_vec();
    wire.extend_from_slice(message);
    stream.write_all(&wire).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A resolver behind that answers every datagram with the question and a mark.
    async fn forwarder(names: Names) -> (SocketAddr, SocketAddr) {
        let behind = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let upstream = behind.local_addr().unwrap();
        tokio::spawn(async move {
            let mut question = [0; 512];
            while let Ok((count, from)) = behind.recv_from(&mut question).await {
                let mut answer = question[..count].to_vec();
                answer.extend_from_slice(b"from behind");
                let _ = behind.send_to(&answer, from).await;
            }
        });
        let udp = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let places = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
        tokio::spawn(serve_on(udp, tcp, upstream, names));
        places
    }

    async fn ask(at: SocketAddr, question: &[u8]) -> Vec<u8> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(question, at).await.unwrap();
        let mut answer = [0; 512];
        let count = timeout(PATIENCE * 2, socket.recv(&mut answer)).await.unwrap().unwrap();
        answer[..count].to_vec()
    }

    fn names() -> Names {
        let names = Names::default();
        names.replace(&BTreeMap::from([("Host.docker.internal".into(), "10.0.2.2".into())]), &[]).unwrap();
        names
    }

    #[tokio::test]
    async fn own_names_are_answered_and_others_passed_on() {
        let (udp, _) = forwarder(names()).await;
        let own = ask(udp, &message::tests::question(7, "host.DOCKER.internal", 1)).await;
        assert_eq!(&own[own.len() - 4..], [10, 0, 2, 2]);
        let other = ask(udp, &message::tests::question(8, "example.org", 1)).await;
        assert!(other.ends_with(b"from behind"));
    }

    #[tokio::test]
    async fn a_stream_takes_several_questions() {
        let (_, tcp) = forwarder(names()).await;
        let mut stream = TcpStream::connect(tcp).await.unwrap();
        for id in [1, 2] {
            write_message(&mut stream, &message::tests::question(id, "host.docker.internal", 1))
                .await
                .unwrap();
            let answer = read_message(&mut stream).await.unwrap().unwrap();
            assert_eq!(&answer[..2], id.to_be_bytes());
        }
    }

    #[test]
    fn a_name_without_an_address_is_refused_and_changes_nothing() {
        let names = names();
        let bad = BTreeMap::from([("x".to_owned(), "nowhere".to_owned())]);
        assert_eq!(names.replace(&bad, &[]).unwrap_err(), ("x".to_owned(), "nowhere".to_owned()));
        assert!(names.get("host.docker.internal").is_some());
    }

    #[test]
    fn the_hosts_names_lead_to_where_it_is() {
        let names = Names::default();
        let given = BTreeMap::from([("host.docker.internal".to_owned(), "10.0.2.2".to_owned())]);
        names.replace(&given, &["Host.Docker.Internal".to_owned()]).unwrap();
        assert_eq!(names.get("host.docker.internal"), Some(Ipv4Addr::new(10, 0, 2, 2).into()));
        names.set_host(Ipv4Addr::new(192, 168, 64, 1).into());
        assert_eq!(names.get("host.docker.internal"), Some(Ipv4Addr::new(192, 168, 64, 1).into()));
    }
}
