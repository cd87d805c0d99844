// @ts-check
/// <reference lib="dom" />
/** Where the page begins. */
import { App } from "./app.js";

new App().start();
