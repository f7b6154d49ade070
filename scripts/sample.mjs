// Makes the sample rollout of `make serve`: two small executables for this machine, the document
// that offers them, both in the local KV, and a key to sign with. Nothing is done twice: edits that you make to the
// local KV stay until the sample itself changes (or `make reset`).
import { execFileSync } from "node:child_process";
import { createHash, generateKeyPairSync } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";

const ORIGIN = "http://localhost:8787";
const PLATFORMS = {
  "linux-x64": "linux-amd64",
  "linux-arm64": "linux-arm64",
  "darwin-x64": "macos-intel",
  "darwin-arm64": "macos-silicon",
};
const ALL = ["linux-amd64", "linux-arm64", "macos-intel", "macos-silicon", "windows-amd64"];
const VERSIONS = ["1.0.4", "1.1.0-beta.1", "1.1.0-beta.2"];

const machine = `${process.platform}-${process.arch}`;
const platform = PLATFORMS[machine];
if (!platform) {
  console.error(`sample: no sample build for ${machine}; it needs one of ${Object.keys(PLATFORMS).join(", ")}`);
  process.exit(1);
}

const source = new URL("sample/caro.rs", import.meta.url).pathname;
const folder = ".sample/www/assets/sample";
mkdirSync(folder, { recursive: true });
cpSync("www", ".sample/www", { recursive: true });

const made = createHash("sha256").update(readFileSync(source)).digest("hex");
const versions = {};
for (const version of VERSIONS) {
  const name = `caro-${version}-${platform}`;
  const path = `${folder}/${name}`;
  const stamp = `.sample/${name}.source`;
  if (!existsSync(path) || !existsSync(stamp) || readFileSync(stamp, "utf8") !== made) {
    console.error(`sample: building ${name}`);
    execFileSync("rustc", ["--edition=2024", "-Copt-level=s", "-Cstrip=symbols", "-o", path, source], {
      env: { ...process.env, SAMPLE_VERSION: version },
      stdio: ["ignore", "inherit", "inherit"],
    });
    writeFileSync(stamp, made);
  }
  const bytes = readFileSync(path);
  versions[version] = {
    assets: {
      [platform]: {
        url: `${ORIGIN}/assets/sample/${name}`,
        size: bytes.length,
        sha256: createHash("sha256").update(bytes).digest("hex"),
      },
    },
    excluded_platforms: ALL.filter((other) => other !== platform),
  };
}

// A key of this machine's own, so that the sample's answers are signed as well.
const key = ".sample/signing.pem";
if (!existsSync(key)) {
  const { privateKey } = generateKeyPairSync("ed25519");
  writeFileSync(key, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
}

const config = {
  schema: 1,
  revision: 1,
  salt: "6361726f2073616d706c652073616c74",
  stable: "1.0.4",
  versions,
  releases: {
    "v1.1.0-beta": { version: "1.1.0-beta.2", percentage: 25, state: "active", cohorts: ["internal_test"] },
  },
  features: {
    "v1.1.0-beta": {
      validation_retry: true,
      confidence_refinement: true,
      static_matcher: true,
      embedded_backend: true,
      telemetry_opt_in: false,
    },
  },
  cohorts: { internal_test: { enabled: true, percentage: 0.5, members: [], features: ["all"] } },
  kill_switches: { telemetry_disabled: false, llm_backends_disabled: false, command_execution_disabled: false },
};
const text = `${JSON.stringify(config, null, 2)}\n`;
const path = ".sample/config.json";
const seeded = ".sample/seeded.json";
writeFileSync(path, text);
if (!existsSync(seeded) || readFileSync(seeded, "utf8") !== text) {
  console.error("sample: writing the rollout into the local KV");
  execFileSync("wrangler", ["kv", "key", "put", "--local", "--binding", "ROLLOUT", "config", "--path", path], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  writeFileSync(seeded, text);
}
