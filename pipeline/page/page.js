/* The page: the newest picture with the last hour, a day, the calendar, and pictures large, one by one or as a slideshow.

   What it shows comes from small scripts beside it that call pictureAMinute(name, data): they load from file:// too, where
   fetch does not. The texts in them are strangers': they become text nodes, and addresses links only if they are the web's.

   A tablet on a wall is old: ES2017, no async functions, and of the DOM only what browsers of 2018 had, unless asked for. */
(function () {
"use strict";

const MINUTE = 60000; // milliseconds; all other times are in minutes
const HOUR = 60;
const DAY = 1440;
const STALE = 5; // without a new picture
const PATIENCE = 30000; // milliseconds for a file to load
const KEPT_HOURS = 100; // in memory: a slideshow of everything goes on for months
const MOST_PLAYED = 100; // pictures to go back to in a slideshow
const EMPTY_HOURS = 48; // in a row: further on there is nothing, or the server is away
const MOST_LETTERS = 80; // of a name
const FADE = 1500; // milliseconds, a little more than in page.css
const VERSION = document.currentScript.src.split("?")[1];

/* TIME. A minute is a whole number: the minutes since 1970, UTC. */

const iso = at => new Date(at * MINUTE).toISOString();
const dayOf = at => iso(at).slice(0, 10);
const clockOf = at => iso(at).slice(11, 16);
const nameOf = at => iso(at).slice(0, 16).replace(":", ""); // 2026-11-23T1205
const hourOf = at => at - (at % HOUR);
const midnightOf = at => at - (at % DAY);
const pathOf = at => `${dayOf(at)}/${nameOf(at).slice(11)}.jpg`;
const pad = number => (number < 10 ? `0${number}` : String(number));
const dateWords = (at, parts) => new Date(at * MINUTE).toLocaleDateString("en-GB", Object.assign({ timeZone: "UTC" }, parts));
const longDay = at => dateWords(at, { weekday: "long", day: "numeric", month: "long", year: "numeric" });

/* Return the minute of a name, 2026-11-23 or 2026-11-23T1205; NaN if it is none. */
function minuteOf(name) {
  const parts = /^(\d{4}-\d\d-\d\d)(?:T(\d\d)(\d\d))?$/.exec(name);
  return parts ? Date.parse(`${parts[1]}T${parts[2] || "00"}:${parts[3] || "00"}:00Z`) / MINUTE : NaN;
}

/* Return the address of a picture, or its thumbnail. The photo is in it, for caches: after a ban a minute has another. */
const pictureOf = (at, entry) => `${pathOf(at)}?${text(entry.id).replace(/[^\w-]/g, "")}`;
const thumbnailOf = (at, entry) => (entry.thumb ? pictureOf(at, entry).replace("/", "/thumb/") : pictureOf(at, entry));

/* Return the numbers from one to another, both included, upwards; none if the last is below the first. */
const span = (from, to) => Array.from({ length: Math.max(0, to - from + 1) }, (_, number) => from + number);

/* ELEMENTS */

/* Return a new element. Functions become listeners, attributes that are null or false are left out, texts become text nodes. */
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  Object.keys(attributes || {}).forEach(name => {
    const value = attributes[name];
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  });
  return put(element, ...children);
}

function put(element, ...children) {
  children.filter(child => child !== null && child !== "").forEach(child => {
    element.appendChild(typeof child === "object" ? child : document.createTextNode(child));
  });
  return element;
}

function refill(element, ...children) {
  while (element.firstChild) element.removeChild(element.firstChild);
  return put(element, ...children);
}

/* Return the parts that are not empty, with dots between them. */
function dotted(...parts) {
  return parts.filter(Boolean).reduce((all, part) => all.concat(all.length ? [" · ", part] : [part]), []);
}

const text = value => (value === undefined || value === null ? "" : String(value).trim());
const count = (number, one, many) => `${number.toLocaleString("en-GB")} ${number === 1 ? one : many}`;
const isAddress = value => /^https?:\/\//i.test(text(value));

/* Return a stranger's words: of a reasonable length, and whatever way they are written, what is beside them is not turned. */
function foreign(words) {
  const shown = text(words);
  return shown && make("bdi", null, shown.length > MOST_LETTERS ? `${shown.slice(0, MOST_LETTERS)}…` : shown);
}

/* Return a link to another site, or its words alone if the address is not the web's. */
function outside(address, words) {
  return isAddress(address) ? make("a", { href: address, rel: "noopener", target: "_blank" }, words) : words;
}

const ICONS = {
  calendar: "M4 6h16v14H4zM4 10.5h16M8.5 3v5M15.5 3v5",
  clock: "M12 3a9 9 0 1 0 .01 0zM12 7v5l3.5 2",
  close: "M5 5l14 14M19 5L5 19",
  full: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  newest: "M3 5h18v14H3zM3 16l5-5 4 4 3-3 6 5",
  next: "M9 4l8 8-8 8",
  pause: "M8 5v14M16 5v14",
  play: "M7 4.5v15l12.5-7.5z",
  previous: "M15 4l-8 8 8 8",
  shuffle: "M3 7h4l10 10h4M3 17h4l3-3M14 10l3-3h4M18.5 4l3 3-3 3M18.5 14l3 3-3 3",
};

function icon(name) {
  const [svg, path] = ["svg", "path"].map(tag => document.createElementNS("http://www.w3.org/2000/svg", tag));
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  svg.appendChild(path);
  return svg;
}

const named = (label, ...more) => Object.assign({ class: "icon", "aria-label": label, title: label }, ...more);
const button = (name, label, click, more) => make("button", named(label, { type: "button", click }, more), icon(name));
const iconLink = (name, label, href) => make("a", named(label, { href }), icon(name));

/* DATA */

const handed = {};
const loading = new Map();
window.pictureAMinute = (name, data) => {
  handed[name] = data;
};

/* Load PATH.js and return what it hands over under its name: undefined if it is not there or does not come in time. */
function load(path, name) {
  if (loading.has(name)) return loading.get(name);
  const loaded = new Promise(resolve => {
    const unique = Date.now().toString(36) + Math.random().toString(36).slice(2, 8); // no cache may answer
    const script = make("script", { src: `${path}.js?${unique}` });
    const finish = () => {
      clearTimeout(timer);
      script.remove();
      loading.delete(name);
      resolve(handed[name]);
    };
    const timer = setTimeout(finish, PATIENCE);
    delete handed[name];
    script.onload = script.onerror = finish;
    document.head.appendChild(script);
  });
  loading.set(name, loaded);
  return loaded;
}

/* What is known: newest.js, the last minute of which anything is known, the newest that has a picture, and when that came. */
const known = { newest: null, last: NaN, picture: NaN, calendar: null, favourites: null, arrived: null };
const hours = new Map(); // the minutes of the hours that were loaded, by name
const outdated = new Set(); // hours that have changed since
const hourName = at => nameOf(at).slice(0, 13);

const entryAt = at => (hours.get(hourName(at)) || {})[nameOf(at).slice(13)];
const isPicture = entry => typeof entry === "object" && entry !== null && !("error" in entry);
const isFavourite = at => known.favourites !== null && known.favourites.has(nameOf(at));
const firstMinute = () => Math.min(minuteOf(known.newest.first) || known.picture, known.picture);
const isPast = at => at >= firstMinute() && at <= known.last;
const everything = () => ({ from: firstMinute(), to: known.last });

/* Load the minutes of an hour, once unless they are wanted again. What was loaded stays while the file is away. */
function loadHour(at, again) {
  const name = hourName(at);
  if (hours.has(name) && !again && !outdated.has(name)) return Promise.resolve(hours.get(name));
  return load(name.replace("T", "/"), name).then(minutes => {
    if (minutes) {
      outdated.delete(name);
      hours.delete(name);
      hours.set(name, minutes);
      if (hours.size > KEPT_HOURS) hours.delete(hours.keys().next().value);
    }
    return hours.get(name);
  });
}

/* Follow the hours on from one that may have been written since; return the last minute of which anything is known. */
function followHours(hour) {
  return loadHour(hour, true).then(minutes => {
    const last = Object.keys(minutes || {}).sort().pop();
    if (last === undefined) return NaN;
    return last === "59" ? followHours(hour + HOUR).then(later => later || hour + 59) : hour + Number(last);
  });
}

/* Learn what is new from newest.js, and from the hours since the one that it names, or the last one known. */
function learn() {
  return load("newest", "newest").then(newest => {
    const newestMinute = minuteOf(newest && newest.minute);
    if (!newestMinute) return undefined;
    if (newest.version && newest.version !== VERSION && performance.now() > HOUR * MINUTE) location.reload();
    const isNews = !known.newest || known.newest.minute !== newest.minute;
    const from = hourOf(isNews ? newestMinute : known.last);
    const calendar = isNews || (current && current.needsCalendar) ? learnCalendar() : null;
    known.newest = newest;
    return Promise.all([followHours(from), learnFavourites(), calendar]).then(([last]) => {
      known.last = Math.max(last || newestMinute, newestMinute);
      return loadHour(known.last - HOUR);
    }).then(() => findPicture(known.last, -1, { from: from - HOUR, to: known.last })).then(rememberPicture);
  });
}

function rememberPicture(at) {
  if (at === null || at === known.picture) return;
  if (known.picture) known.arrived = performance.now();
  known.picture = at;
}

function learnFavourites() {
  return load("favourites", "favourites").then(names => {
    if (Array.isArray(names)) known.favourites = new Set(names);
  });
}

/* Load the calendar. A day of which it tells other numbers than before has changed: its hours are to be loaded again. */
function learnCalendar() {
  return load("calendar", "calendar").then(calendar => {
    if (!calendar) return;
    const hasChanged = day => known.calendar && String(known.calendar[day]) !== String(calendar[day]);
    Array.from(hours.keys()).filter(name => hasChanged(name.slice(0, 10))).forEach(name => outdated.add(name));
    known.calendar = calendar;
  });
}

const isPruned = at => dayOf(at) < known.newest.pruned;
const countsOf = day => (known.calendar && known.calendar[day]) || [0, 0];
const isToday = at => midnightOf(at) === midnightOf(known.last); // of which the calendar may not know yet
const keptOf = day => Array.from(known.favourites || []).filter(name => name.startsWith(day)); // though the day was pruned
const hasPictures = at => !known.calendar || isToday(at) || countsOf(dayOf(at))[0] > 0 || keptOf(dayOf(at)).length;

/* Return the nearest minute from `at` on, backwards or forwards, that has a picture (of the topic) in the range, else null. */
function findPicture(at, step, range, patience = EMPTY_HOURS) {
  if (!(at >= range.from && at <= range.to) || patience < 0) return Promise.resolve(null);
  if (!hasPictures(at)) return findPicture(midnightOf(at) + (step < 0 ? -1 : DAY), step, range, patience);
  const hour = hourOf(at);
  return loadHour(hour).then(minutes => {
    for (let minute = at; hourOf(minute) === hour && minute >= range.from && minute <= range.to; minute += step) {
      const entry = entryAt(minute);
      if (isPicture(entry) && (!range.topic || entry.topic === range.topic)) return minute;
    }
    return findPicture(hour + (step < 0 ? -1 : HOUR), step, range, minutes ? EMPTY_HOURS : patience - 1);
  });
}

/* Tell whether pictures have stopped coming. A clock that is far off, as a tablet's may be, is not asked. */
function isStale() {
  const age = Date.now() / MINUTE - known.picture;
  const quiet = (performance.now() - known.arrived) / MINUTE;
  const isClockWrong = age < -2 || (known.arrived !== null && age > DAY && quiet < STALE);
  return isClockWrong ? quiet >= STALE : age >= STALE;
}

/* WORDS */

const describe = entry => text(entry.alt) || text(entry.topic) || "a picture";
const star = at => (isFavourite(at) ? make("span", { class: "star", title: "A favourite" }, "★") : null);

function credit(entry) {
  const name = foreign(entry.name);
  return name && make("span", null, "Photo by ", outside(entry.user, name), " on ", outside(entry.unsplash, "Unsplash"));
}

function moment(at) {
  const here = new Date(at * MINUTE);
  const own = here.getTimezoneOffset() ? ` (${here.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })} here)` : "";
  return make("span", null, make("time", { datetime: here.toISOString() }, `${dayOf(at)} ${clockOf(at)} UTC`), own);
}

/* Return why a minute has no picture: in a word, and the reason if one is known. */
function gapAt(at) {
  const entry = entryAt(at);
  if (entry) return { kind: "failed", reason: text(entry.error) };
  return { kind: !isPast(at) ? "not stored" : isPruned(at) ? "pruned" : "missing", reason: "" };
}

/* A STAGE: one picture as large as there is room, its blurred self behind it, its caption below. */

function makeStage(frame, aside, tell) {
  const fills = make("div", { class: "fills", "aria-hidden": "true" });
  const words = make("div", { class: "words" });
  const element = make("figure", { class: "stage" }, fills, frame, make("figcaption", null, words, aside));
  const stage = { element, shown: NaN, show, say };
  let wanted = NaN;

  /* Show a picture with its caption once it has loaded; return whether that is so. */
  function show(at) {
    wanted = at;
    const entry = entryAt(at);
    return loadImage(pictureOf(at, entry), describe(entry)).then(image => {
      if (!image || wanted !== at) return false;
      stage.shown = at;
      element.style.setProperty("--ratio", entry.height / entry.width || 2 / 3);
      element.style.backgroundColor = text(entry.color); // what is no colour is ignored
      crossFade(fills, make("img", { src: thumbnailOf(at, entry), alt: "" }));
      crossFade(frame, image);
      tell(words, at, entry);
      return true;
    });
  }

  /* Show words in the place of a picture. */
  function say(message) {
    wanted = stage.shown = NaN;
    crossFade(fills, make("i"));
    crossFade(frame, make("p", { class: "message" }, message));
    refill(words);
    refill(aside);
  }
  return stage;
}

/* Return an image that is ready to be painted, null if it does not come. */
function loadImage(path, alt) {
  return new Promise(resolve => {
    const image = make("img", { alt });
    setTimeout(resolve, PATIENCE, null);
    image.onerror = () => resolve(null);
    image.onload = () => {
      const ready = () => resolve(image);
      if (image.decode) image.decode().then(ready, ready);
      else ready();
    };
    image.src = path;
  });
}

function crossFade(parent, next) {
  Array.from(parent.children).forEach(old => {
    old.classList.add("leaving");
    old.setAttribute("aria-hidden", "true");
    setTimeout(() => old.remove(), FADE);
  });
  parent.appendChild(next);
}

/* GRIDS: one Tab stop each, arrow keys inside, and a card beside what is pointed at. */

const signatures = new WeakMap();

/* Give an element a child for each item, and keep each child whose signature is the same as before, and the focus with it. */
function sync(parent, items, sign, makeChild) {
  const before = new Map(Array.from(parent.children).map(child => [signatures.get(child), child]));
  items.forEach((item, place) => {
    const signature = sign(item);
    const child = before.get(signature) || makeChild(item);
    signatures.set(child, signature);
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] || null);
  });
  while (parent.children.length > items.length) parent.lastElementChild.remove();
}

