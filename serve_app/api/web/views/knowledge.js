/**
 * What the brain knows: ways to add to it, work going on, and the library of pages.
 */
import { BrainError } from "../http.js";
import { attempt, field, form, h, toast } from "../dom.js";
import { host } from "../words.js";
import { JobView } from "./job.js";
import { createLibrary } from "./library.js";

const SHOWN_JOBS = 12;
const RECENT = 5; // finished jobs shown when the page is opened

export function createKnowledge({ client, openPassage }) {
  const jobs = new Map(); // task id -> JobView
  const jobList = h("div", { class: "jobs", testid: "jobs" });
  const library = createLibrary({ client, openPassage });

  function addJob(job) {
    jobs.set(job.taskId, job);
    jobList.prepend(job.element);
    for (const [id, old] of jobs) {
      if (jobs.size <= SHOWN_JOBS) break;
      if (!old.isOver) continue;
      old.element.remove();
      jobs.delete(id);
    }
  }

  async function begin(title, path, body) {
    const { task_id: taskId } = await client.submit(path, body);
    addJob(new JobView(client, taskId, title));
  }

  client.addEventListener("message", ({ detail: event }) => {
    const job = jobs.get(event.task_id);
    if (!job) return;
    job.apply(event);
    if (job.isOver) library.refresh();
  });

  /** Work that began elsewhere, or before this page was opened. */
  async function findJobs() {
    const { items } = await client.request("GET", "api/tasks/?queue=crawling&limit=20");
    const running = (one) => one.status === "queued" || one.status === "processing";
    const finished = items.filter((one) => !running(one)).slice(0, RECENT);
    const wanted = items.filter((one) => !jobs.has(one.task_id) && (running(one) || finished.includes(one)));
    for (const status of wanted.reverse()) {
      const job = new JobView(client, status.task_id, titleOf(status), status);
      job.seq = status.last_seq ?? 0;
      addJob(job);
      if (running(status)) client.watch(status.task_id, { after: job.seq });
    }
  }

  // ---- forms --------------------------------------------------------------------------------------

  const site = h("input", { type: "url", placeholder: "https://docs.example.org", inputmode: "url", testid: "crawl-url" });
  const pages = h("input", { type: "number", min: 1, max: 100000, value: 100, testid: "crawl-pages" });
  const depth = h("input", { type: "number", min: 0, max: 50, value: 5, testid: "crawl-depth" });
  const crawl = form([
    field("Address", site),
    h("div", { class: "pair" }, field("Pages at most", pages), field("Links deep", depth)),
    h("p", { class: "hint", text: "It stays on this site, keeps to the site's robots.txt and reads at an unhurried pace." }),
    h("button", { type: "submit", class: "button primary", text: "Read this website", testid: "crawl-start" }),
  ], async () => {
    const url = webAddress(site.value);
    await begin(host(url), "api/crawls/", { url, max_pages: count(pages), max_depth: count(depth) });
    site.value = "";
  });

  const page = h("input", { type: "url", placeholder: "https://example.org/article", inputmode: "url", testid: "page-url" });
  const addPage = form([
    field("One page", page),
    h("button", { type: "submit", class: "button", text: "Add page", testid: "page-add" }),
  ], async () => {
    const url = webAddress(page.value);
    await begin(url, "api/pages/", { url });
    page.value = "";
  });

  const file = h("input", { type: "file", accept: ".html,.htm,.md,.markdown,.txt,.pdf,.docx", testid: "file" });
  const upload = form([
    field("A file", file, "HTML, Markdown, text, PDF or Word"),
    h("button", { type: "submit", class: "button", text: "Upload", testid: "file-add" }),
  ], async () => {
    const [chosen] = file.files;
    if (!chosen) throw new BrainError("Choose a file first.");
    const data = new FormData();
    data.append("file", chosen);
    await begin(chosen.name, "api/files/", data);
    file.value = "";
    toast(`${chosen.name} was handed over.`);
  });

  const element = h("div", { class: "view" },
    h("header", { class: "view-head" }, h("h1", { text: "Knowledge" }),
      h("p", { class: "lead", text: "Give it websites, pages and files. Answers come from these alone." })),
    h("div", { class: "columns" },
      h("section", { class: "card", "aria-labelledby": "add-site" }, h("h2", { id: "add-site", text: "Add a website" }), crawl),
      h("section", { class: "card", "aria-labelledby": "add-more" }, h("h2", { id: "add-more", text: "Add a page or a file" }), addPage, upload)),
    jobList, library.element);

  return {
    element,
    show() {
      attempt(findJobs);
      library.refresh();
    },
  };
}

function titleOf(status) {
  return status.title ?? status.url ?? status.args?.url ?? { crawl: "Website", add_pages: "Pages", add_file: "File" }[status.kind]
    ?? "Background reading";
}

/** People leave out the scheme; the brain wants it. */
function webAddress(text) {
  const typed = text.trim();
  if (!typed) throw new BrainError("Please enter an address.");
  const address = /^[a-z][a-z0-9+.-]*:\/\//i.test(typed) ? typed : `https://${typed}`;
  if (!URL.canParse(address)) throw new BrainError("This does not look like a web address.");
  return address;
}

function count(input) {
  const value = Number(input.value);
  if (!Number.isInteger(value) || value < Number(input.min) || value > Number(input.max)) {
    throw new BrainError(`Please enter a whole number from ${input.min} to ${input.max}.`);
  }
  return value;
}
