// Completes a configuration: a fresh salt where there is none, and for each asset without a digest
// its size and SHA-256, taken from the file itself and checked against the .sha256 published
// beside it. Anything that does not agree is refused, and nothing is printed.
//
//   node scripts/fill-assets.mjs examples/caro.config.json > config.json
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";

const TEMPLATE =
  process.env.ASSET_URL_TEMPLATE ??
  "https://github.com/wildcard/caro/releases/download/v{version}/caro-{version}-{platform}{ext}";

async function get(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return Buffer.from(await response.arrayBuffer());
}

async function digest(url) {
  const [bytes, published] = await Promise.all([get(url), get(`${url}.sha256`)]);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const claimed = published.toString().trim().split(/\s+/)[0].toLowerCase();
  if (claimed !== sha256) {
    throw new Error(`${url} has SHA-256 ${sha256}, but its .sha256 file says ${claimed}; do not ship it`);
  }
  return { size: bytes.length, sha256 };
}

async function main([path]) {
  if (!path) throw new Error("usage: node scripts/fill-assets.mjs CONFIG > NEW_CONFIG");
  const config = JSON.parse(readFileSync(path, "utf8"));
  if (config.salt === "REPLACE") config.salt = randomBytes(16).toString("hex");
  for (const [version, { assets }] of Object.entries(config.versions)) {
    for (const [platform, asset] of Object.entries(assets)) {
      if (asset.sha256) continue;
      const url =
        asset.url ??
        TEMPLATE.replaceAll("{version}", version)
          .replaceAll("{platform}", platform)
          .replaceAll("{ext}", platform.startsWith("windows") ? ".exe" : "");
      process.stderr.write(`${url}\n`);
      Object.assign(asset, await digest(url));
    }
  }
  process.stdout.write(`${JSON.stringify(config, null, 2)}\n`);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`fill-assets: ${error.message}`);
  process.exit(1);
});