const signMinute = at => `${at} ${isFavourite(at)} ${JSON.stringify(entryAt(at))}`;

function makeGrid(element, fillCard) {
  const point = event => {
    const cell = event.target.closest("[data-at]");
    if (cell && event.type === "focusin") setStop(element, cell);
    if (cell && fillCard) showCard(cell, fillCard);
  };
  ["focusin", "mouseover"].forEach(name => element.addEventListener(name, point));
  ["focusout", "mouseout"].forEach(name => element.addEventListener(name, hideCard));
  element.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const cells = Array.from(element.querySelectorAll("[data-at]"));
    const next = reach(cells, cells.indexOf(event.target), event.key);
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
  return element;
}

/* Make one cell of a grid its Tab stop: the given one, else the one that was, else the first. */
function setStop(grid, cell) {
  const before = grid.querySelector("[data-at][tabindex='0']");
  const next = cell || before || grid.querySelector("[data-at]");
  if (before && before !== next) before.setAttribute("tabindex", "-1");
  if (next) next.setAttribute("tabindex", "0");
}

/* Return the cell that a key leads to from the one in this place. */
function reach(cells, place, key) {
  if (place < 0) return undefined;
  const ways = {
    ArrowLeft: () => cells[place - 1],
    ArrowRight: () => cells[place + 1],
    ArrowUp: () => nearestInNextRow(cells[place], cells.slice(0, place).reverse()),
    ArrowDown: () => nearestInNextRow(cells[place], cells.slice(place + 1)),
    Home: () => cells[0],
    End: () => cells[cells.length - 1],
  };
  return ways[key] && ways[key]();
}

