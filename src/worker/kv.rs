//! Reading the two keys of the namespace `ROLLOUT`.

use std::time::Duration;

use futures_util::future::{Either, join, select};
use worker::kv::KvStore;
use worker::{Delay, Env};

use crate::api::edge::{Read, ReadError};

/// For how long Cloudflare's edge may answer from its own copy, in seconds; less is refused.
const CACHE_TTL: u64 = 30;

/// A requester waits at most this long, and only in an isolate that has never read anything.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Reads both keys at once.
pub async fn read(env: &Env) -> Read {
    let Ok(kv) = env.kv("ROLLOUT") else {
        return failed(&ReadError::NoBinding);
    };
    let both = join(get(&kv, "config"), get(&kv, "emergency-stop"));
    match select(Box::pin(both), Delay::from(TIMEOUT)).await {
        Either::Left(((config, stop), _)) => Read { config, stop },
        Either::Right(_) => failed(&ReadError::Timeout),
    }
}

fn failed(error: &ReadError) -> Read {
    Read {
        config: Err(error.clone()),
        stop: Err(error.clone()),
    }
}

async fn get(kv: &KvStore, key: &str) -> Result<Option<String>, ReadError> {
    let value = kv.get(key).cache_ttl(CACHE_TTL).text().await;
    value.map_err(|_| ReadError::Failed)
}
