//! The other side: an agent's program, as far as the protocol goes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(1);

/// `cove mcp`, and what it said.
pub(super) struct Agent {
    child: Child,
    input: Option<ChildStdin>,
    lines: mpsc::Receiver<Value>,
    last: u64,
    /// Its answer to the first message.
    pub(super) hello: Value,
    /// What it told without being asked.
    pub(super) notes: Vec<Value>,
}

impl Agent {
    /// Starts the command and shakes hands.
    pub(super) fn of(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines() {
                let line = line.unwrap();
                let message: Value =
                    serde_json::from_str(&line).unwrap_or_else(|_| panic!("not the protocol: {line}"));
                assert_eq!(message["jsonrpc"], "2.0", "{line}");
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let input = child.stdin.take();
        let mut agent = Self { child, input, lines, last: 0, hello: Value::Null, notes: Vec::new() };
        let client = json!({ "name": "test-agent", "version": "7" });
        let hello = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client });
        agent.hello = agent.ask("initialize", hello);
        agent.tell("notifications/initialized", json!({}));
        agent
    }

    /// Says something that has no answer.
    pub(super) fn tell(&mut self, method: &str, params: Value) {
        self.write(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// Asks, and waits for the result.
    pub(super) fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        let answer = self.answer(id);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Asks for what is refused, and gives the error.
    pub(super) fn refused(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        self.answer(id)["error"].clone()
    }

    /// Calls a tool and waits for its result.
    pub(super) fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.ask("tools/call", json!({ "name": tool, "arguments": arguments }))
    }

    /// Calls a tool and does not wait; gives the call's id.
    pub(super) fn begin(&mut self, tool: &str, arguments: Value) -> u64 {
        self.send("tools/call", json!({ "name": tool, "arguments": arguments }))
    }

    /// Goes away: the server ends by itself and well.
    pub(super) fn end(mut self) {
        self.input = None;
        let status = soon(|| self.child.try_wait().unwrap());
        assert!(status.success(), "{status}");
        assert!(self.lines.iter().all(|message| message.get("error").is_none()));
    }

    fn send(&mut self, method: &str, params: Value) -> u64 {
        self.last += 1;
        self.write(&json!({ "jsonrpc": "2.0", "id": self.last, "method": method, "params": params }));
        self.last
    }

    fn write(&mut self, message: &Value) {
        writeln!(self.input.as_mut().unwrap(), "{message}").unwrap();
    }

    fn answer(&mut self, id: u64) -> Value {
        loop {
            let message = self.lines.recv_timeout(PATIENCE).expect("an answer comes");
            if message["id"] == id {
                return message;
            }
            self.notes.push(message);
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text of a tool's result.
pub(super) fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap()
}

pub(super) fn is_error(result: &Value) -> bool {
    result["isError"] == true
}

/// Waits for something that nobody tells.
pub(super) fn soon<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "it does not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}
