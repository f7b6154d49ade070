#!/bin/sh
# Installs what building and testing need, once, inside the project:
#   tools.sh npm      the packages of package-lock.json, into node_modules
#   tools.sh wasm     the wasm target, worker-build and wasm-bindgen, into .tools
#   tools.sh test     cargo-deny and schemathesis, into .tools; shells, shellcheck, Python and
#                     Chromium, from Debian
#   tools.sh page     Chromium alone; one elsewhere is named by CHROMIUM
#   tools.sh bench    wrk, from Debian; the engines that benches compare with
# Versions are pinned here and in the lock files. Each part is skipped when it is there.
set -eu
cd "$(dirname "$0")/.."

WORKER_BUILD=0.8.7
# Must equal wasm-bindgen's version in Cargo.lock.
WASM_BINDGEN=0.2.130
CARGO_DENY=0.20.2

say() { printf '%s\n' "tools: $*" >&2; }

# npm_packages FOLDER: those of its package-lock.json.
npm_packages() {
  if cmp -s "$1/package-lock.json" "$1/node_modules/.installed"; then
    return
  fi
  say "npm ci in $1"
  # Not with the Node that this replaces, which make puts first.
  outside=$(printf '%s' "$PATH" | tr ':' '\n' | grep -v '/node_modules/' | paste -sd: -)
  (cd "$1" && PATH=$outside npm ci --no-audit --no-fund)
  cp "$1/package-lock.json" "$1/node_modules/.installed"
}

# cargo_tool CRATE VERSION BINARY
cargo_tool() {
  if [ -x ".tools/bin/$3" ] && grep -q "\"$1 $2 " .tools/.crates.toml 2>/dev/null; then
    return
  fi
  say "cargo install $1 $2 (two to four minutes, once)"
  # Outside the project's own Cargo configuration and build folder.
  (root=$PWD/.tools && cd / && cargo install --quiet --root "$root" "$1@$2")
}

# The packages of tests/schemathesis/requirements.txt, in a Python environment of their own.
schemathesis() {
  wanted=tests/schemathesis/requirements.txt
  home=.tools/schemathesis
  if cmp -s "$wanted" "$home/installed"; then
    return
  fi
  say "schemathesis (half a minute, once)"
  rm -rf "$home"
  # Debian has Python without venv, as a package of its own.
  python3 -m venv "$home" >/dev/null 2>&1 || {
    debian no-python3-venv python3-venv
    rm -rf "$home"
    python3 -m venv "$home"
  }
  "$home/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$wanted"
  cp "$wanted" "$home/installed"
}

# debian COMMAND PACKAGE ...: installs the packages whose command is missing.
debian() {
  missing=
  while [ $# -gt 0 ]; do
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
    shift 2
  done
  [ -n "$missing" ] || return 0
  as_root=
  if [ "$(id -u)" -ne 0 ]; then as_root='sudo -n'; fi
  if command -v apt-get >/dev/null 2>&1 && $as_root true 2>/dev/null; then
    say "apt-get install$missing"
    $as_root apt-get update -qq
    # shellcheck disable=SC2086  # a list of words on purpose
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
  else
    say "these are needed and cannot be installed from here:$missing"
    say "install them (the names are Debian's), then run this again"
    exit 1
  fi
}

for part in "$@"; do
  case $part in
    npm) npm_packages . ;;
    wasm)
      npm_packages .
      rustup target list --installed | grep -q '^wasm32-unknown-unknown$' ||
        rustup target add wasm32-unknown-unknown
      cargo_tool worker-build "$WORKER_BUILD" worker-build
      cargo_tool wasm-bindgen-cli "$WASM_BINDGEN" wasm-bindgen
      ;;
    test)
      cargo_tool cargo-deny "$CARGO_DENY" cargo-deny
      debian shellcheck shellcheck tmux tmux busybox busybox ksh93 ksh93u+m mksh mksh zsh zsh yash yash \
        dash dash fish fish wget wget perl perl openssl openssl script bsdutils \
        python3 python3 jq jq "${CHROMIUM:-chromium}" chromium
      schemathesis
      ;;
    page) debian "${CHROMIUM:-chromium}" chromium ;;
    bench)
      debian wrk wrk
      npm_packages benches/engines
      ;;
    *)
      say "no such part: $part"
      exit 2
      ;;
  esac
done
