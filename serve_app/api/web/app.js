/**
 * The page itself: who is logged in, which view is shown, and how the connection is.
 */
import { OmerutaBrainClient } from "./client.js";
import { button, fill, h, icon, toast } from "./dom.js";
import { forgetToken, loginScreen, storedToken } from "./login.js";
import { createChat } from "./views/chat.js";
import { createKnowledge } from "./views/knowledge.js";
import { openPassage } from "./views/passage.js";
import { createResearch } from "./views/research.js";
import { createSystem } from "./views/system.js";
import { createTasks } from "./views/tasks.js";

const VIEWS = [
  ["chat", "Chat", "chat"],
  ["knowledge", "Knowledge", "book"],
  ["research", "Research", "compass"],
  ["tasks", "Tasks", "list"],
  ["system", "System", "pulse"],
];

const LIGHTS = {
  live: "Connected", connecting: "Connecting…", polling: "Connected, updates every few seconds", offline: "Not connected",
};

const root = document.getElementById("app");

function start() {
  const token = storedToken();
  if (token) openHouse(token);
  else fill(root, loginScreen(start));
}

function leave(reason = "") {
  forgetToken();
  history.replaceState(null, "", location.pathname);
  // A fresh page is the surest way to keep nothing of the one who leaves.
  if (reason) sessionStorage.setItem("omeruta.notice", reason);
  location.reload();
}

function connectionLight(client) {
  const words = h("span", { class: "light-words" });
  const light = h("p", { class: "light", role: "status", testid: "connection" }, h("span", { class: "dot" }), words);
  const show = (state) => {
    light.dataset.state = document.body.dataset.connection = state;
    light.title = words.textContent = LIGHTS[state];
  };
  client.addEventListener("connection", (event) => show(event.detail.state));
  show(client.connection);
  return light;
}

function openHouse(token) {
  const client = new OmerutaBrainClient(location.origin, token);
  const main = h("main", { id: "main", tabindex: "-1" });
  const context = { client, openPassage: (place) => openPassage(client, place) };
  const chat = createChat(context);
  const views = {
    chat,
    knowledge: createKnowledge(context),
    research: createResearch({ ...context, begin: chat.begin }),
    tasks: createTasks(context),
    system: createSystem(context),
  };
  const links = VIEWS.map(([name, title, sign]) =>
    h("a", { href: `#/${name}`, testid: `nav-${name}` }, icon(sign), h("span", { text: title })));
  const side = h("aside", { class: "side", id: "side", "aria-label": "Views and chats" },
    h("div", { class: "brand" }, h("img", { src: "/static/icon.svg", alt: "", width: 28, height: 28 }),
      h("span", { text: "Omeruta Brain" })),
    h("nav", { class: "nav", "aria-label": "Views", testid: "nav" }, links),
    chat.list,
    h("div", { class: "side-foot" }, connectionLight(client),
      button("Log out", () => leave(), { icon: "leave", kind: "quiet", hideLabel: true })));
  const menu = button("Menu", () => toggleSide(), {
    icon: "menu", kind: "quiet", hideLabel: true, "aria-controls": "side", "aria-expanded": "false",
  });
  const barTitle = h("span", { class: "bar-title" });
  const shade = h("div", { class: "shade", on: { click: () => toggleSide(false) } });

  function toggleSide(open = !document.body.classList.contains("side-open")) {
    document.body.classList.toggle("side-open", open);
    menu.setAttribute("aria-expanded", String(open));
  }

  let shown = null;
  function route() {
    const [, name = "chat", id] = location.hash.split("/");
    const view = views[name] ? name : "chat";
    if (shown && shown !== view) views[shown].hide?.();
    links.forEach((link, at) => {
      if (VIEWS[at][0] === view) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    });
    const title = VIEWS.find(([key]) => key === view)[1];
    barTitle.textContent = title;
    document.title = `${title} · Omeruta Brain`;
    if (shown !== view) main.replaceChildren(views[view].element);
    shown = view;
    views[view].show?.(id ? decodeURIComponent(id) : null);
    toggleSide(false);
  }

  fill(root,
    h("a", { class: "skip", href: "#main", text: "Skip to content", on: { click: (event) => {
      event.preventDefault();
      main.focus();
    } } }),
    side, shade,
    h("div", { class: "stage" },
      h("header", { class: "bar" }, menu, barTitle,
        button("New chat", () => { location.hash = "#/chat"; chat.show(null); }, { icon: "plus", kind: "quiet", hideLabel: true })),
      main));
  window.addEventListener("hashchange", route);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") toggleSide(false);
  });
  client.addEventListener("unauthorized", () => leave("This token is no longer valid. Please log in again."));
  client.addEventListener("error", (event) => toast(event.detail.message));
  client.connectWebSocket();
  route();
}

start();
