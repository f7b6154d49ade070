# Two commands: `make serve` and `make test`. Each does everything it needs, from a clean clone.
.PHONY: serve test lint test-native test-wasm test-http test-cli bench simulate screenshots build reset deploy

# Node 22 and the tools of package-lock.json first.
export PATH := $(CURDIR)/node_modules/.bin:$(CURDIR)/.tools/bin:$(PATH)
export WRANGLER_SEND_METRICS := false
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER := $(CURDIR)/.tools/bin/wasm-bindgen-test-runner

# The OpenFeature client of tests/http: a package of its own, with a lock file and a build folder.
CLIENT := tests/ofrep-client

# The router with a sample rollout on http://localhost:8787.
serve:
	@sh scripts/tools.sh npm wasm
	@node scripts/sample.mjs
	wrangler dev --port 8787 --assets .sample/www --var ORIGIN:http://localhost:8787 \
		ADMIN_TOKEN:local-admin-token-0123456789 "SIGNING_KEYS:$$(cat .sample/signing.pem)"

# Everything that CI runs.
test: lint test-native test-wasm test-http test-cli
	wrangler deploy --dry-run --outdir .wrangler/dry-run

lint:
	@sh scripts/tools.sh npm wasm test
	cargo fetch --quiet --locked
	cargo fmt --check
	cargo clippy --quiet --all-targets -- -D warnings
	cargo clippy --quiet --no-default-features --features client --lib --tests --examples -- -D warnings
	cargo clippy --quiet --lib --tests --target wasm32-unknown-unknown -- -D warnings
	cargo fmt --check --manifest-path $(CLIENT)/Cargo.toml
	CARGO_TARGET_DIR=.tools/ofrep-client cargo clippy --quiet --locked --manifest-path $(CLIENT)/Cargo.toml -- -D warnings
	cargo deny --log-level warn --offline check bans licenses sources
	shellcheck scripts/*.sh
	shellcheck --shell=sh src/install/install.sh
	biome ci --error-on-warnings

test-native:
	cargo test --quiet

test-wasm:
	@sh scripts/tools.sh npm wasm
	cargo test --target wasm32-unknown-unknown --test wasm

# Against the real Worker on workerd: HTTP, installer, page.
test-http: build
	@sh scripts/tools.sh test
	node --test --test-concurrency=4 'tests/**/*.test.mjs'

# The command line against the real Worker.
test-cli: build
	@sh scripts/tools.sh test
	cargo test --quiet --test cli -- --include-ignored

bench: build
	@sh scripts/tools.sh bench
	cargo bench --bench core
	cd benches/engines && cargo bench --locked
	node benches/http.mjs
	node benches/engines/workerd.mjs

# A whole plan in seconds: make simulate PLAN=caro SCENARIO=incident SEED=1
PLAN ?= caro
SCENARIO ?= clean
SEED ?= 1
simulate:
	@cargo run --quiet -- plan simulate $(PLAN) --scenario $(SCENARIO) --seed $(SEED)

# The pictures of docs/.
screenshots: build
	@sh scripts/tools.sh page
	node scripts/screenshots.mjs

build:
	sh scripts/build.sh

# Forgets the local KV and the sample.
reset:
	rm -rf .sample .wrangler/state

deploy:
	wrangler deploy
