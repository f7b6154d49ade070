// The flags that every Worker is asked for, and who asks. Its rules ask only for what /features can be told as well.

/** One of three kinds, which every engine has; of each kind half hold for who asks. */
function rule(i) {
  const holds = Math.floor(i / 9) % 2 === 0;
  return [
    { attribute: "country", is: holds ? "DE" : "FR" },
    { attribute: "os", in: ["windows", "macos", holds ? "linux" : "freebsd"] },
    { attribute: "locale", prefix: holds ? "de" : "fr" },
  ].map((test) => ({ holds, test }))[Math.floor(i / 3) % 3];
}

/** 25 % of everybody; every third has a rule, and is also on for whoever it holds for. */
export const flags = Array.from({ length: 100 }, (_, i) => ({
  key: `feature_${String(i).padStart(3, "0")}`,
  rule: i % 3 === 1 ? rule(i) : undefined,
}));

/** Keyed as configurations have them. */
export const keyed = (map) => Object.fromEntries(flags.map(({ key, rule }) => [key, map(rule?.test)]));

export const attributes = { os: "linux", locale: "de-DE", country: "DE" };
