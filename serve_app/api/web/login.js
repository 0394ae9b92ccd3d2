/**
 * The way in: a token, kept for this tab or, when asked to, on this device.
 */
import { BrainError, call } from "./http.js";
import { field, form, h } from "./dom.js";

const KEY = "omeruta.token";

export function storedToken() {
  return sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY);
}

export function forgetToken() {
  sessionStorage.removeItem(KEY);
  localStorage.removeItem(KEY);
}

async function logIn(token, keep) {
  if (!token) throw new BrainError("Please enter a token.");
  try {
    await call(new URL("/api/auth/login/", location.origin), "POST", { body: { token } });
  } catch (error) {
    if (error.status !== 401) throw error;
    throw new BrainError("This token is not known here. Check that all of it was copied, or make a new one.");
  }
  (keep ? localStorage : sessionStorage).setItem(KEY, token);
}

/** The login screen; calls `done` once a token was accepted. */
export function loginScreen(done) {
  const token = h("input", {
    type: "password", name: "token", autocomplete: "current-password", spellcheck: "false", autocapitalize: "off",
    autofocus: true, testid: "login-token",
  });
  const keep = h("input", { type: "checkbox", id: "keep" });
  const notice = sessionStorage.getItem("omeruta.notice");
  sessionStorage.removeItem("omeruta.notice");
  return h("main", { class: "login" },
    h("div", { class: "login-card" },
      h("img", { src: "/static/icon.svg", alt: "", width: 52, height: 52 }),
      h("h1", { text: "Omeruta Brain" }),
      h("p", { class: "lead", text: "Answers from the sources you gave it, with the passages they come from." }),
      notice && h("p", { class: "problem", role: "alert", text: notice }),
      form([
        field("Token", token),
        h("div", { class: "check" }, keep, h("label", { for: "keep", text: "Keep me logged in on this device" })),
        h("button", { type: "submit", class: "button primary wide", testid: "login-submit", text: "Log in" }),
      ], async () => {
        await logIn(token.value.trim(), keep.checked);
        done();
      }),
      h("p", { class: "hint" }, "No token at hand? On the machine that runs the brain, type ",
        h("code", { text: "omeruta token" }), ".")));
}
