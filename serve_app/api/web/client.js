/**
 * Omeruta Brain for the browser. An ES module without dependencies; other pages may import it.
 *
 *   const brain = new OmerutaBrainClient("https://brain.example", token);
 *   brain.addEventListener("token", (event) => console.log(event.detail.text));
 *   await brain.connectWebSocket();
 *   const conversation = await brain.startChat("How do I add a website?");
 *
 * Work is handed in over HTTP under an idempotency key, so that a lost answer can be asked for again without
 * doing the work twice. What comes of it is heard over the WebSocket by number: after a break the client
 * subscribes with the last number it saw. Where no WebSocket is to be had, it polls.
 *
 * Events (`event.detail` is the message): `task_started`, `task_update`, `agent_routed`, `sources`, `token`,
 * `knowledge_expanded`, `task_completed`, `task_failed`, `task_cancelled`, `task_status`, `error`; each of
 * them also as `message`. Of its own: `connection` ({state}: `live`, `connecting`, `polling`, `offline`),
 * `unauthorized`, and `task_silent` ({task_id, error}) when polling has seen no change for too long.
 */
import { BrainError, call } from "./http.js";
import { LiveSocket, jitter } from "./socket.js";

export { BrainError };

const FINAL = { completed: "task_completed", failed: "task_failed", cancelled: "task_cancelled" };
const FINAL_TYPES = new Set(Object.values(FINAL));
const POLL_FIRST = 1_000;
const POLL_MAX = 3_000;
const POLL_GROWTH = 1.1;
const POLL_PATIENCE = 10 * 60_000; // without any change; at least 4 minutes are promised
const RESUBSCRIBE = 3_000; // after the brain could not follow a task just now
const TASK = "api/agents/async/";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const segment = (id) => encodeURIComponent(id);

export class OmerutaBrainClient extends EventTarget {
  #base;
  #token;
  #socket;
  #first = null; // promise of the first connection's outcome
  #settleFirst = null;
  #state = "offline";
  #tasks = new Map(); // unfinished tasks: id -> {id, conversationId, seq, polling, gapAt, routed, sourced}

