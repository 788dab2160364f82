"use strict";
// A slide deck.  The notebook's cells stand on slides, in pieces: a text, some code, an output.
// Pieces that are more than a screen holds go to further screens of the same slide, and
// fragments come one after the other.
const root = document.documentElement;
const slides = [...document.querySelectorAll(".slide")];
const small = matchMedia("(max-width: 700px)");
const SMALLEST = 0.8;  // how far a screen without code may be made smaller, so that a piece more fits
const PADDING = 4.4, HIGHEST = 24;  // in rem: left and right of a slide, and of a picture
let steps = [];  // {slide, screen: pieces to show, shown: how many of them, number: of the screen}
let now = 0;
let speaker = null;  // the window with the notes, the next slide and a clock
let began = 0;  // when it was opened, in milliseconds

for (const piece of document.querySelectorAll(".prose:not(.notes), .code > *"))
  piece.classList.add("piece");
// What a step changes in imports and ports is on the notebook's page.
for (const aside of document.querySelectorAll("pre.aside")) aside.closest(".piece").remove();

// Further screens of a slide, and slides without a heading, say at their top what they belong to.
let title = "";
for (const slide of slides) {
  const heading = slide.querySelector("h1, h2, h3");
  if (heading) title = heading.textContent.replace("¶", "") + ", continued";
  const line = document.createElement("p");
  line.className = "continued";
  line.textContent = title;
  slide.prepend(line);
}

function piecesOf(slide) {
  return [...slide.querySelectorAll(".piece")].filter((piece) => getComputedStyle(piece).display !== "none");
}

const isCode = (piece) => piece.matches("pre") || piece.querySelector("pre") !== null;  // it has to stay large enough to read
const isText = (piece) => piece.classList.contains("prose");
const isFolded = (piece) => piece.children.length === 1 && piece.firstElementChild.matches("details");
const isTheatre = (piece) => piece.querySelector("iframe") !== null;  // wants a screen of its own

function heightOf(piece) {
  const margin = parseFloat(getComputedStyle(piece).marginTop) * (piece.style.zoom || 1);
  return piece.getBoundingClientRect().height + 2 * margin;
}

// Divide a slide's pieces into screens: lists of pieces that fit below each other.
function screensOf(slide) {
  const line = slide.querySelector(".continued").getBoundingClientRect().height;
  const space = slide.clientHeight - line - 2 * parseFloat(getComputedStyle(slide).paddingTop);
  const pieces = piecesOf(slide), heights = pieces.map(heightOf), screens = [];
  const fits = (height, some) => height * (some.some(isCode) ? 1 : SMALLEST) <= space;
  let used = 0;
  pieces.forEach((piece, n) => {
    // A text should stay with the code or the picture that it talks about.
    const next = pieces[n + 1], follows = next && !isText(next) && !isTheatre(next);
    const together = heights[n] + heights[n + 1];
    const pair = isText(piece) && follows && fits(together, [next]);
    const here = screens.length ? screens[screens.length - 1] : [];
    const all = pair ? [...here, piece, next] : [...here, piece];
    const wanted = pair ? together : heights[n];
    if (n === 0 || isTheatre(piece) || isTheatre(pieces[n - 1]) || !fits(used + wanted, all)) {
      screens.push([]);
      used = 0;
    }
    screens[screens.length - 1].push(piece);
    used += heights[n];
  });
  for (const screen of screens) shrink(screen, space);
  return screens;
}

// Make a screen's pieces smaller until they fit.  What is too high even then scrolls.
function shrink(screen, space) {
  const height = () => screen.reduce((sum, piece) => sum + heightOf(piece), 0);
  const zoom = screen.some(isCode) ? 1 : Math.min(1, Math.max(SMALLEST, space / height()));
  for (const piece of screen) if (!isTheatre(piece)) piece.style.zoom = zoom;
  const high = height() > space + 1;
  for (const piece of screen) piece.classList.toggle("high", high && screen.length === 1);
}

// The steps through a screen: its first piece and what is no fragment, then each fragment.
// What is folded comes with the piece above it: it is seen only when somebody unfolds it.
function stepsOf(slide, screen, number) {
  const found = [];
  screen.forEach((piece, n) => {
    const next = screen[n + 1] && screen[n + 1].closest(".fragment");
    if (n + 1 === screen.length || (next && next !== piece.closest(".fragment") && !isFolded(screen[n + 1])))
      found.push({ slide, screen, shown: n + 1, number });
  });
  return found;
}

// Pictures are made as large as there is room; one that is high keeps its size, and scrolls.
function enlargePictures() {
  const rem = parseFloat(root.style.fontSize), { clientWidth } = slides[0];
  for (const svg of document.querySelectorAll(".piece svg[viewBox]")) {
    const { width, height } = svg.viewBox.baseVal;
    const scale = Math.min((clientWidth - PADDING * rem) / width, HIGHEST * rem / height);
    svg.style.width = small.matches ? "" : Math.max(scale, rem / 20) * width + "px";
  }
}