function nearestInNextRow(cell, others) {
  const box = cell.getBoundingClientRect();
  const boxes = others.map(other => other.getBoundingClientRect());
  const first = boxes.find(other => Math.abs(other.top - box.top) > 2);
  const isInRow = other => first && Math.abs(other.top - first.top) < 2;
  const distances = boxes.map(other => (isInRow(other) ? Math.abs(other.left - box.left) : Infinity));
  return first && others[distances.indexOf(Math.min(...distances))];
}

const card = make("div", { class: "card", hidden: true, "aria-hidden": "true" });

function hideCard() {
  card.hidden = true;
}

function showCard(cell, fillCard) {
  refill(card, ...fillCard(Number(cell.dataset.at)));
  card.hidden = false;
  const box = cell.getBoundingClientRect();
  const isRoomBelow = box.bottom + card.offsetHeight + 16 < innerHeight;
  card.style.left = `${Math.max(8, Math.min(box.left, innerWidth - card.offsetWidth - 8))}px`;
  card.style.top = `${isRoomBelow ? box.bottom + 8 : Math.max(8, box.top - card.offsetHeight - 8)}px`;
}

/* Return the links from a view to a slideshow and to other views. */
function controls(href, label, ...others) {
  return make("nav", { class: "controls", "aria-label": "More" }, ...others, iconLink("play", label, href), fullScreenButton());
}

const toNewest = () => iconLink("newest", "The newest picture", "#");
const toCalendar = () => iconLink("calendar", "Calendar", "#calendar");

/* THE NEWEST PICTURE, and the last hour. */

