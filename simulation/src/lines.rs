//! The plainest service there can be, for state machines of your own: a request is a line, and so
//! is its reply. A line that begins with `?` is a query, any other a command; the reply is what the
//! state machine wrote, which must be no line break and begin with no `!`.

use consensus::Index;
use replication::Failure;

use crate::subject::{Answer, Gate, Outcome, Port};

/// The server's end of a connection that carries lines. It takes one request at a time, so its
/// service must not send more: [`pipeline`](crate::Service::pipeline) is 1.
#[derive(Debug, Default)]
pub struct LinePort {
    input: Vec<u8>,
    output: Vec<u8>,
    slot: u64,
}

/// The first whole line in `bytes` and its length with the break, as an answer.
#[must_use]
pub fn line_answer(bytes: &[u8]) -> Option<(usize, Answer<String>)> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = String::from_utf8_lossy(bytes.get(..end)?).into_owned();
    let answer = match line.as_str() {
        "!unknown" => Answer::Unknown,
        "!not executed" => Answer::NotExecuted,
        _ => Answer::Reply(line),
    };
    Some((end + 1, answer))
}

impl Port for LinePort {
    fn receive(&mut self, bytes: &[u8], gate: &mut dyn Gate) {
        self.input.extend_from_slice(bytes);
        while let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.input.drain(..=end).collect();
            self.slot += 1;
            match line.strip_suffix(b"\n").unwrap_or_default() {
                [b'?', query @ ..] => gate.read(self.slot, query),
                command => gate.submit(self.slot, command),
            }
        }
    }

    fn complete(&mut self, _: u64, _: Option<Index>, outcome: Outcome<'_>) {
        let line: &[u8] = match outcome {
            Outcome::Reply(reply) => reply,
            Outcome::Failed(Failure::Unknown) => b"!unknown",
            Outcome::Failed(Failure::NotExecuted | Failure::NoLeader) => b"!not executed",
        };
        self.output.extend_from_slice(line);
        self.output.push(b'\n');
    }

    fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    fn can_continue(&self) -> bool {
        false
    }
}
