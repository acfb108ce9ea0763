//! A client on the standard streams of a child process, with a fixed number of requests in flight.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::Outcome;
use crate::wire::{Answer, Message};

/// A server that reads its standard input.
pub struct StdioServer {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    line: String,
    next_id: u64,
}

impl StdioServer {
    pub fn start(mut command: Command) -> Outcome<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().ok_or("no output")?);
        Ok(Self { child, input, output, line: String::new(), next_id: 1 })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Opens the conversation as most clients do.
    pub fn initialize(&mut self) -> Outcome<()> {
        self.request(&Message::initialize())?;
        self.write("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n")
    }

    /// Sends one request and returns its result.
    pub fn request(&mut self, message: &Message) -> Outcome<String> {
        let id = self.send(message)?;
        let answer = self.read()?;
        if answer.id != id {
            return Err(format!("answer {} to request {id}", answer.id).into());
        }
        Ok(answer.result(None)?.to_owned())
    }

    /// Sends `message` `n_calls` times with at most `in_flight` unanswered; every answer must be `expected`.
    pub fn load(&mut self, message: &Message, n_calls: usize, in_flight: usize, expected: &str) -> Outcome<()> {
        let mut open = HashSet::with_capacity(in_flight);
        let mut n_sent = 0;
        while n_sent < in_flight.min(n_calls) {
            open.insert(self.send(message)?);
            n_sent += 1;
        }
        while !open.is_empty() {
            let answer = self.read()?;
            answer.result(Some(expected))?;
            let id = answer.id;
            if !open.remove(&id) {
                return Err(format!("answer {id} was not asked for").into());
            }
            if n_sent < n_calls {
                open.insert(self.send(message)?);
                n_sent += 1;
            }
        }
        Ok(())
    }

    /// Closes the input and waits for the process to end.
    pub fn finish(mut self) -> Outcome<()> {
        drop(self.input.take());
        self.child.wait()?;
        Ok(())
    }

    fn send(&mut self, message: &Message) -> Outcome<u64> {
        let id = self.next_id;
        self.next_id += 1;
        self.write(&(message.with_id(id) + "\n"))?;
        Ok(id)
    }

    fn write(&mut self, line: &str) -> Outcome<()> {
        Ok(self.input.as_mut().ok_or("the input is closed")?.write_all(line.as_bytes())?)
    }

    fn read(&mut self) -> Outcome<Answer<'_>> {
        self.line.clear();
        if self.output.read_line(&mut self.line)? == 0 {
            return Err("the server ended".into());
        }
        Answer::read(&self.line)
    }
}

impl Drop for StdioServer {
    fn drop(&mut self) {
        // Both fail when the process has ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