function newestView() {
  const frame = make("a", { class: "frame" });
  const stale = make("b", { class: "stale", hidden: true }, "No picture since ");
  const aside = controls("#play=hour", "Slideshow of the last hour", toCalendar());
  const stage = makeStage(frame, aside, (words, at, entry) => {
    frame.setAttribute("href", `#${nameOf(at)}`);
    refill(words, ...dotted(credit(entry), foreign(entry.topic), make("span", null, stale, moment(at), star(at))));
  });
  const list = makeGrid(make("ol", { class: "hour", "aria-label": "The last hour, newest first" }));
  const wholeDay = make("a", null, "The whole day");
  const below = make("section", { class: "below" }, make("header", null, make("h2", null, "The last hour"), wholeDay), list);
  const heading = make("h1", { class: "unseen", tabindex: "-1" }, "The newest picture");
  const element = make("div", null, heading, stage.element, below);

  function refresh() {
    wholeDay.setAttribute("href", `#${dayOf(known.last)}`);
    sync(list, span(Math.max(firstMinute(), known.last - HOUR + 1), known.last).reverse(), signMinute, hourCell);
    setStop(list);
    stale.hidden = !isStale();
    return stage.shown === known.picture ? Promise.resolve() : stage.show(known.picture);
  }
  return { element, refresh, title: () => `${clockOf(stage.shown || known.picture)} UTC` };
}

function hourCell(at) {
  const entry = entryAt(at);
  const time = make("b", null, clockOf(at));
  if (!isPicture(entry)) {
    const { kind, reason } = gapAt(at);
    const looks = { class: `gap ${kind}`, "data-at": at, tabindex: "-1" };
    return make("li", null, make("div", looks, make("p", null, time, ` ${kind}`), make("p", null, reason)));
  }
  const image = make("img", { src: thumbnailOf(at, entry), alt: describe(entry), loading: "lazy" });
  const words = make("span", { class: "words" }, time, star(at), " ", foreign(entry.name));
  const looks = { href: `#${nameOf(at)}`, "data-at": at, tabindex: "-1" };
  return make("li", null, make("a", looks, make("span", { class: "thumbnail" }, image), words));
}

/* A DAY: a mosaic of its minutes. */

function dayView(midnight) {
  const day = dayOf(midnight);
  const heading = make("h1", { tabindex: "-1" }, longDay(midnight));
  const summary = make("p", { class: "summary" });
  const topics = make("div", { class: "topics", role: "group", "aria-label": "Topic" });
  const turns = make("nav", { class: "turns", "aria-label": "Days" });
  const mosaic = makeGrid(make("div", { class: "mosaic" }), fillDayCard);
  const rows = span(0, 23).map(hour => make("div", { class: "cells", role: "group", "aria-label": `${pad(hour)} o'clock` }));
  rows.forEach((row, hour) => put(mosaic, make("section", { class: "row" }, make("h2", null, pad(hour)), row)));
  const paint = paintSeen(rows);
  const others = controls(`#play=day&day=${day}`, "Slideshow of this day", toNewest(), toCalendar());
  const top = make("header", { class: "top" }, turns, others);
  const element = make("div", { class: "page" }, top, heading, summary, topics, mosaic);
  const view = { element, refresh, title: () => day, topic: "", needsCalendar: true };
  let settled = ""; // what the calendar said when all of it was loaded
  let isWhole = true;

  function refresh(isAnew) {
    const isSettled = settled === String(countsOf(day)) && !isAnew;
    const all = span(0, 23).map(hour => midnight + HOUR * hour);
    const wanted = isSettled ? [] : all.filter(hour => hour + HOUR > firstMinute() && hour <= known.last);
    return Promise.all(wanted.map(hour => loadHour(hour))).then(show);
  }

  function show() {
    const minutes = span(Math.max(midnight, firstMinute()), Math.min(midnight + DAY - 1, known.last));
    const entries = minutes.map(entryAt).filter(Boolean);
    const pictures = entries.filter(isPicture);
    const [stored, failed] = countsOf(day);
    isWhole = entries.length >= stored + failed;
    settled = isWhole ? String([stored, failed]) : "";
    rows.forEach((row, number) => {
      const hour = midnight + HOUR * number;
      sync(row, span(hour, hour + HOUR - 1), at => `${isWhole} ${isPast(at)} ${signMinute(at)}`, dayCell);
      paint(row);
    });
    setStop(mosaic);
    tell(pictures.length, entries.length - pictures.length, minutes.length - entries.length);
    filter(pictures);
    const beside = step => neighbourDay(midnight, step);
    sync(turns, [-1, 1], step => `${step} ${beside(step)}`, step => turnLink(beside(step), step));
  }

  function dayCell(at) {
    const entry = entryAt(at);
    if (!isPast(at) || (!entry && !isWhole)) return make("i"); // what is in an hour that did not load is not known
    const shared = { "data-at": at, tabindex: "-1" };
    if (!isPicture(entry)) {
      const { kind, reason } = gapAt(at);
      const label = dotted(`${clockOf(at)} ${kind}`, reason).join("");
      return make("span", Object.assign(shared, { class: kind, role: "img", "aria-label": label }));
    }
    const label = dotted(`${clockOf(at)} ${text(entry.topic)}`, text(entry.alt), isFavourite(at) && "a favourite").join("");
    const looks = { href: `#${nameOf(at)}`, "aria-label": label, class: isFavourite(at) ? "kept" : null };
    const cell = make("a", Object.assign(shared, looks));
    cell.style.backgroundColor = text(entry.color);
    return cell;
  }

  function tell(stored, failed, missing) {
    const swatch = (kind, number) => number && make("span", null, make("i", { class: kind }), count(number, kind, kind));
    const gone = isPruned(midnight) ? "pruned" : "missing";
    const rest = isWhole ? swatch(gone, missing) : make("b", { class: "stale" }, "some hours did not load");
    refill(summary, ...dotted(count(stored, "picture", "pictures"), swatch("failed", failed), rest, "UTC"));
  }

  /* Offer the topics, and dim what is not of the chosen one. */
  function filter(pictures) {
    const counts = Object.create(null); // a topic may have any name
    pictures.map(entry => text(entry.topic)).filter(Boolean).forEach(topic => { counts[topic] = (counts[topic] || 0) + 1; });
    sync(topics, ["", ...Object.keys(counts).sort()], topic => `${topic} ${counts[topic]}`, topic => {
      const words = topic ? [foreign(topic), ` ${counts[topic]}`] : ["All topics"];
      return make("button", { type: "button", "data-topic": topic, click: () => choose(topic) }, ...words);
    });
    const isChosen = choice => choice.dataset.topic === view.topic;
    Array.from(topics.children).forEach(choice => choice.setAttribute("aria-pressed", String(isChosen(choice))));
    Array.from(mosaic.querySelectorAll("a")).forEach(cell => {
      cell.classList.toggle("off", view.topic !== "" && text(entryAt(Number(cell.dataset.at)).topic) !== view.topic);
    });
  }

  function choose(topic) {
    view.topic = topic;
    show();
  }
  return view;
}

