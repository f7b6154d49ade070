#!/bin/sh
# Builds the Worker into build/. wrangler runs this before `dev` and `deploy`, and the tests before
# they start it; with nothing changed it takes well under a second.
set -eu
cd "$(dirname "$0")/.."
sh scripts/tools.sh wasm

tools=$PWD/.tools/bin
bin=$PWD/node_modules/.bin
stamp=build/.sources
sources=$(find Cargo.toml Cargo.lock scripts/build.sh src -type f | LC_ALL=C sort | xargs cat | cksum)
if [ -f build/index_bg.wasm ] && [ "$(cat "$stamp" 2>/dev/null)" = "$sources" ]; then
  exit 0
fi
rm -f "$stamp"

# Panic messages name source files; the machine's own folders have no place in them.
home=${CARGO_HOME:-$HOME/.cargo}
export RUSTFLAGS="${RUSTFLAGS:-} --remap-path-prefix=$home/registry/src= --remap-path-prefix=$PWD="
# worker-build would download these three.
WASM_BINDGEN_BIN=$tools/wasm-bindgen WASM_OPT_BIN=$bin/wasm-opt ESBUILD_BIN=$bin/esbuild \
  "$tools/worker-build" --release
"$bin/wasm-opt" -Oz --strip-debug --strip-producers --all-features \
  build/index_bg.wasm -o build/index_bg.wasm
echo "$sources" >"$stamp"
