//! A proxy between clients and brokers that loses, delays and answers requests of Kafka's protocol.
//!
//! ```text
//!   client ──▶ 127.0.0.1:a ──▶ broker 1        rules: the n-th EndTxn, each Fetch with a chance of 1 %, …
//!          ──▶ 127.0.0.1:b ──▶ broker 2        addresses in replies become the proxy's, so that clients stay
//! ```
//! Ports are the kernel's choice, so that any number of proxies run side by side. A thread per direction and connection:
//! a request that is delayed holds up those behind it, as on a real wire.

mod answer;
mod link;
mod routes;
mod rules;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use link::Link;
pub use rules::{Fault, Rule, Rules, When};
pub use wire::Api;

/// Whether anything passes at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It does.
    Open,
    /// Connections end, and new ones are refused.
    Cut,
    /// Connections stay, and nothing comes through.
    Silent,
}

/// What all connections of a proxy share.
struct Hub {
    rules: Rules,
    // A lock because connections are made on several threads.
    state: Mutex<State>,
}

struct State {
    way: Way,
    stopped: bool,
    /// Brokers, and where the proxy stands for them.
    ports: HashMap<(String, i32), u16>,
    links: Vec<Weak<Link>>,
}

/// A proxy for the brokers of a cluster. It ends when it is dropped.
pub struct Proxy {
    hub: Arc<Hub>,
    address: String,
}

impl Proxy {
    /// Stands before the brokers at these addresses (`host:port`, separated by commas) and those that they name. The
    /// seed is for rules with a chance.
    ///
    /// # Errors
    /// If no port can be had.
    pub fn start(bootstrap: &str, seed: u64) -> io::Result<Self> {
        let state = State { way: Way::Open, stopped: false, ports: HashMap::new(), links: Vec::new() };
        let hub = Arc::new(Hub { rules: Rules::new(seed), state: Mutex::new(state) });
        let mut addresses = Vec::new();
        for broker in bootstrap.split(',') {
            let (host, port) = broker.trim().rsplit_once(':').unwrap_or((broker, "9092"));
            let port = port.parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, broker.to_owned()))?;
            addresses.push(format!("127.0.0.1:{}", hub.port_for(host, port)?));
        }
        Ok(Self { hub, address: addresses.join(",") })
    }

    /// Where clients are to begin.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The rules in force.
    pub fn rules(&self) -> &Rules {
        &self.hub.rules
    }

    /// Opens or closes the way for everything.
    pub fn set_way(&self, way: Way) {
        self.hub.state().way = way;
        if way == Way::Cut {
            self.hub.close_all();
        }
    }

    /// Ends all present connections; new ones are made.
    pub fn disconnect(&self) {
        self.hub.close_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.close_ports();
    }
}

impl Proxy {
    /// Ends everything, for good: connections are refused from now on, as where no broker runs.
    pub fn close_ports(&self) {
        let ports: Vec<u16> = {
            let mut state = self.hub.state();
            state.stopped = true;
            state.ports.values().copied().collect()
        };
        self.hub.close_all();
        for port in ports {
            // Wakes the thread that accepts there, which sees that it is over.
            let _ = TcpStream::connect(("127.0.0.1", port));
        }
    }
}

impl Hub {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn way(&self) -> Way {
        self.state().way
    }

    fn close_all(&self) {
        let links = std::mem::take(&mut self.state().links);
        for link in links.iter().filter_map(Weak::upgrade) {
            link.close();
        }
    }

    /// The port that stands for a broker, opened if there is none yet.
    fn port_for(self: &Arc<Self>, host: &str, port: i32) -> io::Result<u16> {
        let mut state = self.state();
        if let Some(ours) = state.ports.get(&(host.to_owned(), port)) {
            return Ok(*ours);
        }
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let ours = listener.local_addr()?.port();
        state.ports.insert((host.to_owned(), port), ours);
        let (hub, broker) = (self.clone(), (host.to_owned(), u16::try_from(port).unwrap_or(0)));
        std::thread::Builder::new().name(format!("proxy {port}")).spawn(move || hub.accept(&listener, &broker))?;
        Ok(ours)
    }

    fn translate(self: &Arc<Self>, host: &str, port: i32) -> (String, i32) {
        match self.port_for(host, port) {
            Ok(ours) => ("127.0.0.1".to_owned(), ours.into()),
            // The client goes round the proxy, which a test notices by faults that do not strike.
            Err(_) => (host.to_owned(), port),
        }
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener, broker: &(String, u16)) {
        for client in listener.incoming() {
            if self.state().stopped {
                return;
            }
            let Ok(client) = client else { continue };
            if self.way() == Way::Cut {
                continue;
            }
            let Ok(upstream) = TcpStream::connect((broker.0.as_str(), broker.1)) else { continue };
            let link = Arc::new(Link::new(self.clone(), client, upstream));
            {
                let mut state = self.state();
                state.links.retain(|link| link.strong_count() > 0);
                state.links.push(Arc::downgrade(&link));
            }
            let replies = link.clone();
            let there = std::thread::Builder::new().name("proxy requests".to_owned());
            let back = std::thread::Builder::new().name("proxy replies".to_owned());
            let carried =
                there.spawn(move || link.carry_requests()).and_then(|_| back.spawn(move || replies.carry_replies()));
            if let Err(error) = carried {
                tracing::warn!(%error, "a connection of the proxy has no threads");
            }
        }
    }
}
