//! HTTP/1: what was asked for, and the status of the answers (RFC 9110, RFC 9112).
//!
//! Heads are read, bodies are counted and skipped. Signing in with Negotiate or NTLM takes several
//! rounds of 401: only a 401 in answer to a proof is a failure.

use std::collections::VecDeque;

use crate::net::{NameSource, Transport};
use crate::probe::{
    Code, CodeSet, Framing, Holder, Meaning, Message, Next, Opening, Probe, Recognition, Speaker,
    Standing, Talk, called, text, tls,
};

mod head;
mod paths;

use head::{Head, Request, Response};

pub(super) const PROBE: Probe = Probe {
    name: "HTTP",
    ports: &[
        (Transport::Tcp, 80),
        (Transport::Tcp, 8530),
        (Transport::Tcp, 8080),
        (Transport::Tcp, 5985),
        (Transport::Tcp, 8005),
    ],
    recognise,
    begin: |_| Box::<Http>::default(),
};

/// Bytes of a head that is read. Kerberos tickets make long ones: IIS takes 16 KiB a line.
const MOST_HEAD: usize = 64 << 10;

/// Bytes of a line that tells a chunk's length.
const MOST_LINE: usize = 1 << 10;

/// Requests that wait for their answers (pipelining).
const MOST_WAITING: usize = 32;

/// What comes next in a direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expected {
    /// The head of a message.
    #[default]
    Head,
    /// So many bytes of a body.
    Body(u64),
    /// The line before a chunk (RFC 9112 7.1).
    ChunkLine,
    /// A chunk and the end of its line: so many bytes.
    Chunk(u64),
    /// Lines after the last chunk, up to an empty one.
    Trailer,
    /// A body that ends with the flow (RFC 9112 6.3).
    Everything,
}

#[derive(Debug, Default)]
struct Http {
    initiator: Expected,
    responder: Expected,
    waiting: VecDeque<Request>,
}

impl Http {
    fn expected(&mut self, from: Speaker) -> &mut Expected {
        match from {
            Speaker::Initiator => &mut self.initiator,
            Speaker::Responder => &mut self.responder,
        }
    }
}

impl Talk for Http {
    fn framing(&self, from: Speaker, bytes: &[u8]) -> Framing {
        let expected = match from {
            Speaker::Initiator => self.initiator,
            Speaker::Responder => self.responder,
        };
        match expected {
            Expected::Head if !head::may_begin(bytes) => Framing::Lost,
            Expected::Head if bytes.is_empty() => Framing::Needs(1),
            // Empty lines before a head are to be passed over (RFC 9112 2.2).
            Expected::Head if matches!(bytes, [b'\r' | b'\n', ..]) => {
                Framing::Message { length: 1, keep: 1 }
            }
            Expected::Head => Framing::Until { mark: b"\r\n\r\n", most: MOST_HEAD },
            Expected::Body(length) | Expected::Chunk(length) => {
                Framing::Message { length, keep: 0 }
            }
            Expected::ChunkLine | Expected::Trailer => {
                Framing::Until { mark: b"\r\n", most: MOST_LINE }
            }
            Expected::Everything => Framing::Message { length: u64::MAX, keep: 0 },
        }
    }

    fn hear(&mut self, message: &Message<'_>, signals: &mut Vec<Meaning>) -> Next {
        let from = message.from;
        match *self.expected(from) {
            Expected::Head => {
                let Some(head) = Head::read(message.bytes) else { return Next::Stay };
                return match head {
                    Head::Request(request) => self.ask(from, request, signals),
                    Head::Response(response) => self.answer(from, &response, signals),
                };
            }
            Expected::ChunkLine => {
                *self.expected(from) = match head::chunk(message.bytes) {
                    Some(0) => Expected::Trailer,
                    Some(length) => Expected::Chunk(length.saturating_add(2)),
                    None => Expected::Head,
                };
            }
            Expected::Chunk(_) => *self.expected(from) = Expected::ChunkLine,
            Expected::Trailer if message.length > 2 => {}
            Expected::Body(_) | Expected::Trailer | Expected::Everything => {
                *self.expected(from) = Expected::Head;
            }
        }
        Next::Stay
    }

    fn lose(&mut self, from: Speaker) {
        *self.expected(from) = Expected::Head;
        // Which answer belongs to which request is not known any more.
        self.waiting.clear();
    }
}

