import { GrowthBookClient } from "@growthbook/growthbook";
import { keyed } from "../shape.mjs";
import { answer } from "./answer.mjs";

function condition({ attribute, is, in: list, prefix }) {
  if (is) return { [attribute]: is };
  return { [attribute]: list ? { $in: list } : { $regex: `^${prefix}` } };
}

const rollout = { force: true, coverage: 0.25, hashAttribute: "targetingKey" };
const features = keyed((rule) => ({
  defaultValue: false,
  rules: rule ? [{ condition: condition(rule), force: true }, rollout] : [rollout],
}));

const client = new GrowthBookClient().initSync({ payload: { features } });
const keys = Object.keys(features);

export default answer((attributes) => {
  const user = { attributes };
  return keys.map((key) => {
    const { value, source } = client.evalFeature(key, user);
    return { key, value, variant: value ? "on" : "off", reason: source };
  });
});
