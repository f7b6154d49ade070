// Running what a shell would be given.
import { spawnSync } from "node:child_process";

/** `… | sh`: what a body does to whoever pipes it. */
export function pipe(text) {
  const { status, stdout, stderr } = spawnSync("sh", [], { input: text, encoding: "utf8", timeout: 10_000 });
  return { status, stdout, stderr };
}

/** What the shell says against a body without running it; nothing if it is well formed. */
export function complaint(text) {
  const { status, stderr } = spawnSync("sh", ["-n"], { input: text, encoding: "utf8", timeout: 10_000 });
  return status === 0 ? "" : stderr || `exit ${status}`;
}
