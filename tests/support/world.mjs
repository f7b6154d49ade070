// The configuration that the tests share, and ways to vary it.
import { readFileSync } from "node:fs";
import { root } from "./router.mjs";

/** `tests/golden/config.json`: revision 7, stable 1.0.4, v1.1.0-beta (1.1.0-beta.2) at 25 %. */
export const WORLD = JSON.parse(readFileSync(`${root}tests/golden/config.json`, "utf8"));

/** A JSON merge patch (RFC 7396). */
export function merge(target, patch) {
  if (patch === null || typeof patch !== "object" || Array.isArray(patch)) {
    return patch;
  }
  const merged = target !== null && typeof target === "object" && !Array.isArray(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) {
      delete merged[key];
    } else {
      merged[key] = merge(merged[key], value);
    }
  }
  return merged;
}

/** The shared configuration with changes. */
export const world = (patch = {}) => merge(WORLD, patch);

/** The same with another percentage, as its own revision. */
export const at = (percentage, revision) => world({ revision, releases: { "v1.1.0-beta": { percentage } } });