function turnLink(day, step) {
  if (day === null) return make("span");
  const name = dayOf(day);
  return make("a", { href: `#${name}`, rel: step < 0 ? "prev" : "next" }, step < 0 ? `← ${name}` : `${name} →`);
}

/* Return the nearest day before or after that has anything, null if there is none. */
function neighbourDay(midnight, step) {
  for (let day = midnight + step * DAY; day + DAY > firstMinute() && day <= known.last; day += step * DAY) {
    if (hasPictures(day) || countsOf(dayOf(day))[1]) return day;
  }
  return null;
}

/* Load the thumbnails of the rows that come near the window; return the function to call when a row has changed. */
function paintSeen(rows) {
  const seen = new Set(window.IntersectionObserver ? [] : rows);
  const paint = row => {
    const cells = seen.has(row) ? Array.from(row.querySelectorAll("a")) : [];
    cells.filter(cell => !cell.style.backgroundImage).forEach(cell => {
      const at = Number(cell.dataset.at);
      if (isPicture(entryAt(at))) cell.style.backgroundImage = `url("${thumbnailOf(at, entryAt(at))}")`;
    });
  };
  if (!window.IntersectionObserver) return paint;
  const observer = new IntersectionObserver(sights => sights.filter(sight => sight.isIntersecting).forEach((sight, place) => {
    seen.add(sight.target);
    setTimeout(paint, 20 * place, sight.target); // one after another: the colours are seen at once
  }), { rootMargin: "300px" });
  rows.forEach(row => observer.observe(row));
  return paint;
}

function fillDayCard(at) {
  const entry = entryAt(at);
  const time = make("b", null, clockOf(at));
  if (!isPicture(entry)) return [make("p", null, time, ` ${gapAt(at).kind}`), make("p", null, gapAt(at).reason)];
  const name = foreign(entry.name);
  const words = dotted(foreign(entry.topic), name && make("span", null, "Photo by ", name, " on Unsplash"));
  return [make("img", { src: thumbnailOf(at, entry), alt: "" }), make("p", null, time, " ", ...words, star(at))];
}

/* THE CALENDAR: what was stored of each day, month by month. */

/* What a day is called by the share of its minutes that have a picture, and how the legend says it. */
const LEVELS = [
  ["whole", "every minute", 1],
  ["most", "nearly all", 0.95],
  ["half", "half or more", 0.5],
  ["some", "less", 1 / DAY],
  ["none", "nothing", 0],
];

function calendarView() {
  const summary = make("p", { class: "summary" });
  const months = makeGrid(make("div", { class: "months" }), at => [make("p", null, tellDay(at))]);
  const favourites = make("a", { class: "favourites", href: "#play=favourites" });
  const kinds = LEVELS.concat([["failed", "failures"], ["pruned", "pruned"]]);
  const samples = kinds.map(([kind, words]) => make("li", null, make("i", { class: kind }), words));
  const legend = make("ul", { class: "legend" }, ...samples);
  const top = make("header", { class: "top" }, favourites, controls("#play=all", "Slideshow of everything", toNewest()));
  const heading = make("h1", { tabindex: "-1" }, "Calendar");

  function refresh() {
    const stored = Object.keys(known.calendar || {}).reduce((sum, day) => sum + countsOf(day)[0], 0);
    refill(summary, `${count(stored, "picture", "pictures")} since ${dayOf(firstMinute())}`);
    const kept = known.favourites ? known.favourites.size : 0;
    favourites.hidden = !kept;
    refill(favourites, `★ ${count(kept, "favourite", "favourites")}`);
    sync(months, monthsBack(), days => JSON.stringify(days.map(dayCounts)) + days[0], makeMonth);
    setStop(months);
  }
  const element = make("div", { class: "page" }, top, heading, summary, legend, months);
  return { element, refresh, title: () => "Calendar", needsCalendar: true };
}

/* Return the days of each month since the first picture, the newest month first. */
function monthsBack() {
  const months = new Map();
  for (let day = midnightOf(known.last); day >= midnightOf(firstMinute()); day -= DAY) {
    const month = dayOf(day).slice(0, 7);
    months.set(month, [day].concat(months.get(month) || []));
  }
  return Array.from(months.values());
}

function makeMonth(days) {
  const cells = days.map(day => {
    const { kind, failed } = dayCounts(day);
    const looks = { href: `#${dayOf(day)}`, class: failed ? `${kind} failed` : kind, "data-at": day, tabindex: "-1" };
    return make("a", Object.assign(looks, { "aria-label": tellDay(day) }), String(new Date(day * MINUTE).getUTCDate()));
  });
  cells[0].style.gridColumnStart = new Date(days[0] * MINUTE).getUTCDay() || 7; // weeks begin on Monday
  const name = make("h2", null, dateWords(days[0], { month: "long", year: "numeric" }));
  return make("section", null, name, make("div", { class: "days" }, ...cells));
}

/* Return how many pictures of a day were stored, failed and are missing, and what kind of day that makes it. */
function dayCounts(day) {
  const [stored, failed] = isPruned(day) ? [keptOf(dayOf(day)).length, 0] : countsOf(dayOf(day));
  const counted = minuteOf(known.newest.minute); // as far as the calendar has counted
  const minutes = Math.max(stored + failed, 1, Math.min(day + DAY - 1, counted) - Math.max(day, firstMinute()) + 1);
  const kind = isPruned(day) ? "pruned" : LEVELS.find(level => stored >= level[2] * minutes)[0];
  return { stored, failed, missing: isPruned(day) ? 0 : minutes - stored - failed, kind };
}

