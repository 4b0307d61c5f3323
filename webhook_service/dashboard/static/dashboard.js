"use strict";

// Copying, which every page can do.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-url]");
  if (!button) return;
  const path = button.dataset.copyUrl;
  const done = await copy(path ? new URL(path, location.href).href : button.dataset.copy);
  const label = button.textContent;
  button.textContent = done ? "Copied" : "Not copied";
  button.disabled = true;
  setTimeout(() => { button.textContent = label; button.disabled = false; }, 1200);
});

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyFromField(text); // browsers give the clipboard to secure origins only
  }
}

function copyFromField(text) {
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "visually-hidden";
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}

// The page that one is on, where a narrow screen has no room for all in the navigation.
const navigation = document.querySelector(".top nav");
const here = navigation?.querySelector("[aria-current]");
if (here) navigation.scrollLeft = here.offsetLeft - navigation.offsetLeft - (navigation.clientWidth - here.offsetWidth) / 2;

// The result of a button stands where the button was, so the focus goes on there.
document.addEventListener("htmx:afterSwap", ({ detail }) => {
  const result = detail.target?.querySelector(".notice");
  if (detail.requestConfig?.verb !== "post" || !result || document.activeElement !== document.body) return;
  result.tabIndex = -1;
  result.focus();
});

// New messages: they come into the list while nobody is at it, and else are announced, so that nothing moves under one.
const live = document.getElementById("live");
const announcement = document.getElementById("announcement");
const list = document.getElementById("list");
const EVERY = 750; // milliseconds between two questions, at least
const EVERY_IN_A_FLOOD = 5000;
const EVERY_WHILE_AWAY = 3000;
const LONGEST_WAIT = 25; // seconds that the server holds an answer back while there is nothing to tell
const LATE = 10; // seconds after which an answer is given up
const MOST_COUNTED = 1000;
const MINUTE = 60_000; // milliseconds
const awaited = new Map(); // messages that the list has yet to show: when each was sent, by ID
let furtherDown = []; // when the new ones were sent that stand below the first page, in milliseconds
let isFlood = false; // more messages come than one could read
let timer;
let question; // what the server was asked last
const title = document.title;

if (live) {
  live.hidden = false;
  document.addEventListener("visibilitychange", follow);
  follow();
}

function follow() {
  clearTimeout(timer);
  question?.abort("withdrawn");
  if (document.hidden) say("paused", "Paused");
  else poll(0);
}

// Asks again and again; the server holds back an answer that has nothing to tell for so many seconds.
async function poll(seconds) {
  const asked = Date.now();
  const { signal } = question = new AbortController();
  const lateness = setTimeout((late) => late.abort("late"), (seconds + LATE) * 1000, question);
  const isThere = await ask(seconds, signal);
  clearTimeout(lateness);
  if (signal.reason === "withdrawn") return;
  if (isThere) say("live", "Live");
  else say("offline", "Offline");
  const pause = !isThere ? EVERY_WHILE_AWAY : isFlood ? EVERY_IN_A_FLOOD : Math.max(0, EVERY - (Date.now() - asked));
  timer = setTimeout(poll, pause, isThere ? LONGEST_WAIT : 0);
}

// Asks for new messages; tells whether the server answers.
async function ask(seconds, signal) {
  const after = live.dataset.after;
  const url = new URL(live.dataset.url, location.href);
  url.searchParams.set("after", after);
  if (seconds) url.searchParams.set("wait", seconds);
  try {
    const response = await fetch(url, { headers: { Accept: "application/json" }, cache: "no-store", signal });
    if (response.status === 401) location.reload();
    if (!response.ok) return false;
    isFlood = false;
    if (response.status !== 200) return true;
    const news = await response.json();
    if (live.dataset.after === after) await take(news); // else another answer has told it
    return true;
  } catch {
    return false;
  }
}

function say(state, label) {
  if (live.dataset.state === state) return;
  live.dataset.state = state;
  live.textContent = label;
}

async function take({ after, messages, may_be_more: mayBeMore }) {
  live.dataset.after = after;
  isFlood = mayBeMore;
  const shown = new Set(rows().map(idOf));
  for (const { message_id: id, ts } of messages) if (!shown.has(id) && awaited.size < MOST_COUNTED) awaited.set(id, Date.parse(ts));
  if (!awaited.size) return;
  if (!isFlood && isUnattended()) await renew();
  else announce();
}

// Tells whether a list that moves would bother nobody: it is at its top, and neither pointer nor focus is in it.
function isUnattended() {
  const top = list.scrollTop + (innerWidth < 1024 ? scrollY : 0);
  return top < 4 && !isPaged() && !list.matches(":hover, :focus-within") && !document.querySelector("#message article");
}

function isPaged() {
  return new URL(location.href).searchParams.has("cursor");
}

// A narrow screen shows a message in place of the list.
function isListShown() {
  return list.offsetParent !== null;
}

function announce() {
  const number = counted(awaited.size);
  document.title = awaited.size ? `(${number}) ${title}` : title;
  if (awaited.size) tell(`${number} new ${awaited.size === 1 ? "message" : "messages"}`, firstPage());
  else if (furtherDown.length) tellFurtherDown();
  else tell();
}

function counted(number) {
  return number + (isFlood || number >= MOST_COUNTED ? "+" : "");
}

