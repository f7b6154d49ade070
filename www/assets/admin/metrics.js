// What the counters are of, in words. Whatever gates call good is good here, so errors, crashes, repairs and denials are
// shown by those that went without: src/core/evidence/metric.rs has them all.
import { words } from "../format.js";

/** Those of which some are good, in the order in which one looks at them. */
const RATES = new Map([
  ["install_success", "Installs that went well"],
  ["command_success", "Commands that went well"],
  ["errors", "Commands without an error"],
  ["crashes", "Sessions without a crash"],
  ["denials", "Commands that the safety check let pass"],
  ["repairs", "Commands without a repair"],
  ["repair_success", "Repairs that helped"],
  ["refinements", "Commands without a refinement"],
  ["retention_1", "Installs used again a day later"],
  ["retention_3", "Installs used again three days later"],
  ["retention_7", "Installs used again a week later"],
]);

const LATENCIES = new Map([
  ["command_latency", "How long commands took"],
  ["install_latency", "How long installs took"],
]);

/** Those that are only counted. */
const COUNTS = new Map([
  ["requests", "Requesters of the install script"],
  ["sessions", "Sessions"],
  ["active_weekly", "First sessions of a week"],
]);

const EXIT = "exit_";

export const isCount = (metric) => COUNTS.has(metric) || metric.startsWith(EXIT);

export const title = (metric) =>
  RATES.get(metric) ??
  LATENCIES.get(metric) ??
  COUNTS.get(metric) ??
  (metric.startsWith(EXIT) ? `Installs that ended with “${words(metric.slice(EXIT.length))}”` : words(metric));

const ORDER = [...RATES.keys(), ...LATENCIES.keys(), ...COUNTS.keys()];
const place = (metric) => (ORDER.includes(metric) ? ORDER.indexOf(metric) : ORDER.length);

/** Sorts metrics; those that are not known come last. */
export const inOrder = (a, b) => place(a) - place(b) || (a < b ? -1 : 1);
