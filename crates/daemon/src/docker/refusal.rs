//! What a Docker client is told when there is no engine to answer it.

use std::time::Duration;

use api::Problem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Longest head of a request that is read; `docker` sends less than 2 kB.
const MAX_HEAD: usize = 64 * 1024;

/// How long the client may take to ask, and to hang up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers one request with status 503 and the problem in the form that Docker clients print, then hangs up.
pub(super) async fn answer(client: &mut UnixStream, problem: &Problem) {
    // A client that goes away or stays silent gets no answer; there is nobody to tell.
    let _ = timeout(PATIENCE, try_answer(client, problem)).await;
}

async fn try_answer(client: &mut UnixStream, problem: &Problem) -> std::io::Result<()> {
    // The request is read first: closing a socket with unread bytes would destroy the answer on its way.
    let head = read_head(client).await?;
    client.write_all(&response(&head, problem)).await?;
    client.shutdown().await?;
    tokio::io::copy(client, &mut tokio::io::sink()).await.map(drop)
}

async fn read_head(client: &mut UnixStream) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < MAX_HEAD {
        if client.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    Ok(head)
}

fn response(head: &[u8], problem: &Problem) -> Vec<u8> {
    let body = serde_json::json!({ "message": message(problem) }).to_string();
    let length = body.len();
    // An answer to HEAD ends with its head.
    let body = if head.starts_with(b"HEAD ") { "" } else { &body };
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The problem in one paragraph: what `docker` prints behind "Error response from daemon:".
fn message(problem: &Problem) -> String {
    let mut text = problem.to_string();
    for cause in &problem.causes {
        text.push_str(": ");
        text.push_str(cause);
    }
    for hint in &problem.hints {
        text.push_str("; ");
        text.push_str(&hint.text);
        if let Some(command) = &hint.command {
            text.extend([" (`", command, "`)"]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::ProblemCode;

    async fn ask(request: &str) -> String {
        let (mut client, mut near) = UnixStream::pair().unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let problem =
            Problem::new(ProblemCode::HypervisorMissing, "no QEMU").with_command("install it", "apt");
        let answering = async { answer(&mut near, &problem).await };
        let mut heard = String::new();
        let hearing = async {
            client.read_to_string(&mut heard).await.unwrap();
            drop(client);
        };
        tokio::join!(answering, hearing);
        heard
    }

    #[tokio::test]
    async fn docker_is_told_the_problem_in_its_own_way() {
        let answer = ask("POST /v1.44/containers/create HTTP/1.1\r\nHost: x\r\n\r\n{}").await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["message"], "no QEMU [E0302]; install it (`apt`)");
    }

    #[tokio::test]
    async fn an_answer_to_head_has_no_body() {
        let heard = ask("HEAD /_ping HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(heard.ends_with("\r\n\r\n"), "{heard}");
    }
}
