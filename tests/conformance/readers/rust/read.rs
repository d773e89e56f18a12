// flate2's decoder on one stream, over a plain socket. Says what it reads, in lines of JSON: [kind, last id, data], and how
// each response ended: ["end", "", why]. Comes back as a browser would.
use flate2::read::GzDecoder;
use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::TcpStream;
use std::{env, thread, time::Duration};

// A body in chunks, without them.
struct Chunks<R: BufRead> {
    from: R,
    left: usize,
    ended: bool,
}

impl<R: BufRead> Read for Chunks<R> {
    fn read(&mut self, to: &mut [u8]) -> Result<usize> {
        let mut line = String::new();
        while self.left == 0 && !self.ended {
            line.clear();
            self.from.read_line(&mut line)?;
            if line.trim_end().is_empty() && !line.is_empty() {
                continue; // the end of the chunk before
            }
            self.left = usize::from_str_radix(line.trim_end(), 16).unwrap_or(0);
            self.ended = self.left == 0;
        }
        let most = self.left.min(to.len());
        let count = if self.ended { 0 } else { self.from.read(&mut to[..most])? };
        self.left -= count;
        Ok(count)
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn say(kind: &str, id: &str, data: &str) {
    println!("[{},{},{}]", quoted(kind), quoted(id), quoted(data));
}

fn follow(host: &str, path: &str, last_id: &mut String, retry_ms: &mut u64) -> Result<()> {
    let mut to = TcpStream::connect(host)?;
    let resume = if last_id.is_empty() { String::new() } else { format!("Last-Event-ID: {last_id}\r\n") };
    write!(to, "GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: gzip\r\n{resume}\r\n")?;
    let mut from = BufReader::new(to);
    let mut head = String::new();
    while from.read_line(&mut head)? > 2 {}
    let head = head.to_lowercase();
    let is_chunked = head.contains("\r\ntransfer-encoding: chunked\r\n");
    let body: Box<dyn Read> = if is_chunked { Box::new(Chunks { from, left: 0, ended: false }) } else { Box::new(from) };
    assert!(head.contains("\r\ncontent-encoding: gzip\r\n"));
    let (mut kind, mut data) = (String::new(), Vec::new());
    for line in BufReader::new(GzDecoder::new(body)).lines() {
        let line = line?;
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => kind = value.to_string(),
            "id" => *last_id = value.to_string(),
            "data" => data.push(value.to_string()),
            "retry" => *retry_ms = value.parse().unwrap_or(*retry_ms),
            "" if line.is_empty() => {
                if !data.is_empty() {
                    say(&kind, last_id, &data.join("\n"));
                }
                kind.clear();
                data.clear();
            }
            _ => (),
        }
    }
    Ok(())
}

fn main() {
    let url = env::args().nth(1).expect("an address");
    let (host, path) = url.trim_start_matches("http://").split_once('/').expect("a path");
    let (mut last_id, mut retry_ms) = (String::new(), 3_000);
    loop {
        match follow(host, &format!("/{path}"), &mut last_id, &mut retry_ms) {
            Ok(()) => say("end", "", "clean"),
            Err(error) => say("end", "", &error.to_string()),
        }
        thread::sleep(Duration::from_millis(retry_ms));
    }
}
