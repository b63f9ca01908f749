//! The two protocols the peer speaks, as far as publishing and subscribing need them.

use crate::wire::nats::{self, ClientLimits, ClientOp, Parsed};
use crate::wire::resp::{self, CommandParser, Limits, Protocol, Writer};

/// Which protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    /// Redis's, version 2.
    Resp,
    /// NATS's.
    Nats,
}

/// What NATS clients want to hear first.
const GREETING: &[u8] =
    b"INFO {\"server_id\":\"PEER\",\"server_name\":\"peer\",\"version\":\"2.11.0\",\"proto\":1,\
\"host\":\"127.0.0.1\",\"port\":0,\"headers\":true,\"max_payload\":67108864,\"client_id\":1}\r\n";

impl Speech {
    /// The state of a new connection, and what it is told first.
    pub(super) fn begin(self) -> (Talk, &'static [u8]) {
        match self {
            Self::Resp => (Talk::Resp(CommandParser::default()), b""),
            Self::Nats => (Talk::Nats, GREETING),
        }
    }

    /// Tells a publisher how many got its message, where the protocol has an answer.
    #[inline]
    pub(super) fn published(self, receivers: usize, reply: &mut Vec<u8>) {
        if self == Self::Resp {
            Writer::new(reply, Protocol::Resp2).integer(receivers as i64);
        }
    }

    /// Appends a delivery to the subscription that its reader calls `name`.
    #[inline]
    pub(super) fn append_message(self, out: &mut Vec<u8>, channel: &[u8], name: &[u8], payload: &[u8]) {
        match self {
            Self::Resp => {
                Writer::new(out, Protocol::Resp2).message(resp::MessageHead::Message, channel, payload);
            }
            Self::Nats => {
                let head = nats::MessageHead { subject: channel, sid: name, reply: b"", header_length: 0 };
                nats::append_message(out, head, payload);
            }
        }
    }
}

/// One connection's side of the conversation.
#[derive(Debug, Default)]
pub(super) enum Talk {
    Resp(CommandParser),
    #[default]
    Nats,
}

/// What a client wants that is not answered on the spot.
#[derive(Debug)]
pub(super) enum Wish<'a> {
    /// `reply`: where an answer is to go; empty if none is wanted.
    Publish {
        channel: &'a [u8],
        payload: &'a [u8],
        reply: &'a [u8],
    },
    Subscribe {
        channels: Vec<&'a [u8]>,
        name: &'a [u8],
    },
    Nothing,
}

/// The stream makes no sense.
#[derive(Debug, Clone, Copy)]
pub(super) struct Broken;

impl Talk {
    /// The next whole command and its length. What needs no other connection is answered at once.
    #[inline]
    pub(super) fn next<'a>(
        &'a mut self,
        input: &'a [u8],
        reply: &mut Vec<u8>,
    ) -> Result<Option<(Wish<'a>, usize)>, Broken> {
        match self {
            Self::Nats => nats_command(input, reply),
            Self::Resp(parser) => {
                let Some(length) = parser.parse(input, Limits::default()).map_err(|_| Broken)? else {
                    return Ok(None);
                };
                Ok(Some((resp_command(parser, input, reply), length)))
            }
        }
    }
}

fn resp_command<'a>(parser: &'a CommandParser, input: &'a [u8], reply: &mut Vec<u8>) -> Wish<'a> {
    if parser.is_empty() {
        return Wish::Nothing;
    }
    let name = parser.arg(input, 0);
    if parser.len() == 3 && name.eq_ignore_ascii_case(b"PUBLISH") {
        return Wish::Publish { channel: parser.arg(input, 1), payload: parser.arg(input, 2), reply: b"" };
    }
    let mut writer = Writer::new(reply, Protocol::Resp2);
    match name.to_ascii_uppercase().as_slice() {
        b"SUBSCRIBE" => {
            let channels: Vec<&[u8]> = (1..parser.len()).map(|index| parser.arg(input, index)).collect();
            for (count, channel) in channels.iter().enumerate() {
                writer.push(3);
                writer.bulk(b"subscribe");
                writer.bulk(channel);
                writer.integer(count as i64 + 1);
            }
            return Wish::Subscribe { channels, name: b"" };
        }
        b"PING" => writer.simple("PONG"),
        b"INFO" => writer.bulk(b"redis_version:8.0.0\r\nrun_id:peer\r\nloading:0\r\n"),
        b"CONFIG" => writer.array(0),
        b"CLIENT" | b"AUTH" | b"SELECT" => writer.simple("OK"),
        _ => writer.error(b"ERR the peer does PUBLISH and SUBSCRIBE only"),
    }
    Wish::Nothing
}

fn nats_command<'a>(input: &'a [u8], reply: &mut Vec<u8>) -> Result<Option<(Wish<'a>, usize)>, Broken> {
    let (op, length) = match nats::parse_client(input, ClientLimits::default()) {
        Ok(Parsed::Whole(op, length)) => (op, length),
        Ok(Parsed::Partial(_)) => return Ok(None),
        Err(_) => return Err(Broken),
    };
    let wish = match op {
        ClientOp::Publish(publish) => {
            Wish::Publish { channel: publish.subject, payload: publish.payload(), reply: publish.reply }
        }
        ClientOp::Subscribe { subject, sid, .. } => Wish::Subscribe { channels: vec![subject], name: sid },
        ClientOp::Ping => {
            reply.extend_from_slice(b"PONG\r\n");
            Wish::Nothing
        }
        ClientOp::Connect(_)
        | ClientOp::Unsubscribe { .. }
        | ClientOp::Pong
        | ClientOp::Error
        | ClientOp::Ignored => Wish::Nothing,
    };
    Ok(Some((wish, length)))
}