function layOut() {
  const at = steps[now] ? steps[now].screen[steps[now].shown - 1] : null;
  root.classList.toggle("deck", !small.matches);
  root.style.fontSize = small.matches ? "" : Math.min(innerWidth / 1280, innerHeight / 800) * 22 + "px";
  enlargePictures();
  for (const piece of document.querySelectorAll(".piece")) {
    piece.classList.remove("away", "later", "high");
    piece.style.zoom = "";
  }
  steps = slides.flatMap((slide) => screensOf(slide).flatMap((screen, n) => stepsOf(slide, screen, n)));
  const same = steps.findIndex((step) => at && step.screen.slice(0, step.shown).includes(at));
  show(Math.max(same, 0));
}

function show(n) {
  now = Math.min(Math.max(n, 0), steps.length - 1);
  const { slide, screen, shown, number } = steps[now];
  const headed = number === 0 && slide.querySelector("h1, h2, h3");
  slide.querySelector(".continued").style.visibility = headed ? "hidden" : "";
  for (const other of slides) other.classList.toggle("shown", other === slide);
  for (const piece of slide.querySelectorAll(".piece")) {
    const place = screen.indexOf(piece);
    piece.classList.toggle("away", place < 0);
    piece.classList.toggle("later", place >= shown);
  }
  // In the theatre the keys step through its scene; at its ends it hands them back.
  const theatre = screen[shown - 1].querySelector("iframe");
  if (theatre) theatre.focus(); else window.focus();
  tellSpeaker();
  document.getElementById("count").textContent = now + 1 + " / " + steps.length;
  history.replaceState(null, "", "#" + (now + 1));
}

// The speaker's window.  It is drawn from here, so it needs no page of its own.
function openSpeaker() {
  speaker = open("", "speaker", "width=800,height=640");
  if (!speaker) { alert("Allow this page to open a window: it shows the notes."); return; }
  began = Date.now();
  speaker.document.title = "Speaker";
  speaker.document.head.innerHTML =
    "<style>body { font: 1.1rem sans-serif; margin: 1rem 2rem } #clock { float: right; font-size: 2rem }" +
    " #next { border: 1px solid #777; padding: 0 1rem; max-height: 40vh; overflow: hidden }</style>";
  speaker.document.body.innerHTML =
    '<div id="clock"></div><h2 id="here"></h2><div id="notes"></div><h3>Next</h3><div id="next"></div>';
  speaker.onkeydown = onKey;
  speaker.setInterval(tellTime, 1000);
  tellSpeaker();
}

function tellTime() {
  const seconds = Math.floor((Date.now() - began) / 1000);
  const time = Math.floor(seconds / 60) + ":" + String(seconds % 60).padStart(2, "0");
  speaker.document.getElementById("clock").textContent = time;
}

function tellSpeaker() {
  if (!speaker || speaker.closed) return;
  const { slide } = steps[now], next = steps[now + 1], at = (id) => speaker.document.getElementById(id);
  const heading = slide.querySelector("h1, h2, h3") || slide.querySelector(".continued");
  const texts = [...slide.querySelectorAll(".notes")].map((note) => note.innerHTML);
  at("here").textContent = heading.textContent.replace("¶", "");
  at("notes").innerHTML = texts.join("") || "no notes for this slide";
  for (const folded of at("notes").querySelectorAll("details")) folded.open = true;
  at("next").innerHTML = next ? next.screen[next.shown - 1].innerHTML : "the end";
  tellTime();
}

// Up and down scroll first, where there is something to scroll.
function scrolled(key) {
  const high = steps[now].screen.slice(0, steps[now].shown).find((piece) => piece.classList.contains("high"));
  const before = high ? high.scrollTop : 0;
  if (high && key === "ArrowDown") high.scrollTop += innerHeight / 4;
  if (high && key === "ArrowUp") high.scrollTop -= innerHeight / 4;
  return high && high.scrollTop !== before;
}

// Open or close the answers on the screen.
function unfold() {
  for (const piece of steps[now].screen.slice(0, steps[now].shown))
    for (const folded of piece.querySelectorAll("details")) folded.open = !folded.open;
}

const go = { back: () => now - 1, next: () => now + 1, first: () => 0, last: () => steps.length - 1 };
const keys = { ArrowLeft: "back", PageUp: "back", ArrowUp: "back", ArrowRight: "next", PageDown: "next",
  ArrowDown: "next", " ": "next", Home: "first", End: "last" };

for (const button of document.querySelectorAll("[data-go]"))
  button.onclick = () => show(go[button.dataset.go]());
function onKey(event) {
  if (small.matches || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.closest("summary, button") && event.key === " ") return;
  if (event.key === "s") openSpeaker();
  else if (event.key === "a") unfold();
  else if (scrolled(event.key)) event.preventDefault();
  else if (keys[event.key]) { event.preventDefault(); show(go[keys[event.key]]()); }
}
addEventListener("keydown", onKey);
addEventListener("message", (event) => { if (event.data in go) show(go[event.data]()); });
addEventListener("hashchange", () => show(parseInt(location.hash.slice(1), 10) - 1 || 0));
addEventListener("resize", layOut);
addEventListener("toggle", layOut, true);  // of a <details>: it has become higher
small.addEventListener("change", layOut);
const asked = parseInt(location.hash.slice(1), 10) - 1 || 0;
layOut();
show(asked);
