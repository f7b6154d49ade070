//! Assets as they are published: in a folder, and behind a loopback address.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use sha2::{Digest, Sha256};

/// Files by name.
pub type Files = BTreeMap<String, Vec<u8>>;

pub const PLATFORMS: [&str; 5] = [
    "linux-amd64",
    "linux-arm64",
    "macos-intel",
    "macos-silicon",
    "windows-amd64.exe",
];

pub fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The assets of a version, each with its `.sha256` beside it.
pub fn assets(version: &str) -> Files {
    let mut files = Files::new();
    for platform in PLATFORMS {
        let name = format!("caro-{version}-{platform}");
        let bytes = format!("the build {name}").into_bytes();
        let sum = format!("{}  {name}\n", sha256(&bytes));
        files.insert(format!("{name}.sha256"), sum.into_bytes());
        files.insert(name, bytes);
    }
    files
}

pub fn write(files: &Files, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}

/// Serves files below a path, until the process ends: `http://127.0.0.1:PORT`. `/moved/` leads to `/`, as release pages
/// lead to their storage.
pub fn serve(files: Files) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = answer(stream.unwrap(), &files);
        }
    });
    format!("http://{address}")
}

fn answer(stream: TcpStream, files: &Files) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = first.split(' ').nth(1).unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let mut stream = reader.into_inner();
    let (status, header, body): (_, _, &[u8]) = match files.get(name) {
        Some(_) if path.starts_with("/moved/") => ("302 Found", format!("location: /{name}"), b""),
        Some(bytes) => ("200 OK", "x-is: there".to_owned(), bytes),
        None => ("404 Not Found", "x-is: gone".to_owned(), b""),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{header}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )?;
    stream.write_all(body)
}
