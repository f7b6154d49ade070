// The protocol's schema (tests/golden/ofrep.schema.json), and one answer that breaks each of its rules.
import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import { root } from "./router.mjs";

export const SCHEMA = JSON.parse(readFileSync(`${root}tests/golden/ofrep.schema.json`, "utf8"));

/** What is wrong with a body of a kind, by a schema; nothing if it fits. */
export function validator(schema = SCHEMA) {
  // Not strict: a branch that requires a member does not also describe it.
  const ajv = new Ajv2020({ strict: false, allErrors: true, logger: false });
  ajv.addSchema(schema);
  return (kind, body) => {
    const fits = ajv.getSchema(`${schema.$id}#/$defs/${kind}`);
    return fits(body) ? undefined : ajv.errorsText(fits.errors);
  };
}

/** Answers as they may be, in which one thing at a time is broken below. */
export const GOOD = {
  evaluation: {
    key: "a",
    value: true,
    variant: "on",
    reason: "STATIC",
    metadata: { revision: 7, why: "rule", new: true },
  },
  failure: { key: "a", errorCode: "PARSE_ERROR", errorDetails: "Why.", metadata: { revision: 7 } },
  notFound: { key: "a", errorCode: "FLAG_NOT_FOUND", errorDetails: "Why.", metadata: { revision: 7 } },
  bulk: { flags: [{ key: "a", value: 1, reason: "SPLIT" }], metadata: { revision: 7 } },
  bulkFailure: { errorCode: "INVALID_CONTEXT", errorDetails: "Why." },
};

/** Each: what is broken, the kind of answer, the members that break it; `undefined` takes one away. */
export const BROKEN = [
  ["an evaluation without its key", "evaluation", { key: undefined }],
  ["an evaluation whose key is no text", "evaluation", { key: 7 }],
  ["an evaluation without a reason", "evaluation", { reason: undefined }],
  ["an evaluation with a reason of our own", "evaluation", { reason: "KILLED" }],
  ["an evaluation whose variant is no text", "evaluation", { variant: 1 }],
  ["an evaluation whose metadata is a list", "evaluation", { metadata: [] }],
  ["an evaluation with metadata in metadata", "evaluation", { metadata: { deep: {} } }],
  ["an evaluation with null in metadata", "evaluation", { metadata: { fallback: null } }],
  ["an evaluation whose value is null", "evaluation", { value: null }],
  ["an evaluation whose value is a list", "evaluation", { value: [true] }],
  ["a failure without its key", "failure", { key: undefined }],
  ["a failure whose key is null", "failure", { key: null }],
  ["a failure without a code", "failure", { errorCode: undefined }],
  ["a failure with a code of our own", "failure", { errorCode: "STOPPED" }],
  ["a failure with the code of a flag that there is not", "failure", { errorCode: "FLAG_NOT_FOUND" }],
  ["a failure whose details are no text", "failure", { errorDetails: ["Why."] }],
  ["a failure whose metadata is a text", "failure", { metadata: "7" }],
  ["no such flag, without its key", "notFound", { key: undefined }],
  ["no such flag, with a key that is null", "notFound", { key: null }],
  ["no such flag, without a code", "notFound", { errorCode: undefined }],
  ["no such flag, with another code", "notFound", { errorCode: "GENERAL" }],
  ["no such flag, with details that are no text", "notFound", { errorDetails: {} }],
  ["no such flag, with metadata that is a number", "notFound", { metadata: 7 }],
  ["no flags at all", "bulk", { flags: undefined }],
  ["flags by name", "bulk", { flags: { a: { key: "a", value: 1, reason: "SPLIT" } } }],
  ["a flag that is a text", "bulk", { flags: ["a"] }],
  ["a flag among all that neither has a reason nor failed", "bulk", { flags: [{ key: "a", value: 1 }] }],
  ["a flag among all whose value is a list", "bulk", { flags: [{ key: "a", value: [1], reason: "SPLIT" }] }],
  ["a flag among all that failed as none can", "bulk", { flags: [{ key: "a", errorCode: "STOPPED" }] }],
  ["metadata of all that is a text", "bulk", { metadata: "7" }],
  ["a failure of all without a code", "bulkFailure", { errorCode: undefined }],
  ["a failure of all whose code is a number", "bulkFailure", { errorCode: 400 }],
  ["a failure of all whose details are no text", "bulkFailure", { errorDetails: null }],
].map(([name, kind, members]) => {
  const body = { ...GOOD[kind], ...members };
  return [name, kind, Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined))];
});
for (const kind of Object.keys(GOOD)) {
  BROKEN.push([`a list for ${kind}`, kind, [GOOD[kind]]]);
}

/** The schema once for each of its rules, without that rule: where the rule was, and the rest. */
export function* lenient(at = []) {
  const inside = (schema) => at.reduce((part, key) => part[key], schema);
  for (const [key, rule] of Object.entries(inside(SCHEMA))) {
    const rest = structuredClone(SCHEMA);
    if (key === "required") {
      for (const name of rule) {
        inside(rest).required = rule.filter((other) => other !== name);
        yield [[...at, key, name].join("/"), structuredClone(rest)];
      }
    } else if (["type", "enum", "const", "not", "$ref"].includes(key)) {
      delete inside(rest)[key];
      yield [[...at, key].join("/"), rest];
    } else if (typeof rule === "object") {
      yield* lenient([...at, key]);
    }
  }
}
