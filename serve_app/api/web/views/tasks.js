/**
 * Everything the brain is doing or has done, with ways to stop and repeat it, and its periodic work.
 */
import { attempt, button, every, fill, h, toast } from "../dom.js";
import { ago, humanise, stateName, statusLine } from "../words.js";

const KINDS = {
  chat: "Question", multiagent: "Question", research: "Research", analyze: "Analysis", expand: "New sources",
  crawl: "Website", add_pages: "Pages", add_file: "File", refresh_stale: "Refreshing old pages",
  embed_pending: "Indexing", assess_quality: "Judging quality", clean_up: "Clean-up",
};
const REFRESH = 4; // seconds

export function createTasks({ client }) {
  const filter = h("select", { "aria-label": "Which tasks", testid: "task-filter", on: { change: () => attempt(drawTasks) } },
    h("option", { value: "", text: "All" }),
    ["queued", "processing", "completed", "failed", "cancelled"].map((value) => h("option", { value, text: stateName(value) })));
  const tasks = h("ul", { class: "rows", testid: "tasks" });
  const schedules = h("ul", { class: "rows", testid: "schedules" });
  let stop = null;

  async function drawTasks() {
    const query = new URLSearchParams({ limit: "15", ...(filter.value && { status: filter.value }) });
    const { items } = await client.request("GET", `api/tasks/?${query}`);
    redraw(tasks, items.map(taskRow), "Nothing here.");
  }

  async function drawSchedules() {
    const answer = await client.request("GET", "api/schedules/");
    redraw(schedules, (answer.items ?? answer).map(scheduleRow), "No periodic work.");
  }

  function taskRow(task) {
    const over = !["queued", "processing"].includes(task.status);
    const act = (label, call) => button(label, () => attempt(async () => {
      await call();
      await drawTasks();
    }), { kind: "small", "data-key": `${label}-${task.task_id}` });
    const line = task.status === "failed" ? task.error : over ? null : statusLine(task);
    return h("li", { class: "row-item", testid: "task" },
      h("div", { class: "row-main" },
        h("p", { class: "row-title" }, h("strong", { text: task.title ?? KINDS[task.kind] ?? humanise(task.kind ?? task.queue) }),
          h("span", { class: "chip", "data-state": task.status, text: stateName(task.status) })),
        h("p", { class: "quiet" }, [line, ago(task.finished_at ?? task.started_at ?? task.created_at),
          task.attempt > 1 && `attempt ${task.attempt}`].filter(Boolean).join(" · ")),
        !over && h("progress", { max: 100, value: task.progress ?? 0, "aria-label": "Progress" })),
      h("div", { class: "row" },
        !over && act("Cancel", () => client.cancelTask(task.task_id)),
        (task.status === "failed" || task.status === "cancelled")
          && act("Try again", () => client.request("POST", `api/tasks/${encodeURIComponent(task.task_id)}/retry/`))));
  }

  function scheduleRow(schedule) {
    const path = `api/schedules/${encodeURIComponent(schedule.name)}/`;
    const again = (call) => () => attempt(async () => {
      await call();
      await Promise.all([drawSchedules(), drawTasks()]);
    });
    const next = schedule.enabled ? `next ${ago(schedule.next_fire_at) || "not planned"}` : "switched off";
    const last = schedule.last_fired_at ? `last ${ago(schedule.last_fired_at)}` : "not run yet";
    return h("li", { class: "row-item" },
      h("div", { class: "row-main" },
        h("p", { class: "row-title" }, h("strong", { text: humanise(schedule.name) }), h("code", { text: schedule.cron, title: "UTC" })),
        h("p", { class: "quiet", text: [schedule.description, next, last].filter(Boolean).join(" · ") })),
      h("div", { class: "row" },
        button("Run now", again(async () => {
          await client.request("POST", `${path}run/`);
          toast("It has been started.");
        }), { kind: "small", "data-key": `run-${schedule.name}` }),
        button(schedule.enabled ? "Switch off" : "Switch on",
          again(() => client.request("PATCH", path, { enabled: !schedule.enabled })),
          { kind: "quiet small", "data-key": `switch-${schedule.name}` })));
  }

  const element = h("div", { class: "view" },
    h("header", { class: "view-head split" }, h("h1", { text: "Tasks" }), filter),
    tasks,
    h("section", { "aria-labelledby": "schedules-head" },
      h("h2", { id: "schedules-head", text: "Periodic work" }), schedules));
  return {
    element,
    show() {
      stop?.();
      stop = every(REFRESH, () => Promise.all([drawTasks(), drawSchedules()]));
    },
    hide: () => stop?.(),
  };
}

/** Replace the rows and keep the keyboard's place: the focused button's twin takes the focus over. */
function redraw(list, rows, empty) {
  const key = list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  fill(list, rows.length ? rows : h("li", { class: "quiet", text: empty }));
  if (key) list.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}
