//! The router's own code behind a socket on loopback, and everything that can go wrong between it and a client. Its threads end
//! with it.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use caro_edge::api::handle::handle;
use caro_edge::api::reply::{Answer, Reply};
use caro_edge::api::signing::{Keys, Signing, prepare};
use caro_edge::auth::keys::PublicKey;
use caro_edge::client::world::World;
use caro_edge::core::time::Timestamp;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::Value;

use crate::support::{self, Incoming};

/// A clock that moves when it is told to, and dice that show what they are told to. The router has the same.
#[derive(Clone)]
pub struct Clock(Arc<(AtomicI64, AtomicU64)>);

impl Default for Clock {
    fn default() -> Self {
        let now = AtomicI64::new(support::NOW.millis());
        Self(Arc::new((now, AtomicU64::new(u64::MAX / 2))))
    }
}

impl Clock {
    pub fn forward(&self, seconds: i64) {
        self.0.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    pub fn throw(&self, random: u64) {
        self.0.1.store(random, Ordering::SeqCst);
    }
}

impl World for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.0.load(Ordering::SeqCst))
    }

    fn random(&self) -> u64 {
        self.0.1.load(Ordering::SeqCst)
    }
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Nothing.
    None,
    /// The connection is accepted and nothing comes.
    Hang,
    /// The connection is reset.
    Reset,
    /// It is closed without a word.
    Close,
    /// A status with a header.
    Status(u16, Option<(&'static str, String)>),
    /// These bytes, as they are.
    Raw(Vec<u8>),
    /// Half of the body, and the connection is closed.
    Truncated,
    /// Another content type, as a login page has it.
    ContentType(&'static str),
    /// Another body under the same headers.
    Body(&'static str),
    /// Signed with a key that nobody trusts.
    WrongKey,
    /// The signature is taken off.
    Stripped,
    /// Signed so many seconds later, or earlier.
    Signed(i64),
    /// The body never ends.
    Endless,
    /// The body comes byte by byte.
    Drip,
    /// A body of so many megabytes, packed.
    GzipBomb(usize),
    /// The answer packed on the way.
    Gzip,
    /// Another tag, which is not signed beside a body.
    Tag(&'static str),
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub target: String,
    pub headers: Vec<(String, String)>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }
}

struct Shared {
    /// Configuration and stop, of which each request makes an edge: one stays in its thread.
    config: Mutex<(String, Option<String>)>,
    fault: Mutex<Fault>,
    asked: Mutex<Vec<Asked>>,
    /// Rung when a request came, and at the end.
    bell: Condvar,
    streams: Mutex<Vec<TcpStream>>,
    over: AtomicBool,
    signs: bool,
    clock: Clock,
}

pub struct Router {
    address: SocketAddr,
    shared: Arc<Shared>,
    accept: Option<JoinHandle<()>>,
}

pub const SEED: u8 = 1;

fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub fn public_key(seed: u8) -> PublicKey {
    PublicKey::new(signing_key(seed).verifying_key().to_bytes())
}

fn config(patch: &Value, stop: Option<&str>) -> (String, Option<String>) {
    (support::document(patch), stop.map(str::to_owned))
}

impl Router {
    /// One that signs. Its configuration is the golden one with a patch.
    pub fn start(patch: &Value, clock: &Clock) -> Self {
        Self::of(patch, clock, true)
    }

    pub fn unsigned(patch: &Value, clock: &Clock) -> Self {
        Self::of(patch, clock, false)
    }

    fn of(patch: &Value, clock: &Clock, signs: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            config: Mutex::new(config(patch, None)),
            fault: Mutex::new(Fault::None),
            asked: Mutex::default(),
            bell: Condvar::new(),
            streams: Mutex::default(),
            over: AtomicBool::new(false),
            signs,
            clock: clock.clone(),
        });
        let theirs = Arc::clone(&shared);
        let accept = thread::spawn(move || accept(&listener, &theirs));
        Self {
            address,
            shared,
            accept: Some(accept),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Another configuration, also an older one.
    pub fn set(&self, patch: &Value, stop: Option<&str>) {
        *self.shared.config.lock().unwrap() = config(patch, stop);
    }

    pub fn fail(&self, fault: Fault) {
        *self.shared.fault.lock().unwrap() = fault;
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.asked().len()
    }

    /// Waits until there were so many requests.
    pub fn wait_for(&self, count: usize) {
        let asked = self.shared.asked.lock().unwrap();
        let few = |asked: &mut Vec<Asked>| asked.len() < count;
        let limit = Duration::from_secs(20);
        let (asked, _) = self
            .shared
            .bell
            .wait_timeout_while(asked, limit, few)
            .unwrap();
        assert!(
            asked.len() >= count,
            "{} of {count} requests came",
            asked.len()
        );
    }

    /// The bytes of a good answer, to be sent again later.
    pub fn record(&self) -> Vec<u8> {
        let asked = Asked {
            target: "/features/v1.1.0-beta?detail=1".to_owned(),
            headers: Vec::new(),
        };
        let reply = self.shared.reply(&asked, 0, SEED);
        written(&reply, reply.body.as_bytes(), reply.body.len())
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // Under the lock, or a thread that is about to wait misses it.
        drop(self.shared.asked.lock());
        self.shared.bell.notify_all();
        for stream in self.shared.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
        let accept = self.accept.take().unwrap().join();
        assert!(accept.is_ok() || thread::panicking(), "the router panicked");
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut threads = Vec::new();
    for stream in listener.incoming() {
        if shared.over.load(Ordering::SeqCst) {
            break;
        }
        let stream = stream.unwrap();
        shared
            .streams
            .lock()
            .unwrap()
            .push(stream.try_clone().unwrap());
        let shared = Arc::clone(shared);
        threads.push(thread::spawn(move || serve(stream, &shared)));
    }
    // Those that came after the others were shut down.
    for stream in shared.streams.lock().unwrap().drain(..) {
        let _ = stream.shutdown(Shutdown::Both);
    }
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

/// One connection, one request. What the client makes of it is its own matter, so writing may fail.
fn serve(mut stream: TcpStream, shared: &Shared) {
    let fault = shared.fault.lock().unwrap().clone();
    if let Fault::Reset = fault {
        // Closed with bytes unread, which the system answers with a reset.
        let _ = stream.peek(&mut [0]);
        return shared.forget(&stream);
    }
    let Some(asked) = read(&mut stream) else {
        return;
    };
    shared.asked.lock().unwrap().push(asked.clone());
    shared.bell.notify_all();
    let _ = shared.answer(&mut stream, &asked, fault);
    shared.forget(&stream);
}

fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let target = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    Some(Asked {
        target,
        headers: headers.collect(),
    })
}

impl Shared {
    /// Closes a connection: the copy that is kept would hold it open.
    fn forget(&self, stream: &TcpStream) {
        let peer = stream.peer_addr().ok();
        self.streams
            .lock()
            .unwrap()
            .retain(|other| other.peer_addr().ok() != peer);
    }

    /// What the router answers, signed so many seconds later.
    fn reply(&self, asked: &Asked, later: i64, seed: u8) -> Reply {
        let mut request = Incoming::get(&asked.target);
        request.headers = asked.headers.clone();
        let (config, stop) = self.config.lock().unwrap().clone();
        let mut edge = support::edge(Some(&config), stop.as_deref());
        edge.signing = Signing::On(Keys {
            public: vec![public_key(SEED)],
            assignment: Vec::new(),
        });
        let now = self.clock.now();
        let answer = handle(&mut edge, &request, now);
        let path = asked.target.split('?').next().unwrap();
        let at = Timestamp::from_millis(now.millis() + later * 1000);
        match prepare(&edge, &answer, path, at) {
            Some(mut unsigned) if self.signs => {
                unsigned.params.keyid = public_key(seed).thumbprint();
                let base = unsigned.message.base(&unsigned.params);
                let signature = signing_key(seed).sign(base.as_bytes()).to_bytes();
                unsigned.signed(&signature)
            }
            _ => match answer {
                Answer::Fresh(reply) => reply,
                other => panic!("{other:?}"),
            },
        }
    }

    fn answer(&self, out: &mut TcpStream, asked: &Asked, fault: Fault) -> std::io::Result<()> {
        let later = match fault {
            Fault::Signed(seconds) => seconds,
            _ => 0,
        };
        let seed = match fault {
            Fault::WrongKey => SEED + 1,
            _ => SEED,
        };
        let mut reply = self.reply(asked, later, seed);
        match fault {
            Fault::Hang => self.hold(Duration::from_secs(60)),
            Fault::Close | Fault::Reset => {}
            Fault::Raw(bytes) => out.write_all(&bytes)?,
            Fault::Status(status, header) => {
                let mut reply = Reply::new(status, "text/plain", "no-store", "no".to_owned());
                reply.headers.extend(header);
                out.write_all(&written(&reply, b"no", 2))?;
            }
            Fault::Truncated => {
                let half = &reply.body.as_bytes()[..reply.body.len() / 2];
                out.write_all(&written(&reply, half, reply.body.len()))?;
            }
            Fault::Endless => {
                reply.headers.push(("Transfer-Encoding", "chunked".into()));
                out.write_all(&head(&reply, None))?;
                let chunk = [b"1000\r\n", &[b' '; 0x1000][..], b"\r\n"].concat();
                while !self.over.load(Ordering::SeqCst) {
                    out.write_all(&chunk)?;
                }
            }
            Fault::Drip => {
                out.write_all(&head(&reply, Some(reply.body.len())))?;
                for byte in reply.body.bytes() {
                    out.write_all(&[byte])?;
                    self.hold(Duration::from_millis(20));
                }
            }
            Fault::GzipBomb(megabytes) => {
                reply.headers.push(("Content-Encoding", "gzip".into()));
                let packed = gzip(&vec![b' '; megabytes << 20]);
                out.write_all(&written(&reply, &packed, packed.len()))?;
            }
            Fault::Gzip => {
                reply.headers.push(("Content-Encoding", "gzip".into()));
                let packed = gzip(reply.body.as_bytes());
                out.write_all(&written(&reply, &packed, packed.len()))?;
            }
            other => {
                match other {
                    Fault::ContentType(kind) => reply.set("Content-Type", kind),
                    Fault::Body(body) => reply.body = body.to_owned(),
                    Fault::Stripped => reply
                        .headers
                        .retain(|(name, _)| !name.starts_with("Signature")),
                    Fault::Tag(tag) => reply.set("ETag", tag),
                    _ => {}
                }
                out.write_all(&written(&reply, reply.body.as_bytes(), reply.body.len()))?;
            }
        }
        Ok(())
    }

    /// Waits for the end, or so long.
    fn hold(&self, time: Duration) {
        let asked = self.asked.lock().unwrap();
        let going = |_: &mut Vec<Asked>| !self.over.load(Ordering::SeqCst);
        drop(self.bell.wait_timeout_while(asked, time, going).unwrap());
    }
}

fn head(reply: &Reply, length: Option<usize>) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(length) = length.filter(|_| reply.status != 304) {
        head.push_str(&format!("Content-Length: {length}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn written(reply: &Reply, body: &[u8], length: usize) -> Vec<u8> {
    [&head(reply, Some(length)), body].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = Command::new("gzip");
    let gzip = gzip.arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = gzip.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(bytes).unwrap());
        child.wait_with_output().unwrap().stdout
    })
}

/// A client of it that keeps nothing on disk; a test adds what it is about.
pub fn builder(router: &Router, clock: &Clock) -> caro_edge::client::Builder {
    let builder = caro_edge::client::Client::builder(&router.url())
        .release("v1.1.0-beta")
        .id("alice")
        .attributes("linux", "amd64", None)
        .no_cache()
        .no_overrides()
        .timeout(Duration::from_secs(10))
        .world(clock.clone());
    match router.shared.signs {
        true => builder.keys([public_key(SEED)]),
        false => builder,
    }
}