function tellDay(day) {
  const { stored, failed, missing, kind } = dayCounts(day);
  const gaps = [failed && `${failed} failed`, missing && `${missing} missing`, kind === "pruned" && "pruned"];
  return dotted(`${longDay(day)}: ${count(stored, "picture", "pictures")}`, ...gaps).join("");
}

/* THE VIEWER: pictures large over the page. Its mode says which: one that was chosen, or one after another. */

const viewer = (function () {
  const frame = make("div", { class: "frame" });
  const more = make("div", { class: "more" });
  const stage = makeStage(frame, more, (words, at, entry) => {
    refill(words, ...dotted(credit(entry), foreign(entry.topic), make("span", null, moment(at), star(at))));
    refill(more, ...actions(at, entry));
  });
  const sides = [
    button("previous", "Previous (left arrow key)", () => viewer.turn(-1), { class: "icon side previous" }),
    button("next", "Next (right arrow key)", () => viewer.turn(1), { class: "icon side next" }),
  ];
  const bar = make("div", { class: "controls" });
  const closing = button("close", "Close (escape key)", close);
  const voice = make("p", { class: "unseen", role: "status" });
  const over = make("div");
  const dialog = { role: "dialog", "aria-modal": "true", "aria-label": "Picture" };
  const looks = Object.assign(dialog, { class: "viewer", tabindex: "-1", hidden: true });
  const element = make("div", looks, ...sides, stage.element, over, bar, voice);
  const root = document.documentElement;
  let isOwnHistory = false; // whether the page below is one step back

  /* Cover the page, and begin a mode. */
  function start(mode, isOwn) {
    if (element.hidden) isOwnHistory = isOwn;
    stop();
    viewer.mode = mode;
    element.hidden = false;
    root.classList.add("covered");
    hideCard();
    const focused = element.contains(document.activeElement) && document.activeElement.getAttribute("aria-label");
    refill(over, mode.clock);
    refill(bar, ...mode.controls, fullScreenButton(), closing);
    (focused && element.querySelector(`[aria-label="${focused}"]`) || element).focus();
    return mode.begin();
  }

  function stop() {
    if (viewer.mode) viewer.mode.end();
    viewer.mode = null;
  }

  /* Uncover the page; return the picture that was shown last. */
  function hide() {
    stop();
    stage.say(""); // for the next picture not to begin with this one
    element.hidden = true;
    root.classList.remove("covered");
    return viewer.at;
  }

  function close() {
    if (isOwnHistory) history.back();
    else location.replace(viewer.mode.home());
  }

  function show(at) {
    viewer.at = at;
    return loadHour(at).then(() => isPicture(entryAt(at)) && viewer.at === at && stage.show(at));
  }

  /* Say whether there is a picture before and after; a button without one keeps the focus. */
  function allow(...isThere) {
    sides.forEach((side, place) => side.setAttribute("aria-disabled", String(!isThere[place])));
  }

  const turn = step => viewer.mode.turn(step);
  const announce = words => refill(voice, words); // to who does not see it
  const isOpen = () => !element.hidden;
  return { element, stage, at: NaN, mode: null, start, hide, close, show, allow, turn, announce, isOpen };
})();

/* Look at one picture, or read why there is none; its neighbours are of the topic by which the day below is filtered. */
function lookAt(at) {
  let neighbours = [null, null];
  const mode = { clock: null, controls: [], begin, turn, toggle: () => {}, end: () => {}, home: () => `#${dayOf(at)}` };

  function begin() {
    viewer.allow(false, false);
    return viewer.show(at).then(isShown => {
      if (viewer.mode !== mode) return undefined;
      const problem = isShown ? "" : problemAt(at);
      if (problem) viewer.stage.say(problem);
      viewer.announce(problem || dotted(clockOf(at), text(entryAt(at).topic), describe(entryAt(at))).join(""));
      return findNeighbours();
    });
  }

  function findNeighbours() {
    const range = Object.assign(everything(), { topic: current && current.topic });
    const before = findPicture(Math.min(at - 1, range.to), -1, range);
    const after = findPicture(Math.max(at + 1, range.from), 1, range);
    return Promise.all([before, after]).then(found => {
      if (viewer.mode !== mode) return;
      neighbours = found;
      viewer.allow(...found.map(neighbour => neighbour !== null));
    });
  }

  function turn(step) {
    const to = neighbours[step < 0 ? 0 : 1];
    if (to !== null) location.replace(`#${nameOf(to)}`);
  }
  return mode;
}

function problemAt(at) {
  if (isPicture(entryAt(at))) return "This picture did not load.";
  const { kind, reason } = gapAt(at);
  return dotted(`${dayOf(at)} ${clockOf(at)} UTC ${kind}`, reason).join("");
}

/* Play pictures one after another. One that does not load has its time all the same: nothing is asked for in haste. */
function play(wish) {
  const next = makePlaylist(wish);
  const pause = button("pause", "", toggle);
  const clock = make("p", { class: "clock", "aria-hidden": "true", hidden: !wish.clock });
  const settings = make("div", { class: "settings" }, ...playSettings(wish));
  const mode = { clock, controls: [settings, pause], begin, turn, toggle, end, home: () => "#" };
  const nothing = wish.what === "favourites" ? "No favourites yet" : "No picture yet";
  let isPlaying = true;
  let upcoming = null; // the picture after this one
  let played = [];
  let timer = 0;
  let ticking = 0;

  function begin() {
    viewer.allow(true, true);
    tellTime();
    ticking = setInterval(tellTime, 1000);
    setPlaying(true);
    return advance();
  }

  function end() {
    clearInterval(ticking);
    setPlaying(false);
  }

  function turn(step) {
    clearTimeout(timer);
    if (step > 0) return advance();
    if (played.length > 1) played.pop();
    return played.length ? viewer.show(played[played.length - 1]).then(wait) : undefined;
  }

  function advance() {
    return (upcoming || next(NaN)).then(at => {
      if (viewer.mode !== mode) return undefined;
      if (at === null) return played.length ? undefined : viewer.stage.say(nothing);
      played = played.concat(at).slice(-MOST_PLAYED);
      return viewer.show(at);
    }).then(() => {
      if (viewer.mode !== mode) return;
      upcoming = next(viewer.at).then(preload);
      wait();
    });
  }

  function wait() {
    clearTimeout(timer);
    if (isPlaying) timer = setTimeout(advance, wish.every * 1000);
  }

  function toggle() {
    setPlaying(!isPlaying);
    wait();
  }

  function setPlaying(on) {
    isPlaying = on;
    if (!on) clearTimeout(timer);
    viewer.element.classList.toggle("playing", on);
    refill(pause, icon(on ? "pause" : "play"));
    ["aria-label", "title"].forEach(name => pause.setAttribute(name, on ? "Pause (space bar)" : "Play (space bar)"));
    if (on && navigator.wakeLock) navigator.wakeLock.request("screen").catch(() => {});
  }

  function tellTime() {
    const now = new Date();
    refill(clock, `${pad(now.getHours())}:${pad(now.getMinutes())}`);
  }
  return mode;
}

