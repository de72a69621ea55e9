//! One connection: two threads, one each way.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::rules::Fault;
use super::wire::{Api, Header, framed, read_frame};
use super::{Hub, Way, answer, routes};

/// What is to be done with a reply.
struct Expected {
    api: Option<Api>,
    version: i16,
    fault: Option<Fault>,
}

/// A connection between a client and a broker.
pub(super) struct Link {
    hub: Arc<Hub>,
    client: TcpStream,
    broker: TcpStream,
    // Locks because the two directions are two threads: one notes what it forwarded, the other looks it up; and an
    // error is written to the client between two replies, never inside one.
    expected: Mutex<HashMap<i32, Expected>>,
    writing: Mutex<()>,
}

/// Why a direction ended. Which of the two it was makes no difference to the other end.
enum End {
    Closed,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pause(time: Duration) {
    // Nobody unparks these threads; one that is woken for nothing is a little early.
    std::thread::park_timeout(time);
}

impl Link {
    pub(super) fn new(hub: Arc<Hub>, client: TcpStream, broker: TcpStream) -> Self {
        // Without it small requests wait for each other's acknowledgement. Harmless if it fails.
        let _ = client.set_nodelay(true);
        let _ = broker.set_nodelay(true);
        Self { hub, client, broker, expected: Mutex::default(), writing: Mutex::default() }
    }

    pub(super) fn close(&self) {
        // One that is closed already cannot be closed again.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.broker.shutdown(Shutdown::Both);
    }

    /// Client to broker, until either is gone.
    pub(super) fn carry_requests(&self) {
        // The end of one direction is that of both.
        let _ = self.requests();
        self.close();
    }

    /// Broker to client, until either is gone.
    pub(super) fn carry_replies(&self) {
        let _ = self.replies();
        self.close();
    }

    fn requests(&self) -> Result<(), End> {
        let mut client = &self.client;
        while let Some(frame) = read_frame(&mut client)? {
            match self.hub.way() {
                Way::Open => {}
                // Swallowed, as by a route that leads nowhere.
                Way::Silent => continue,
                Way::Cut => return Err(End::Closed),
            }
            let Some(header) = Header::read(&frame) else { return Err(End::Closed) };
            let fault = self.hub.rules.decide(&header);
            self.request(&header, &frame, fault)?;
        }
        Ok(())
    }

    fn request(&self, header: &Header, frame: &[u8], fault: Option<Fault>) -> Result<(), End> {
        match fault {
            Some(Fault::LoseRequest) => return Ok(()),
            Some(Fault::Disconnect) => return Err(End::Closed),
            Some(Fault::Delay(time)) => pause(time),
            Some(Fault::Answer(code)) => {
                if let Some(reply) = answer::to_request(header, frame, code) {
                    return self.to_client(&reply);
                }
            }
            _ => {}
        }
        let expected = Expected { api: header.api, version: header.version, fault };
        locked(&self.expected).insert(header.correlation, expected);
        Ok((&self.broker).write_all(&framed(frame))?)
    }

    fn to_client(&self, reply: &[u8]) -> Result<(), End> {
        let _between = locked(&self.writing);
        Ok((&self.client).write_all(&framed(reply))?)
    }

    fn replies(&self) -> Result<(), End> {
        let mut broker = &self.broker;
        while let Some(frame) = read_frame(&mut broker)? {
            let correlation = frame.first_chunk().copied().map(i32::from_be_bytes).ok_or(End::Closed)?;
            let expected = locked(&self.expected).remove(&correlation);
            match self.hub.way() {
                Way::Open => {}
                Way::Silent => continue,
                Way::Cut => return Err(End::Closed),
            }
            self.reply(frame, expected)?;
        }
        Ok(())
    }

    fn reply(&self, frame: Vec<u8>, expected: Option<Expected>) -> Result<(), End> {
        let Some(Expected { api: Some(api), version, fault }) = expected else { return self.to_client(&frame) };
        let translate = |host: &str, port: i32| self.hub.translate(host, port);
        let frame = routes::rewrite(api, version, &frame, &translate).unwrap_or(frame);
        match fault {
            Some(Fault::LoseReply) => return Ok(()),
            Some(Fault::DisconnectReply) => return Err(End::Closed),
            Some(Fault::DelayReply(time)) => pause(time),
            Some(Fault::Answer(code) | Fault::AnswerAfter(code)) => {
                if let Some(reply) = answer::in_reply(api, version, &frame, code) {
                    return self.to_client(&reply);
                }
            }
            _ => {}
        }
        self.to_client(&frame)
    }
}
