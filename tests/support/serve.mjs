// A router for tests that are not written in JavaScript: prints its addresses as one line of JSON, then takes one
// order a line ({"kv": [key, value or null]}, {"tick": cron}) and answers each with a line; ends when its input does.
//
//   ROUTER_BINDINGS='{"ADMIN_TOKEN": "…"}' node tests/support/serve.mjs [file with a configuration]
//
// ROUTER_ASSETS is a folder with static files instead of www.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { ASSETS, start } from "./router.mjs";

const [file] = process.argv.slice(2);
const config = file === undefined ? undefined : readFileSync(file, "utf8");
const assets = process.env.ROUTER_ASSETS;
const router = await start({
  config,
  bindings: { ORIGIN: "https://get.caro.sh", ...JSON.parse(process.env.ROUTER_BINDINGS) },
  ...(assets === undefined ? {} : { assets: { ...ASSETS, directory: assets } }),
});
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
say({ origin: router.origin, direct: router.direct });

const orders = {
  kv: async ([key, value]) => {
    await (value === null ? router.kv.delete(key) : router.kv.put(key, value));
  },
  tick: async (cron) => {
    const worker = await router.miniflare.getWorker();
    return (await worker.scheduled({ cron })).outcome;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [[name, value]] = Object.entries(JSON.parse(line));
  say({ done: (await orders[name](value)) ?? null });
}
await router.end();
process.exit(0);
