/**
 * The files of the page, as text: from a checkout, a package or the compiled binary alike, without a build step.
 *
 * Out: ASSETS by path, as they are sent. The browser's own code is in client/; uPlot and d3-sankey come as their packages
 * bring them.
 */
import sankeyScript from "d3-sankey/dist/d3-sankey.min.js" with { type: "text" };
import uplotScript from "uplot/dist/uPlot.iife.min.js" with { type: "text" };
import uplotStyle from "uplot/dist/uPlot.min.css" with { type: "text" };
import { FILTER_HELP } from "../filter/mod.ts";
import apiText from "./client/api.js" with { type: "text" };
import appText from "./client/app.js" with { type: "text" };
import chartText from "./client/chart.js" with { type: "text" };
import completionText from "./client/completion.js" with { type: "text" };
import domText from "./client/dom.js" with { type: "text" };
import eventStreamText from "./client/event_stream.js" with { type: "text" };
import exactJsonText from "./client/exact_json.js" with { type: "text" };
import explorePartsText from "./client/explore_parts.js" with { type: "text" };
import filesText from "./client/files.js" with { type: "text" };
import filterBoxText from "./client/filter_box.js" with { type: "text" };
import gridText from "./client/grid.js" with { type: "text" };
import liveText from "./client/live.js" with { type: "text" };
import loginText from "./client/login.js" with { type: "text" };
import mainText from "./client/main.js" with { type: "text" };
import namesText from "./client/names.js" with { type: "text" };
import numbersText from "./client/numbers.js" with { type: "text" };
import panelText from "./client/panel.js" with { type: "text" };
import sankeyText from "./client/sankey.js" with { type: "text" };
import sankeyPartsText from "./client/sankey_parts.js" with { type: "text" };
import tableText from "./client/table.js" with { type: "text" };
import textFilesText from "./client/text_files.js" with { type: "text" };
import timePickerText from "./client/time_picker.js" with { type: "text" };
import timelineText from "./client/timeline.js" with { type: "text" };
import timesText from "./client/times.js" with { type: "text" };
import urlStateText from "./client/url_state.js" with { type: "text" };
import viewCompletenessText from "./client/view_completeness.js" with { type: "text" };
import viewExploreText from "./client/view_explore.js" with { type: "text" };
import viewFlowText from "./client/view_flow.js" with { type: "text" };
import viewOverviewText from "./client/view_overview.js" with { type: "text" };
import viewPathsText from "./client/view_paths.js" with { type: "text" };
import documentText from "./client/index.html" with { type: "text" };
import iconText from "./client/icon.svg" with { type: "text" };
import styleText from "./client/style.css" with { type: "text" };

/** One file. */
export interface Asset {
  readonly type: string;
  readonly text: string;
}

const HTML = "text/html; charset=utf-8";
const SCRIPT = "text/javascript; charset=utf-8";
const STYLE = "text/css; charset=utf-8";
const JSON_TYPE = "application/json";
const ICON = "image/svg+xml";

/** The document of every view. */
export const DOCUMENT: Asset = { type: HTML, text: documentText };

/** By name below /page/. */
export const ASSETS: Readonly<Record<string, Asset>> = {
  "uplot.js": script(uplotScript),
  "uplot.css": { type: STYLE, text: uplotStyle },
  "d3-sankey.js": script(sankeyScript),
  "api.js": script(apiText),
  "app.js": script(appText),
  "chart.js": script(chartText),
  "completion.js": script(completionText),
  "dom.js": script(domText),
  "event_stream.js": script(eventStreamText),
  "exact_json.js": script(exactJsonText),
  "explore_parts.js": script(explorePartsText),
  "files.js": script(filesText),
  "filter_box.js": script(filterBoxText),
  "grid.js": script(gridText),
  "live.js": script(liveText),
  "login.js": script(loginText),
  "main.js": script(mainText),
  "names.js": script(namesText),
  "numbers.js": script(numbersText),
  "panel.js": script(panelText),
  "sankey.js": script(sankeyText),
  "sankey_parts.js": script(sankeyPartsText),
  "table.js": script(tableText),
  "text_files.js": script(textFilesText),
  "time_picker.js": script(timePickerText),
  "timeline.js": script(timelineText),
  "times.js": script(timesText),
  "url_state.js": script(urlStateText),
  "view_completeness.js": script(viewCompletenessText),
  "view_explore.js": script(viewExploreText),
  "view_flow.js": script(viewFlowText),
  "view_overview.js": script(viewOverviewText),
  "view_paths.js": script(viewPathsText),
  "style.css": { type: STYLE, text: styleText },
  "icon.svg": { type: ICON, text: iconText },
  "filter_help.json": { type: JSON_TYPE, text: JSON.stringify(FILTER_HELP) },
};

function script(text: string): Asset {
  return { type: SCRIPT, text };
}
