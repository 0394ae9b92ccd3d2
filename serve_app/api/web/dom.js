/**
 * Building blocks of the page: elements, icons, dialogs, notices. Text only ever becomes a text node.
 */
const SVG = "http://www.w3.org/2000/svg";

const PATHS = {
  chat: "M4 5h16v11H10l-5 4v-4H4z",
  book: "M5 4h6a1 1 0 0 1 1 1v15a2 2 0 0 0-2-2H5zM19 4h-6a1 1 0 0 0-1 1v15a2 2 0 0 1 2-2h5z",
  compass: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM15.500 8.500l-2 5-5 2 2-5z",
  list: "M9 6h11M9 12h11M9 18h11M4 6h.01M4 12h.01M4 18h.01",
  pulse: "M3 12h4l3-7 4 14 3-7h4",
  plus: "M12 5v14M5 12h14",
  menu: "M4 7h16M4 12h16M4 17h16",
  close: "M6 6l12 12M18 6L6 18",
  send: "M12 19V5M6 11l6-6 6 6",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  pencil: "M4 20l1-4L16 5l3 3L8 19z",
  open: "M8 5H5v14h14v-3M12 4h8v8M20 4l-9 9",
  again: "M5 12a7 7 0 1 1 2 5M5 19v-4h4",
  leave: "M10 5H5v14h5M14 8l4 4-4 4M18 12H9",
  spark: "M12 4l1.800 5.200L19 11l-5.200 1.800L12 18l-1.800-5.200L5 11l5.200-1.800z",
};

/**
 * An element. `props`: `on` {event: handler}, `testid`, `text`; true or false for boolean attributes; the
 * rest are attributes. Children are nodes, strings (text) or empty values, which are left out.
 */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    } else if (name === "text") node.textContent = String(value);
    else if (name === "testid") node.dataset.testid = value;
    else if (name.startsWith("on") || name === "style") throw new TypeError(`h() takes no ${name} attribute`);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  append(node, children);
  return node;
}

/** Add children as `h` takes them. */
export function append(node, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

/** Replace what is inside. */
export function fill(node, ...children) {
  node.replaceChildren();
  return append(node, children);
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** A button: `icon` and `label` as given; without a visible label the label names it for assistive tools. */
export function button(label, onClick, { icon: name, kind = "", hideLabel = false, ...props } = {}) {
  return h("button", {
    type: "button",
    class: `button ${kind} ${hideLabel ? "round" : ""}`.trim(),
    "aria-label": hideLabel ? label : null,
    title: hideLabel ? label : null,
    on: onClick ? { click: onClick } : {},
    ...props,
  }, name && icon(name), !hideLabel && h("span", { text: label }));
}

let fields = 0;

/** A labelled form field around `input`; `hint` is tied to it for assistive tools. */
export function field(label, input, hint = "") {
  const id = (input.id ||= `field-${++fields}`);
  if (hint) input.setAttribute("aria-describedby", `${id}-hint`);
  return h("div", { class: "field" },
    h("label", { for: id, text: label }), input,
    hint && h("p", { class: "hint", id: `${id}-hint`, text: hint }));
}

/** A form that calls `submit` (async) once at a time and shows its error as a sentence. */
export function form(children, submit, props = {}) {
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const node = h("form", { novalidate: true, ...props }, children, problem);
  node.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (node.dataset.busy) return;
    node.dataset.busy = "yes";
    problem.hidden = true;
    try {
      await submit();
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    } finally {
      delete node.dataset.busy;
    }
  });
  return node;
}

/** Open a modal dialog; answers {element, close}. Escape, the close button and the backdrop end it. */
export function dialog(title, body, { wide = false, actions = [], onClose } = {}) {
  const back = document.activeElement;
  const close = () => element.close();
  const element = h("dialog", { class: wide ? "dialog wide" : "dialog", "aria-label": title },
    h("header", { class: "dialog-head" },
      h("h2", { text: title }), button("Close", close, { icon: "close", kind: "quiet", hideLabel: true })),
    h("div", { class: "dialog-body" }, body),
    actions.length > 0 && h("footer", { class: "dialog-actions" }, actions));
  element.addEventListener("click", (event) => {
    if (event.target === element) close();
  });
  element.addEventListener("close", () => {
    element.remove();
    onClose?.();
    if (back instanceof HTMLElement && back.isConnected) back.focus();
  });
  document.body.append(element);
  element.showModal();
  return { element, close };
}

/** Ask before something cannot be undone. Resolves true or false. */
export function confirm(title, text, action) {
  return new Promise((resolve) => {
    let answer = false;
    const sure = button(action, () => { answer = true; box.close(); }, { kind: "danger", testid: "confirm" });
    const box = dialog(title, h("p", { text }), {
      actions: [button("Keep it", () => box.close()), sure],
      onClose: () => resolve(answer),
    });
  });
}

/** A short notice at the edge of the page, read out politely. */
export function toast(text) {
  let stack = document.querySelector(".toasts");
  if (!stack) {
    stack = h("div", { class: "toasts", role: "status" });
    document.body.append(stack);
  }
  const note = h("p", { class: "toast", text });
  stack.append(note);
  setTimeout(() => note.remove(), 6000);
}

/** Run an action of a button and say in words when it fails. */
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    toast(error.message);
    return undefined;
  }
}

/** Call `refresh` now and every `seconds` while the returned stop function is not called and the tab is seen. */
export function every(seconds, refresh) {
  let timer = 0;
  let stopped = false;
  const turn = async () => {
    if (!document.hidden) await attempt(refresh);
    if (!stopped) timer = setTimeout(turn, seconds * 1000);
  };
  turn();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