function preload(at) {
  if (at === null) return null;
  return loadHour(at).then(() => {
    if (isPicture(entryAt(at))) new Image().src = pictureOf(at, entryAt(at));
    return at;
  });
}

/* Return what can be done with a picture. */
function actions(at, entry) {
  const size = [entry.width, entry.height, entry.bytes].every(Number.isFinite)
    ? `${entry.width} × ${entry.height}, ${Math.round(entry.bytes / 1000)} kB` : "";
  const page = isAddress(entry.photo) ? outside(entry.photo, "Photo page") : "";
  const download = make("a", { href: pathOf(at), download: `${nameOf(at)}.jpg` }, "Download");
  const keep = isFavourite(at) ? null : command("keep", at, "makes it a favourite, which is never pruned");
  const ban = command("ban", at, "removes it, and never gives it again");
  const verbs = make("details", null, make("summary", null, keep ? "Keep or ban" : "Ban"), make("div", null, keep, ban));
  return dotted(size, page, download, verbs);
}

function command(verb, at, effect) {
  const line = `${known.newest.demo ? "UNSPLASH_API_KEY=DEMO_KEY " : ""}python -m pipeline ${verb} ${nameOf(at)}`;
  const copyButton = make("button", { type: "button", click: () => copy(line, copyButton) }, "Copy");
  return make("p", null, make("code", null, line), copyButton, make("small", null, effect));
}

/* Copy a line in the old way: the new one wants https. */
function copy(line, from) {
  const area = make("textarea", { class: "unseen" });
  area.value = line;
  from.parentNode.appendChild(area);
  area.select();
  const outcome = document.execCommand("copy") ? "Copied" : "Not copied";
  area.remove();
  from.focus();
  refill(from, outcome);
  viewer.announce(outcome);
}

/* PLAYLISTS */

/* Return a function that gives the picture to play after another, without end; null if there is none at all. */
function makePlaylist(wish) {
  let queue = [];
  const newest = () => findPicture(known.picture, -1, everything());
  const before = at => findPicture(at - 1, -1, everything()).then(found => (found === null ? newest() : found));
  return at => {
    if (wish.what === "all") return wish.shuffle ? drawPicture() : at ? before(at) : newest();
    if (queue.length) return Promise.resolve(queue.shift());
    return picturesOf(wish).then(pictures => {
      queue = wish.shuffle ? shuffle(pictures) : pictures;
      return queue.length ? queue.shift() : null;
    });
  };
}

/* Return the pictures of the last hour, of a day, or the favourites, the newest first. */
function picturesOf({ what, day }) {
  if (what === "favourites") {
    return Promise.resolve(Array.from(known.favourites || []).map(minuteOf).filter(Boolean).sort((one, other) => other - one));
  }
  const from = what === "hour" ? known.last - HOUR + 1 : minuteOf(day) || midnightOf(known.last);
  const minutes = span(from, Math.min(known.last, from + (what === "hour" ? HOUR : DAY) - 1)).reverse();
  const inHours = Array.from(new Set(minutes.map(hourOf)));
  return Promise.all(inHours.map(hour => loadHour(hour))).then(() => minutes.filter(at => isPicture(entryAt(at))));
}

/* Return a picture by chance: a day by the number of its pictures, then an hour of it that has any. */
function drawPicture() {
  const days = Object.keys(known.calendar || {});
  let lot = Math.random() * days.reduce((sum, day) => sum + countsOf(day)[0], 0);
  const day = minuteOf(days.find(name => (lot -= countsOf(name)[0]) < 0) || dayOf(known.picture));
  return drawFrom(shuffle(span(0, 23).map(hour => day + HOUR * hour)));
}

function drawFrom([hour, ...others]) {
  if (hour === undefined) return Promise.resolve(null);
  return loadHour(hour).then(() => {
    const pictures = shuffle(span(hour, hour + HOUR - 1).filter(at => isPicture(entryAt(at))));
    return pictures.length ? pictures[0] : drawFrom(others);
  });
}

function shuffle(list) {
  for (let place = list.length - 1; place > 0; place -= 1) {
    const other = Math.floor(Math.random() * (place + 1));
    [list[place], list[other]] = [list[other], list[place]];
  }
  return list;
}

/* Return what can be set while pictures are played: all of it is in the address, for a kiosk to start with. */
function playSettings(wish) {
  const change = more => location.replace(playAddress(Object.assign({}, wish, more)));
  const choose = (label, name, choices) => {
    const isChosen = value => String(wish[name]) === String(value);
    const options = choices.map(([value, words]) => make("option", { value, selected: isChosen(value) }, words));
    return make("select", { "aria-label": label, change: event => change({ [name]: event.target.value }) }, ...options);
  };
  const toggle = (name, label) => {
    return button(name, label, () => change({ [name]: !wish[name] }), { "aria-pressed": String(wish[name]) });
  };
  const whats = [["hour", "Last hour"], ["day", wish.day || "Today"], ["favourites", "Favourites"], ["all", "Everything"]];
  const paces = Array.from(new Set([5, 10, 20, 60, 300, wish.every])).sort((one, other) => one - other);
  const paceWords = seconds => (seconds % 60 ? `${seconds} s` : `${seconds / 60} min`);
  return [
    choose("What is shown", "what", whats),
    choose("Time for each", "every", paces.map(seconds => [seconds, paceWords(seconds)])),
    toggle("shuffle", "Shuffled"),
    toggle("clock", "Clock"),
  ];
}

