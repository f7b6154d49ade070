// The merge patch (RFC 7396) that makes one value of another, so that what was not touched is not sent.

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isSame = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** @returns `undefined` where nothing differs */
export function patch(from, to) {
  if (!isObject(from) || !isObject(to)) return isSame(from, to) ? undefined : to;
  const changes = {};
  for (const key of Object.keys(from)) if (!Object.hasOwn(to, key)) changes[key] = null;
  for (const [key, value] of Object.entries(to)) {
    const change = Object.hasOwn(from, key) ? patch(from[key], value) : value;
    if (change !== undefined)
      Object.defineProperty(changes, key, { value: change, enumerable: true, configurable: true, writable: true });
  }
  return Object.keys(changes).length > 0 ? changes : undefined;
}
