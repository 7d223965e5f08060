//! One question to the daemon, by the socket that [`super::carry`] serves.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use protocol::grants::{ASK_SOCKET, Answer, Ask, MAX_MESSAGE_BYTES, folder, line_and_bytes, with_bytes};

/// The answer, and the bytes behind it.
///
/// # Errors
/// Nobody answers, or the answer is no. For people.
pub(super) fn ask(question: &Ask, bytes: &[u8]) -> Result<(Answer, Vec<u8>), String> {
    let message = with_bytes(question, bytes);
    if message.len() > MAX_MESSAGE_BYTES {
        return Err(format!(
            "it is too long: {} bytes, and {MAX_MESSAGE_BYTES} can be asked about",
            message.len()
        ));
    }
    let socket = Path::new(&folder(rustix::process::geteuid().as_raw())).join(ASK_SOCKET);
    let answer = exchange(&socket, &message).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "nothing is granted to this environment; see `cove grant` on the computer of its owner".to_owned()
        }
        _ => format!("nobody answers on the computer of its owner: {error}"),
    })?;
    match line_and_bytes::<Answer>(&answer) {
        Some((Answer::Refused { reason }, _)) => Err(reason),
        Some((answer, bytes)) => Ok((answer, bytes.to_vec())),
        None => Err("the answer is not understood; start the environment again".to_owned()),
    }
}

fn exchange(socket: &Path, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(&(message.len() as u32).to_be_bytes())?;
    stream.write_all(message)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_MESSAGE_BYTES {
        return Err(io::Error::other("the answer is too long"));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}