// The list is by the time of sending, so a message that comes late may not be among the first.
function tellFurtherDown() {
  const [oldest, newest] = [Math.min(...furtherDown), Math.max(...furtherDown)];
  const [since, last, until] = [oldest, newest, newest + MINUTE].map((sent) => new Date(sent).toISOString().slice(0, 16));
  const url = firstPage();
  url.searchParams.set("since", since);
  url.searchParams.set("until", until);
  const times = (since === last ? since : `${since} to ${last}`).replaceAll("T", " ");
  tell(`${counted(furtherDown.length)} new ${furtherDown.length === 1 ? "message" : "messages"} further down, sent ${times}`, url, dismissal());
}

function dismissal() {
  const button = document.createElement("button");
  button.className = "quiet";
  button.textContent = "✕";
  button.ariaLabel = "Dismiss";
  button.addEventListener("click", () => { furtherDown = []; announce(); });
  return button;
}

// Announces a text, or nothing. The same text is left alone, as a screen reader would read it again.
function tell(text, url, ...more) {
  if (text && announcement.querySelector("a")?.textContent === text) return;
  const hasFocus = announcement.querySelector(":focus-visible");
  const link = document.createElement("a");
  link.textContent = text;
  link.href = url;
  announcement.replaceChildren(...(text ? [link, ...more] : []));
  if (hasFocus) focusOn(text ? link : rows()[0]);
}

announcement?.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || !awaited.size || isPaged() || !isListShown()) return; // the link leads there
  event.preventDefault();
  renew();
});

function firstPage() {
  const url = new URL(location.href);
  for (const name of ["cursor", "message"]) url.searchParams.delete(name);
  return url;
}

// Shows the first page anew, and for a moment which of its messages were not there.
async function renew() {
  const expected = [...awaited];
  const headers = { Accept: "text/html", "HX-Request": "true" };
  const response = await fetch(location, { headers, cache: "no-store" }).catch(() => null); // away: announced, to be tried again
  if (!response?.ok) return announce();
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html").querySelector("#list");
  const known = new Set(rows().map(idOf));
  list.replaceChildren(...fresh.childNodes);
  htmx.process(list);
  for (const row of rows()) row.classList.toggle("new", !known.has(idOf(row)));
  list.scrollTop = 0;
  if (innerWidth < 1024) scrollTo(0, 0);
  for (const [id, sent] of expected) if (awaited.delete(id) && isBelow(sent)) furtherDown.push(sent);
  furtherDown.splice(MOST_COUNTED);
  announce();
}

// Tells whether a message is out of sight below an old one. Where a new one ends the first page, new ones just go on below.
function isBelow(sent) {
  const end = rows().at(-1);
  return end && !end.matches(".new") && sent < Date.parse(end.querySelector("time").dateTime);
}

// A hidden page asks for nothing.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden) event.preventDefault();
});

// A message beside the list.
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target?.id === "message") showOpened();
});
document.addEventListener("htmx:historyRestore", showOpened);

function showOpened() {
  const id = new URL(location.href).searchParams.get("message");
  const opened = document.querySelector("#message article");
  document.body.classList.toggle("has-opened", Boolean(opened));
  const before = document.querySelector(".row[aria-current]");
  before?.removeAttribute("aria-current");
  const row = rows().find((each) => idOf(each) === id && opened);
  row?.setAttribute("aria-current", "true");
  document.getElementById("message").scrollTop = 0;
  showSearch();
  if (opened) document.getElementById("opened-title").focus({ preventScroll: innerWidth >= 1024 });
  else before?.focus();
}

// Search in the extra of a message: what does not hold the text is hidden, what holds it is unfolded.
document.addEventListener("input", ({ target }) => {
  if (target.closest(".json-search")) searchIn(document.getElementById("extra"), target.value.trim().toLowerCase());
});

function searchIn(json, wanted) {
  for (const item of json.querySelectorAll(".leaf, details")) {
    const holds = item.textContent.toLowerCase().includes(wanted);
    const isBelowMatch = item.parentElement.closest("details")?.querySelector(":scope > summary .key")?.textContent.toLowerCase().includes(wanted);
    item.hidden = !holds && !isBelowMatch;
    item.classList.toggle("match", Boolean(wanted) && holds && item.matches(".leaf"));
    if (wanted && holds && item.matches("details")) item.open = true;
  }
}

function showSearch() {
  for (const field of document.querySelectorAll(".json-search")) field.hidden = false;
}

function rows() {
  return [...document.querySelectorAll(".row")];
}

function idOf(row) {
  return new URL(row.href).searchParams.get("message");
}

showSearch();

// Filters that are not set stay out of the address.
document.addEventListener("formdata", ({ target, formData }) => {
  if (target.method !== "get") return;
  for (const [name, value] of [...formData]) if (!value) formData.delete(name);
});

// The keyboard.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const field = event.target.closest("input, select, textarea");
  if (field) {
    if (event.key === "Escape") field.blur();
    return;
  }
  const act = KEYS[event.key];
  if (act && act() !== false) event.preventDefault();
});

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  "/": () => focusOn(document.getElementById("q")),
  "?": () => document.getElementById("help")?.showModal() ?? false,
  Escape: () => document.getElementById("close")?.click() ?? false,
};

function step(by) {
  const all = rows();
  const place = all.indexOf(document.activeElement);
  const from = place >= 0 ? place : all.findIndex((row) => row.hasAttribute("aria-current"));
  const to = from < 0 ? 0 : Math.min(Math.max(from + by, 0), all.length - 1);
  if (!all.length || isListShown()) return focusOn(all[to]);
  if (to !== from) all[to].click();
}

function focusOn(element) {
  if (!element) return false;
  element.focus();
  element.select?.();
  return true;
}
