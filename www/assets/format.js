// Numbers and times as the reader writes them, with UTC where the hour matters.
import { h } from "./dom.js";

const numbers = new Intl.NumberFormat();
const percents = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 3 });
const shares = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 6 });
const rates = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 2 });
const moments = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const seconds = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const days = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeZone: "UTC" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

const NONE = "–";
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

export const num = (value) => (isNumber(value) ? numbers.format(value) : NONE);
/** A configured percentage: thousandths. */
export const percent = (value) => (isNumber(value) ? percents.format(value / 100) : NONE);
/** A share of requesters: exact to millionths. */
export const share = (value) => (isNumber(value) ? shares.format(value / 100) : NONE);
/** Something measured. */
export const rate = (value) => (isNumber(value) ? rates.format(value / 100) : NONE);
export const words = (name) => (name ? String(name).replaceAll("_", " ") : NONE);
export const time = (date) => clock.format(date);

const unit = (n, name, digits = 0) =>
  new Intl.NumberFormat(undefined, {
    style: "unit",
    unit: name,
    unitDisplay: "short",
    maximumFractionDigits: digits,
  }).format(n);

export const millis = (value) => {
  if (!isNumber(value)) return NONE;
  return value < 1000 ? unit(value, "millisecond") : unit(value / 1000, "second", 2);
};

/** A length of time in the largest unit that fits. */
export function duration(value) {
  if (!isNumber(value)) return NONE;
  if (value < 90) return unit(value, "second");
  if (value < 5400) return unit(value / 60, "minute");
  if (value < 172_800) return unit(value / 3600, "hour", value < 36_000 ? 1 : 0);
  return unit(value / 86_400, "day", 1);
}

/** A moment: the reader's own time, UTC in the title. */
export function when(timestamp, precise = false) {
  const date = new Date(timestamp ?? Number.NaN);
  if (timestamp === null || timestamp === undefined || Number.isNaN(date.getTime())) return NONE;
  const text = (precise ? seconds : moments).format(date);
  return h(
    "time",
    { datetime: date.toISOString(), title: `${date.toISOString().slice(0, 19).replace("T", " ")} UTC` },
    text,
  );
}

/** A day, which is the same one everywhere. */
export function day(date) {
  const at = new Date(`${date}T00:00:00Z`);
  return Number.isNaN(at.getTime())
    ? String(date)
    : h("time", { datetime: date, title: `${date} UTC` }, days.format(at));
}

/** How long ago, or until when. */
export function relative(timestamp) {
  const left = (new Date(timestamp).getTime() - Date.now()) / 1000;
  if (!Number.isFinite(left)) return NONE;
  return left < 0 ? `${duration(-left)} ago` : `in ${duration(left)}`;
}

export const json = (value) => JSON.stringify(value, null, 2) ?? "";