impl Http {
    fn ask(&mut self, from: Speaker, request: Request, signals: &mut Vec<Meaning>) -> Next {
        *self.expected(from) = request.body;
        if let Some(ntlm) = &request.ntlm {
            ntlm.introduce(signals);
        }
        signals.push(Meaning::Asked { subject: request.subject.clone() });
        signals.extend(called(&request.called, NameSource::Http));
        if self.waiting.len() >= MOST_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(request);
        Next::Stay
    }

    fn answer(&mut self, from: Speaker, response: &Response, signals: &mut Vec<Meaning>) -> Next {
        // An interim answer (RFC 9110 15.2): the other one will come.
        let interim = matches!(response.status, 100 | 102..200);
        let request =
            if interim { self.waiting.front().cloned() } else { self.waiting.pop_front() };
        let request = request.unwrap_or_else(Request::unknown);
        let bodiless = interim || matches!(response.status, 204 | 304) || request.method == "HEAD";
        *self.expected(from) = if bodiless { Expected::Head } else { response.body };
        if let Some(ntlm) = &response.ntlm {
            ntlm.introduce(signals);
        }
        let code = Code { set: CodeSet::HttpStatus, number: u32::from(response.status) };
        let (standing, detail) = judge(code, &request, response);
        tell_duties(&request, response, signals);
        let subject = request.subject;
        signals.push(Meaning::Answered { subject, standing, code: Some(code), detail });
        match response.status {
            200..300 if request.method == "CONNECT" => Next::Become(&tls::PROBE),
            101 => Next::Done,
            _ => Next::Stay,
        }
    }
}

/// What a request and its answer prove of both sides. A proxy answers for others: of it they
/// prove nothing.
fn tell_duties(request: &Request, response: &Response, signals: &mut Vec<Meaning>) {
    let Some((serves, calls)) = paths::duties(&request.path) else { return };
    let (method, path) = (&request.method, &request.path);
    if matches!(response.status, 200..300) && !request.to_proxy && response.via.is_none() {
        let how = text(format!("served {method} {path}"));
        signals.push(Meaning::Does { holder: Holder::Speaker, duty: serves, how });
    }
    if let Some(duty) = calls {
        let how = text(format!("asked for {method} {path}"));
        signals.push(Meaning::Does { holder: Holder::Peer, duty, how });
    }
}

/// What an answer is worth, and what else to say of it.
fn judge(code: Code, request: &Request, response: &Response) -> (Standing, Option<String>) {
    let purpose = paths::purpose(&request.path);
    let standing = match response.status {
        // The proof has another round, or was not given yet.
        401 | 407 if response.challenges_on || !request.signed_in => Standing::Step,
        // A web service answers a request that it understood and turns down so (SOAP 1.1 6.2):
        // an expired cookie, a time that is over, and the caller goes on.
        500 if response.xml => Standing::Step,
        // What a product asks for by name is to be there.
        404 | 410 if purpose.is_some() => Standing::Failed,
        _ => code.standing(),
    };
    if standing == Standing::Served {
        return (standing, purpose.map(str::to_owned));
    }
    let mut parts: Vec<String> = purpose.map(str::to_owned).into_iter().collect();
    if standing == Standing::Step && matches!(response.status, 401 | 407) {
        parts.push("asks to sign in".to_owned());
    }
    if response.status == 500 && response.xml {
        parts.push("the web service answers with a fault of its own".to_owned());
    }
    if standing == Standing::Failed {
        if let Some(via) = &response.via {
            parts.push(format!("answered through {via}"));
        } else if matches!(response.status, 400 | 404 | 503)
            && response.software.starts_with("Microsoft-HTTPAPI")
        {
            // The driver answers itself where no site or pool takes the request.
            parts.push("answered by Windows itself, before any web site".to_owned());
        } else if !response.software.is_empty() {
            parts.push(format!("answered by {}", response.software));
        }
    }
    (standing, (!parts.is_empty()).then(|| text(parts.join(", "))))
}

fn recognise(opening: &Opening<'_>) -> Recognition {
    if opening.transport == Transport::Udp {
        return Recognition::No;
    }
    head::recognise(opening.bytes)
}

#[cfg(test)]
mod tests;
