// @ts-check
/// <reference lib="dom" />
/** The form that a key is given to, and what is said to whom no key can help. */
import { ApiError, login } from "./api.js";
import { h, replace } from "./dom.js";

/** @param {() => void} onDone */
export function loginForm(onDone) {
  const key = h("input", {
    type: "password",
    name: "key",
    required: true,
    autocomplete: "current-password",
    "aria-describedby": "login-problem",
    id: "login-key",
  });
  const problem = h("p", { id: "login-problem", class: "field-problem", role: "alert" });
  const button = h("button", { type: "submit" }, "Log in");
  const submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    button.disabled = true;
    replace(problem);
    try {
      await login(key.value);
      onDone();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      replace(
        problem,
        error.kind === "forbidden" ? "This is not an API key of this collector" : error.message,
      );
      key.select();
    } finally {
      button.disabled = false;
    }
  };
  const form = h(
    "form",
    { class: "login", submit, method: "post", action: "/login" },
    h("h1", {}, "API key"),
    h(
      "p",
      { class: "muted" },
      "This collector shows its log to who has a key. ",
      h("code", {}, "tunlog collect key add NAME"),
      " makes one.",
    ),
    ...[h("label", { for: "login-key" }, "Key"), key, problem, button],
  );
  setTimeout(() => key.focus());
  return form;
}

export function forbiddenNote() {
  return h(
    "div",
    { class: "login", role: "alert" },
    h("h1", {}, "Only on its own machine"),
    h(
      "p",
      {},
      "As long as this collector has no API key, it answers who asks from the machine it runs on. Make a key there, then load this page again:",
    ),
    h("pre", {}, "tunlog collect key add NAME"),
  );
}
