// @ts-check
/**
 * What is shown, as the address of the page: everything that a person can choose stands in it, so that an address that is
 * sent to somebody, or gone back to, shows the same.
 *
 * In: path and query. Out: a view's name and its texts; and back. Values that are what would be there anyway are left out.
 */

/** @typedef {"overview" | "explore" | "flow" | "completeness" | "paths"} ViewName */
/** @typedef {Readonly<Record<string, string>>} Values */
/** @typedef {{ view: ViewName, values: Values & { from: string, to: string } }} PageState */

/** @type {Readonly<Record<ViewName, string>>} */
export const VIEW_PATHS = {
  overview: "/",
  explore: "/explore",
  flow: "/flow",
  completeness: "/completeness",
  paths: "/paths",
};

/** Values of every view, and what they are if the address does not say. @type {Values} */
export const COMMON = { from: "-1h", to: "now", units: "si" };

/** The tunnels' own datagrams carry all else: added to it they would count everything twice. It can be seen, and taken away. */
export const EXPLORE_FILTER = "not class physical";

/** @type {Readonly<Record<ViewName, Values>>} */
export const DEFAULTS = {
  overview: { ...COMMON, hidden: "" },
  explore: {
    ...COMMON,
    ...{ filter: EXPLORE_FILTER, by: "src,dst", order: "bytes", show: "groups" },
    ...{ sort: "", page: "1", cursor: "" },
  },
  flow: { ...COMMON, node: "", proto: "", src: "", sport: "0", dst: "", dport: "0" },
  completeness: { ...COMMON, check: "" },
  paths: { ...COMMON, from: "-15m", skew: "2s" },
};

/**
 * @param {{ pathname: string, search: string }} address
 * @returns {PageState}
 */
export function readState({ pathname, search }) {
  const views = /** @type {ViewName[]} */ (Object.keys(VIEW_PATHS));
  const view = views.find((name) => VIEW_PATHS[name] === pathname) ?? "overview";
  const query = new URLSearchParams(search);
  const values = Object.entries(DEFAULTS[view]).map((
    [name, byDefault],
  ) => [name, query.get(name) ?? byDefault]);
  return { view, values: /** @type {PageState["values"]} */ (Object.fromEntries(values)) };
}

/**
 * @param {ViewName} view
 * @param {Values} values Names that the view does not know are left out.
 */
export function writeState(view, values) {
  const query = new URLSearchParams();
  for (const [name, byDefault] of Object.entries(DEFAULTS[view])) {
    const value = values[name] ?? byDefault;
    if (value !== byDefault) query.set(name, value);
  }
  const text = String(query);
  return VIEW_PATHS[view] + (text === "" ? "" : `?${text}`);
}

/**
 * Values that go along when another view is opened: of the range, only one that somebody chose.
 * @param {ViewName} view Where they are from.
 * @param {Values} values
 * @returns {Values}
 */
export function sharedValues(view, { from, to, units }) {
  const isDefault = DEFAULTS[view].from === from && DEFAULTS[view].to === to;
  return isDefault ? { units } : { from, to, units };
}
