//! A program that knows its flags: `cargo run --example client`, beside `make serve`. It prints them, then what
//! changes, until it is interrupted.

#![cfg_attr(target_arch = "wasm32", no_main)]

#[cfg(not(target_arch = "wasm32"))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use caro_edge::client::Client;

    let url = std::env::var("CARO_URL").unwrap_or("http://localhost:8787".into());
    let mut builder = Client::builder(&url)
        .release("v1.1.0-beta")
        .id("install-id");
    builder = builder.interval(std::time::Duration::from_secs(5)); // an hour is usual
    if let Ok(pem) = std::env::var("CARO_PEM") {
        builder = builder.pem(&pem); // answers must be signed with it
    }
    let client = builder.build()?;
    client.refresh();
    for (key, feature) in client.values().iter() {
        println!("{key} = {} ({:?})", feature.value, feature.origin);
    }
    println!("{}", serde_json::to_string(&client.status())?);

    let _watch = client.watch(|changes| {
        for change in changes {
            println!("{} is {:?} now", change.key, change.new);
        }
    })?;
    loop {
        std::thread::park();
    }
}