  constructor(apiBaseUrl = globalThis.location?.origin, authToken = "") {
    super();
    this.#base = new URL(`${String(apiBaseUrl).replace(/\/+$/, "")}/`);
    this.#token = authToken;
    const url = new URL("ws/agent/", this.#base);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    this.#socket = new LiveSocket(url.href, authToken, {
      state: (state) => this.#socketState(state),
      message: (message) => this.#receive(message),
      refused: () => this.#refused(),
      probe: () => this.#probe(),
    });
  }

  get connection() {
    return this.#state;
  }

  // ---- what people ask for ------------------------------------------------------------------------

  /** Ask. `options`: conversationId, agentType (`auto`, …), useContext. Resolves to the conversation's id. */
  async startChat(message, options = {}) {
    return (await this.submitChat(message, options)).conversation_id;
  }

  /** Research a topic. `options`: expandKnowledge, maxSources. Resolves to the conversation's id. */
  async startResearch(topic, options = {}) {
    return (await this.submitResearch(topic, options)).conversation_id;
  }

  /** Read and compare 1 to 20 pages (`comparison`, `summary`, `quality`). Resolves to the conversation's id. */
  async analyzeContent(urls, analysisType = "comparison") {
    return (await this.submitAnalysis(urls, analysisType)).conversation_id;
  }

  /** The same three, resolving to {task_id, conversation_id}. */
  submitChat(message, { conversationId, agentType = "auto", useContext = true } = {}) {
    const body = { conversation_id: conversationId ?? undefined };
    if (!useContext) return this.submit(`${TASK}chat_async/`, { ...body, message, use_context: false });
    return this.submit(`${TASK}multiagent_async/`, { ...body, query: message, agent_type: agentType });
  }

  submitResearch(topic, { expandKnowledge = true, maxSources = 5 } = {}) {
    return this.submit(`${TASK}research_topic/`, { topic, expand_knowledge: expandKnowledge, max_sources: maxSources });
  }

  submitAnalysis(urls, analysisType = "comparison") {
    return this.submit(`${TASK}analyze_content/`, { urls, analysis_type: analysisType });
  }

  /** Hand in work (a JSON body or FormData) and listen for its events. */
  async submit(path, body) {
    const key = Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
    let answer;
    for (let tries = 0; !answer; tries += 1) {
      try {
        answer = await this.request("POST", path, body, { "Idempotency-Key": key });
      } catch (error) {
        if (tries >= 2 || (error.status !== 0 && error.status !== 503)) throw error;
        await sleep(jitter(500 * 2 ** tries));
      }
    }
    this.watch(answer.task_id, { conversationId: answer.conversation_id });
    return answer;
  }

  status(taskId) {
    return this.request("GET", `${TASK}status/${segment(taskId)}/`);
  }

  cancelTask(taskId) {
    return this.request("POST", `api/tasks/${segment(taskId)}/cancel/`);
  }

  /** Run a failed or cancelled task again and listen for what comes after event number `after`. */
  async retryTask(taskId, { after = 0 } = {}) {
    const answer = await this.request("POST", `api/tasks/${segment(taskId)}/retry/`);
    this.watch(taskId, { after });
    return answer;
  }

  /** One HTTP call. Resolves to the JSON answered (null without content), rejects with a BrainError. */
  async request(method, path, body, headers = {}) {
    try {
      return await call(new URL(path.replace(/^\//, ""), this.#base), method, {
        body, headers: { ...headers, Authorization: `Bearer ${this.#token}` },
      });
    } catch (error) {
      if (error.status === 401) this.#emit("unauthorized", {});
      throw error;
    }
  }

  // ---- the WebSocket ------------------------------------------------------------------------------

  /** Connect and stay connected. Resolves true once live, false when it goes on by polling. */
  connectWebSocket() {
    this.#first ??= new Promise((resolve) => { this.#settleFirst = resolve; });
    this.#socket.start();
    return this.#first;
  }

  /** Close the socket and stop listening to every task. */
  disconnect() {
    this.#socket.stop();
    this.#tasks.clear();
    this.#settleFirst?.(false);
    this.#first = null;
    this.#setState("offline");
  }

  /** Listen to a task from its event `after` on; events come as they happen, in order, each once. */
  watch(taskId, { after = 0, conversationId = null } = {}) {
    if (this.#tasks.has(taskId)) return;
    const entry = { id: taskId, conversationId, seq: after, polling: false, gapAt: -1, routed: false, sourced: false };
    this.#tasks.set(taskId, entry);
    if (this.#state === "live") this.#subscribe(entry);
    else if (this.#state === "polling") this.#poll(entry);
    else if (this.#state === "offline") this.connectWebSocket();
  }

  #socketState(state) {
    this.#setState(state === "down" ? "polling" : state);
    if (state === "connecting") return;
    this.#settleFirst(state === "live");
    for (const entry of this.#tasks.values()) {
      if (state === "live") this.#subscribe(entry);
      else this.#poll(entry);
    }
  }

  #refused() {
    this.disconnect();
    this.#emit("unauthorized", {});
  }

  #probe() {
    const [task] = this.#tasks.keys();
    return task === undefined ? null : { action: "check_task", task_id: task };
  }

  #subscribe(entry) {
    this.#socket.send({ action: "subscribe", task_id: entry.id, after: entry.seq, ref: entry.id });
  }

  #receive(message) {
    const entry = this.#tasks.get(message.task_id ?? message.ref);
    if (message.type === "error" && entry) {
      if (message.code === "not_found") this.#finish(entry, "task_failed", { error: message.message });
      else setTimeout(() => this.#tasks.has(entry.id) && this.#subscribe(entry), jitter(RESUBSCRIBE));
    } else if (typeof message.seq !== "number") {
      this.#emit(message.type, message);
    } else if (entry && message.seq > entry.seq) {
      if (message.seq > entry.seq + 1 && entry.gapAt !== entry.seq) {
        entry.gapAt = entry.seq; // ask once for what is missing; if it no longer exists, go on without it
        this.#subscribe(entry);
        return;
      }
      entry.seq = message.seq;
      entry.routed ||= message.type === "agent_routed";
      entry.sourced ||= message.type === "sources";
      if (FINAL_TYPES.has(message.type)) this.#tasks.delete(entry.id);
      this.#emit(message.type, message);
    }
  }

  // ---- polling ------------------------------------------------------------------------------------

  async #poll(entry) {
    if (entry.polling) return;
    entry.polling = true;
    const current = () => this.#state === "polling" && this.#tasks.get(entry.id) === entry;
    let wait = POLL_FIRST;
    let changed = Date.now();
    let last = "";
    while (current()) {
      await sleep(jitter(wait));
      wait = Math.min(POLL_MAX, wait * POLL_GROWTH);
      if (!current()) break;
      const status = await this.status(entry.id).catch((error) => error);
      if (!current()) break;
      if (status instanceof BrainError) {
        if (status.status === 404) this.#finish(entry, "task_failed", { error: status.message });
      } else if (status.status in FINAL) {
        this.#finishPolled(entry, status);
      } else {
        this.#emit("task_update", this.#named(entry, status));
      }
      const seen = JSON.stringify(status);
      if (seen !== last) {
        changed = Date.now();
        last = seen;
      } else if (Date.now() - changed > POLL_PATIENCE) {
        this.#finish(entry, "task_silent", { error: "Nothing has been heard of this for ten minutes." });
      }
    }
    entry.polling = false;
  }

  /** What the socket would have told before the end is told from the result, in the same order. */
  #finishPolled(entry, status) {
    const result = status.result ?? {};
    if (result.selected_agent && !entry.routed) {
      this.#emit("agent_routed", this.#named(entry, {
        selected_agent: result.selected_agent, confidence: result.routing_score,
      }));
    }
    if (result.sources?.length && !entry.sourced) {
      this.#emit("sources", this.#named(entry, { sources: result.sources }));
    }
    this.#finish(entry, FINAL[status.status], { ...status, result: status.result ?? null });
  }

  #finish(entry, type, data) {
    this.#tasks.delete(entry.id);
    this.#emit(type, this.#named(entry, data));
  }

  #named(entry, data) {
    return { ...data, task_id: entry.id, conversation_id: data.conversation_id ?? entry.conversationId };
  }

  #setState(state) {
    if (this.#state === state) return;
    this.#state = state;
    this.#emit("connection", { state });
  }

  #emit(type, detail) {
    const message = { ...detail, type };
    this.dispatchEvent(new CustomEvent(type, { detail: message }));
    if (type !== "connection") this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }
}
