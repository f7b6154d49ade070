// Addresses. They stand behind #, so the token's page is one page to the router, and a reload finds the view again.
import { h } from "../dom.js";

/** What the navigation shows, in groups. */
export const NAVIGATION = [
  [
    "Rollout",
    [
      ["releases", "Releases"],
      ["approvals", "Approvals"],
      ["experiments", "Experiments"],
    ],
  ],
  [
    "Features",
    [
      ["flags", "Flags"],
      ["switches", "Kill switches"],
      ["cohorts", "Cohorts and canary"],
    ],
  ],
  [
    "Look into",
    [
      ["explain", "Explain"],
      ["audit", "Audit log"],
      ["alerts", "Alerts and health"],
    ],
  ],
  [
    "Administer",
    [
      ["tokens", "Tokens"],
      ["config", "Configuration"],
    ],
  ],
];

/** Each of them by its address. */
export const NAMES = new Map(NAVIGATION.flatMap(([, items]) => items));

const RELEASE_TABS = [
  ["", "Steer"],
  ["plan", "Plan"],
  ["evidence", "Evidence"],
  ["report", "Reports"],
];

const releaseTabs = (current) => (params) =>
  h(
    "nav",
    { class: "tabs", "aria-label": "This release" },
    h(
      "ul",
      {},
      RELEASE_TABS.map(([path, text]) =>
        h(
          "li",
          {},
          h(
            "a",
            {
              href: href(["releases", params[0], path].filter(Boolean).join("/")),
              "aria-current": path === current ? "page" : undefined,
            },
            text,
          ),
        ),
      ),
    ),
  );

const plain = (path, title, load) => ({ pattern: [path], nav: path, title: () => title, load });
const ofRelease = (tab, load) => ({
  pattern: ["releases", null, ...(tab ? [tab] : [])],
  nav: "releases",
  parent: "releases",
  title: (name) => name,
  tabs: releaseTabs(tab),
  load,
});

const ROUTES = [
  plain("releases", "Releases", () => import("./views/releases.js")),
  ofRelease("", () => import("./views/release.js")),
  ofRelease("plan", () => import("./views/plan.js")),
  ofRelease("evidence", () => import("./views/evidence.js")),
  ofRelease("report", () => import("./views/report.js")),
  plain("approvals", "Approvals", () => import("./views/approvals.js")),
  plain("experiments", "Experiments", () => import("./views/experiments.js")),
  {
    pattern: ["experiments", null],
    nav: "experiments",
    parent: "experiments",
    title: (name) => name,
    load: () => import("./views/experiment.js"),
  },
  plain("flags", "Flags", () => import("./views/flags.js")),
  {
    pattern: ["flags", null, null],
    nav: "flags",
    parent: "flags",
    title: (_, key) => key,
    load: () => import("./views/flag.js"),
  },
  plain("switches", "Kill switches", () => import("./views/switches.js")),
  plain("cohorts", "Cohorts and canary", () => import("./views/cohorts.js")),
  {
    pattern: ["cohorts", null],
    nav: "cohorts",
    parent: "cohorts",
    title: (name) => name,
    load: () => import("./views/cohort.js"),
  },
  plain("explain", "Explain", () => import("./views/explain.js")),
  plain("audit", "Audit log", () => import("./views/audit.js")),
  plain("alerts", "Alerts and health", () => import("./views/alerts.js")),
  plain("tokens", "Tokens", () => import("./views/tokens.js")),
  plain("config", "Configuration", () => import("./views/config.js")),
];

/** Gets the code of every view. One that fails is tried again when it is wanted. */
export const fetchAll = () => Promise.allSettled(ROUTES.map(({ load }) => load()));

const NOWHERE = {
  pattern: [],
  nav: "",
  title: () => "There is nothing here",
  load: async () => ({
    view: () => h("p", {}, "The address names no view. ", h("a", { href: "#/releases" }, "To the releases")),
  }),
};

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** What an address means. */
export function find(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const parts = (path || "releases").split("/").map(decoded);
  const fits = ({ pattern }) =>
    pattern.length === parts.length && pattern.every((want, i) => want === null || want === parts[i]);
  const route = ROUTES.find(fits) ?? NOWHERE;
  return { route, params: parts.filter((_, i) => route.pattern[i] === null), query: new URLSearchParams(query) };
}

/** The address of a path, whose parts are not encoded yet. */
export function href(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const search = given.length === 0 ? "" : `?${new URLSearchParams(given)}`;
  return `#/${path.split("/").map(encodeURIComponent).join("/")}${search}`;
}
