/**
 * A WebSocket to the brain that comes back by itself and notices when the other side has died.
 */
const FIRST_RETRY = 700; // ms before the first reconnect; at most 5 s are promised
const MAX_RETRY = 15_000;
const OPEN_TIMEOUT = 8_000;
const GOOD_AFTER = 5_000; // a socket that lived so long was a good one; less counts as not opened
const SILENCE = 20_000; // without a word for so long although one is due: ask, then give the socket up

/** Around a time, so that many clients do not come back in the same instant. */
export const jitter = (ms) => ms * (0.85 + 0.3 * Math.random());

export class LiveSocket {
  #socket = null;
  #wanted = false;
  #failures = 0;
  #retry = 0;
  #heartbeat = 0;
  #heard = 0;

  /**
   * `hooks`: `state(name)` with `connecting`, `live` or `down` (two failures in a row: go on without),
   * `message(object)`, `refused()` when the token is not valid, and `probe()`, which answers a message that
   * makes the server speak, or null while nothing is expected of it.
   */
  constructor(url, token, hooks) {
    this.url = url;
    this.token = token;
    this.hooks = hooks;
  }

  start() {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#heartbeat = setInterval(() => this.#checkSilence(), SILENCE / 4);
    globalThis.addEventListener?.("online", this.#online);
    this.#open();
  }

  stop() {
    this.#wanted = false;
    clearInterval(this.#heartbeat);
    clearTimeout(this.#retry);
    globalThis.removeEventListener?.("online", this.#online);
    this.#socket?.close();
  }

  send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #online = () => {
    if (this.#wanted && !this.#socket) this.#open();
  };

  #open() {
    clearTimeout(this.#retry);
    if (this.#failures < 2) this.hooks.state("connecting");
    const socket = new WebSocket(this.url, ["bearer", this.token]);
    this.#socket = socket;
    let openedAt = 0;
    const timeout = setTimeout(() => socket.close(), OPEN_TIMEOUT);
    socket.onopen = () => {
      clearTimeout(timeout);
      openedAt = this.#heard = Date.now();
      this.hooks.state("live");
    };
    socket.onmessage = (event) => {
      this.#heard = Date.now();
      this.hooks.message(JSON.parse(event.data));
    };
    socket.onclose = (event) => {
      clearTimeout(timeout);
      if (this.#socket === socket) this.#lost(event.code, openedAt > 0 && Date.now() - openedAt > GOOD_AFTER);
    };
  }

  #lost(code, wasGood) {
    this.#socket = null;
    if (!this.#wanted) return;
    if (code === 4401) {
      this.stop();
      this.hooks.refused();
      return;
    }
    this.#failures = wasGood ? 1 : this.#failures + 1;
    const wait = Math.min(MAX_RETRY, FIRST_RETRY * 1.7 ** (this.#failures - 1));
    this.#retry = setTimeout(() => this.#open(), jitter(wait));
    this.hooks.state(this.#failures < 2 ? "connecting" : "down");
  }

  #checkSilence() {
    const silent = Date.now() - this.#heard;
    const probe = silent >= SILENCE && this.#socket?.readyState === WebSocket.OPEN ? this.hooks.probe() : null;
    if (!probe) return;
    if (silent < 2 * SILENCE) {
      this.send(probe);
      return;
    }
    const socket = this.#socket;
    socket.onclose = null; // a dead peer never finishes the closing handshake
    socket.close();
    this.#lost(1006, true);
  }
}
