/**
 * Chat: conversations that go on side by side, each with its own log, and one composer below.
 */
import { attempt, button, confirm, dialog, field, fill, form, h, icon } from "../dom.js";
import { AGENTS } from "../words.js";
import { AnswerView } from "./answer.js";
import { ConversationList } from "./conversations.js";

const EXAMPLES = ["How do I add a website?", "How does an answer get its sources?", "Where is my data kept?"];
const KEPT_OPEN = 20; // conversations whose log stays in memory
const RESUMED = 5; // unanswered questions of a conversation that are listened to again

export function createChat({ client, openPassage }) {
  const talks = new Map(); // conversation id -> talk
  const live = new Map(); // task id -> {talk, answer}
  const title = h("h1", { class: "talk-name" });
  const tools = h("div", { class: "row" });
  const logs = h("div", { class: "log-frame" });
  let current = null;

  const list = new ConversationList(client, {
    flags: (id) => {
      const talk = talks.get(id);
      return { current: current?.id === id, running: talk?.running > 0, unseen: Boolean(talk?.unseen) };
    },
    create: () => {
      if (location.hash === "#/chat") open(null);
      else location.hash = "#/chat";
    },
  });

  // ---- asking -------------------------------------------------------------------------------------

  const box = h("textarea", {
    rows: 1, maxlength: 8000, placeholder: "Ask your sources", "aria-label": "Your question", testid: "composer",
  });
  const agent = h("select", { "aria-label": "Who answers", testid: "agent-choice" },
    Object.entries(AGENTS).map(([value, text]) => h("option", { value, text })));
  const composer = h("form", { class: "composer" },
    box, h("div", { class: "composer-row" }, agent,
      h("span", { class: "hint keys", text: "Enter sends, Shift+Enter starts a line" }),
      h("button", { type: "submit", class: "button primary round", "aria-label": "Send", title: "Send", testid: "send" }, icon("send"))));
  composer.addEventListener("submit", (event) => {
    event.preventDefault();
    const question = box.value.trim();
    if (!question) return;
    box.value = "";
    ask(question);
  });
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    composer.requestSubmit();
  });

  function ask(question) {
    const talk = current;
    const agentType = agent.value;
    const submit = () => client.submitChat(question, { conversationId: talk.id, agentType });
    const answer = addTurn(talk, question, submit);
    hand(talk, answer, submit);
  }

  /** Hand the question in and listen; what goes wrong stands in the answer's place. */
  async function hand(talk, answer, submit) {
    try {
      follow(talk, answer, await submit());
    } catch (error) {
      answer.fail(error.message);
    }
  }

  function follow(talk, answer, { task_id: taskId, conversation_id: id }) {
    answer.accepted(taskId);
    live.set(taskId, { talk, answer });
    talk.running += 1;
    if (!talk.id) {
      talk.id = id;
      remember(talk);
      if (current === talk) history.replaceState(null, "", `#/chat/${encodeURIComponent(id)}`);
    }
    list.refresh().then(showHead);
  }

  /** Start work of another kind in a conversation of its own. Rejects when it is not accepted. */
  async function begin(question, submit) {
    const accepted = await submit();
    const talk = newTalk(accepted.conversation_id);
    remember(talk);
    follow(talk, addTurn(talk, question, submit), accepted);
    location.hash = `#/chat/${encodeURIComponent(talk.id)}`;
  }

  async function retry(talk, answer, submit) {
    answer.reset();
    if (!answer.taskId) return hand(talk, answer, submit);
    try {
      await client.retryTask(answer.taskId, { after: answer.seq });
    } catch (error) {
      if (error.status === 404) return hand(talk, answer, submit);
      if (error.status !== 409) return answer.fail(error.message);
      client.watch(answer.taskId, { after: answer.seq }); // it is not over: only the listening was
    }
    live.set(answer.taskId, { talk, answer });
    talk.running += 1;
    return list.draw();
  }

  client.addEventListener("message", ({ detail: event }) => {
    const place = live.get(event.task_id);
    if (!place) return;
    place.answer.apply(event);
    if (place.answer.isRunning) return;
    live.delete(event.task_id);
    place.talk.running -= 1;
    place.talk.unseen = place.talk !== current || !element.isConnected;
    list.refresh();
  });

  // ---- conversations ------------------------------------------------------------------------------

  function newTalk(id = null) {
    return { id, log: h("div", { class: "log", testid: "log" }), loaded: !id, running: 0, unseen: false };
  }

  function remember(talk) {
    talk.loaded = true;
    talks.set(talk.id, talk);
    for (const [id, old] of talks) {
      if (talks.size <= KEPT_OPEN) break;
      if (old.running === 0 && old !== current && old !== talk) talks.delete(id);
    }
  }

  function addTurn(talk, question, submit) {
    const answer = new AnswerView({ client, openPassage, retry: (one) => retry(talk, one, submit) });
    const turn = h("section", { class: "turn" }, h("p", { class: "question", testid: "question", text: question }), answer.element);
    if (talk.log.querySelector(".welcome")) talk.log.replaceChildren();
    talk.log.append(turn);
    turn.scrollIntoView({ block: "start" });
    return answer;
  }

  async function load(talk) {
    fill(talk.log, h("p", { class: "quiet center", text: "Loading the conversation" }));
    try {
      const { messages } = await client.request("GET", `api/conversations/${encodeURIComponent(talk.id)}/`);
      talk.log.replaceChildren();
      remember(talk);
      messages.forEach((message, at) => message.role === "user" && replay(talk, messages, at));
      talk.log.lastElementChild?.scrollIntoView({ block: "start" });
    } catch (error) {
      fill(talk.log, h("p", { class: "problem center", role: "alert", text: error.message }));
    }
  }

  function replay(talk, messages, at) {
    const { text, task_id: taskId } = messages[at];
    const reply = messages.slice(at + 1).find((one) => one.role === "assistant" && (one.task_id ?? taskId) === taskId);
    const answer = addTurn(talk, text, () => client.submitChat(text, { conversationId: talk.id }));
    if (reply) {
      answer.taskId = taskId;
      answer.complete({ ...reply.extra, response: reply.text, response_html: reply.html });
    } else if (taskId && messages.length - at <= 2 * RESUMED) {
      follow(talk, answer, { task_id: taskId });
      client.watch(taskId, { conversationId: talk.id });
    } else answer.fail("There is no answer to this.", "Ask again");
  }

  function welcome() {
    return h("div", { class: "welcome" },
      h("h2", { text: "What would you like to know?" }),
      h("p", { class: "lead", text: "Every answer begins with the passages it stands on, so you can check it at a glance." }),
      h("ul", { class: "examples" }, EXAMPLES.map((text) => h("li", {},
        h("button", { type: "button", class: "example", text, testid: "example", on: { click: () => ask(text) } })))));
  }

  /** Open a conversation by id, or a new one. */
  function open(id) {
    if (!(id === null && current && !current.id && current.running === 0 && !current.log.querySelector(".turn"))) {
      current = id === null ? newTalk() : talks.get(id) ?? newTalk(id);
    }
    current.unseen = false;
    logs.replaceChildren(current.log);
    if (!current.loaded) load(current);
    else if (!current.log.firstChild) fill(current.log, welcome());
    else current.log.lastElementChild.scrollIntoView({ block: "start" });
    showHead();
    list.draw();
    if (matchMedia("(hover: hover)").matches) box.focus();
  }

  function showHead() {
    const { id } = current ?? {};
    title.textContent = (id && list.title(id)) || "New chat";
    fill(tools, id && [
      button("Rename", () => rename(id), { icon: "pencil", kind: "quiet", hideLabel: true }),
      button("Delete", () => remove(id), { icon: "trash", kind: "quiet", hideLabel: true }),
    ]);
  }

  function rename(id) {
    const name = h("input", { value: list.title(id) ?? "", maxlength: 200 });
    const shown = dialog("Rename this chat", form([
      field("Name", name), h("button", { type: "submit", class: "button primary", text: "Rename" }),
    ], async () => {
      await client.request("PATCH", `api/conversations/${encodeURIComponent(id)}/`, { title: name.value.trim() });
      shown.close();
      await list.refresh();
      showHead();
    }));
  }

  async function remove(id) {
    if (!(await confirm("Delete this chat?", "Its questions and answers are removed for good.", "Delete"))) return;
    await attempt(async () => {
      await client.request("DELETE", `api/conversations/${encodeURIComponent(id)}/`);
      talks.delete(id);
      list.forget(id);
      location.hash = "#/chat";
    });
  }

  const element = h("div", { class: "chat" }, h("header", { class: "talk-head" }, title, tools), logs,
    h("div", { class: "composer-frame" }, composer));
  list.refresh().then(showHead);
  return { element, list: list.element, begin, show: open };
}
