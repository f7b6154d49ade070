import { FlagdCore } from "@openfeature/flagd-core";
import { keyed } from "../shape.mjs";
import { answer } from "./answer.mjs";

function condition({ attribute, is, in: list, prefix }) {
  const value = { var: attribute };
  if (is) return { "==": [value, is] };
  return list ? { in: [value, list] } : { starts_with: [value, prefix] };
}

const rollout = {
  fractional: [
    ["on", 25],
    ["off", 75],
  ],
};
const flags = keyed((rule) => ({
  state: "ENABLED",
  variants: { on: true, off: false },
  defaultVariant: "off",
  targeting: rule ? { if: [condition(rule), "on", rollout] } : rollout,
}));

// While a Worker starts it may compile what it was given, which is how flagd is fastest.
const core = new FlagdCore();
core.setConfigurations(JSON.stringify({ flags }));

export default answer((context) =>
  core.resolveAll(context).map(({ flagKey, value, variant, reason }) => ({ key: flagKey, value, variant, reason })),
);