function playAddress({ what, day, every, shuffle, clock }) {
  return `#play=${what}${day && `&day=${day}`}&every=${every}${shuffle ? "&shuffle" : ""}${clock ? "&clock" : ""}`;
}

/* FULL SCREEN, KEYS, FINGERS */

function fullScreenButton() {
  const isPossible = document.fullscreenEnabled || document.webkitFullscreenEnabled;
  return isPossible ? button("full", "Full screen (F key)", toggleFullScreen) : null;
}

function toggleFullScreen() {
  const isFull = document.fullscreenElement || document.webkitFullscreenElement;
  const target = isFull ? document : document.documentElement;
  const names = isFull ? ["exitFullscreen", "webkitExitFullscreen"] : ["requestFullscreen", "webkitRequestFullscreen"];
  const name = names.find(one => target[one]);
  if (name) target[name]();
}

/* Let page.css know when the page has the whole screen, asked for or as a kiosk. */
function watchFullScreen() {
  const kiosk = matchMedia("(display-mode: fullscreen)");
  const look = () => {
    const isFull = kiosk.matches || document.fullscreenElement || document.webkitFullscreenElement;
    document.documentElement.classList.toggle("full", Boolean(isFull));
  };
  ["resize", "fullscreenchange", "webkitfullscreenchange"].forEach(name => addEventListener(name, look));
  look();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.key === "Escape" && viewer.isOpen() && !event.repeat) viewer.close();
  const isIn = names => names.split(" ").includes(event.target.tagName);
  if (isIn("SELECT TEXTAREA")) return;
  if (event.key.toLowerCase() === "f") toggleFullScreen();
  if (!viewer.isOpen()) return;
  if (event.key === "ArrowLeft") viewer.turn(-1);
  if (event.key === "ArrowRight") viewer.turn(1);
  if (event.key === " " && !isIn("BUTTON SUMMARY")) viewer.mode.toggle();
}

function watchFingers(element) {
  let start = null;
  element.addEventListener("touchstart", event => {
    start = event.touches.length === 1 ? event.touches[0] : null;
  });
  element.addEventListener("touchend", event => {
    const end = event.changedTouches[0];
    const across = start ? end.clientX - start.clientX : 0;
    if (Math.abs(across) > 40 && Math.abs(across) > 2 * Math.abs(end.clientY - start.clientY)) viewer.turn(across < 0 ? 1 : -1);
  });
}

/* Let page.css hide the controls while nobody moves, where the picture is all there is to see. */
function watchIdleness() {
  let timer = 0;
  const root = document.documentElement;
  const wake = () => {
    clearTimeout(timer);
    root.classList.remove("idle");
    timer = setTimeout(() => root.classList.add("idle"), 3000);
  };
  ["mousemove", "mousedown", "touchstart", "keydown"].forEach(name => addEventListener(name, wake, { passive: true }));
  wake();
}

/* THE ADDRESS says what is shown. */

let current = null; // the view below the viewer
let currentHash = "";

/* Return what the address asks for: a picture, something to play, or a view. */
function route() {
  const hash = location.hash.slice(1);
  const at = minuteOf(hash);
  if (at) return hash.includes("T") ? { picture: at } : { view: () => dayView(at) };
  if (hash === "calendar") return { view: calendarView };
  const asked = {};
  hash.split("&").map(part => part.split("=")).forEach(([name, value]) => {
    asked[name] = value === undefined ? true : value;
  });
  if (!["hour", "day", "favourites", "all"].includes(asked.play)) return { view: newestView };
  const every = Math.min(Math.max(Number(asked.every) || 10, 1), 86400);
  const day = minuteOf(asked.day) ? asked.day : "";
  return { play: { what: asked.play, day, every, shuffle: Boolean(asked.shuffle), clock: Boolean(asked.clock) } };
}

/* Show what the address asks for. */
function go() {
  if (!known.picture) return undefined; // the page stays as it was written
  const wish = route();
  const isOwn = Boolean(current);
  if (wish.picture) return viewer.start(lookAt(wish.picture), isOwn).then(tellTitle);
  if (wish.play) return viewer.start(play(wish.play), isOwn).then(tellTitle);
  const seen = viewer.isOpen() ? viewer.hide() : NaN;
  return current && currentHash === location.hash ? uncover(seen) : showView(wish.view());
}

function showView(view) {
  const isFirst = !current;
  const isWritten = isFirst && document.querySelector("main figure"); // by Python: it stays until the view is ready
  current = view;
  currentHash = location.hash;
  const ready = (view.needsCalendar && !isFirst ? learnCalendar() : Promise.resolve()).then(() => view.refresh());
  return (isWritten ? ready : Promise.resolve()).then(() => {
    if (view !== current) return undefined;
    refill(document.querySelector("main"), view.element);
    scrollTo(0, 0);
    if (!isFirst) view.element.querySelector("h1").focus();
    return ready;
  }).then(tellTitle);
}

/* Bring the page below the viewer up to date, and give the focus back to the picture that was seen last, if it is there. */
function uncover(at) {
  return Promise.resolve(current.refresh(true)).then(() => {
    const cell = at && current.element.querySelector(`[data-at="${at}"]`);
    if (cell) cell.focus();
    tellTitle();
  });
}

function tellTitle() {
  const { picture, play } = route();
  const words = picture ? `${dayOf(picture)} ${clockOf(picture)} UTC` : play ? "Slideshow" : current.title();
  document.title = `${words} · Picture a minute`;
}

/* Learn what is new and show it, now and once a minute. */
function tick() {
  const again = () => setTimeout(tick, MINUTE);
  learn().then(() => {
    if (!known.picture || viewer.isOpen()) return undefined;
    return current ? Promise.resolve(current.refresh()).then(tellTitle) : go();
  }).then(again, error => {
    again();
    throw error;
  });
}

put(document.body, card, viewer.element);
watchFullScreen();
watchFingers(viewer.element);
watchIdleness();
addEventListener("keydown", onKey);
addEventListener("hashchange", go);
tick();
})();
