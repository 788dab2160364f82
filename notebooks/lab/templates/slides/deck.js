"use strict";
// A slide deck.  The notebook's cells stand on slides; cells that are more than a screen holds
// go to further screens of the same slide, and fragments come one after the other.
const root = document.documentElement;
const slides = [...document.querySelectorAll(".slide")];
const small = matchMedia("(max-width: 700px), print");
const notes = document.getElementById("notes");
let steps = [];  // {slide, screen: cells to show, shown: how many of them, first: of the slide}
let now = 0;

// Further screens of a slide say at their top what they belong to.
for (const slide of slides) {
  const heading = slide.querySelector("h1, h2, h3");
  const line = document.createElement("p");
  line.className = "continued";
  line.textContent = heading ? heading.textContent.replace("¶", "") + ", continued" : "";
  slide.prepend(line);
}

function cellsOf(slide) {
  return [...slide.querySelectorAll(".cell:not(.notes)")];
}

// Divide a slide's cells into screens: lists of cells that fit below each other.  A cell that
// finds more than half a screen left stays with the text above it, and scrolls.
function screensOf(slide) {
  const screens = [];
  let left = 0;
  const style = getComputedStyle(slide);
  const line = slide.querySelector(".continued").getBoundingClientRect().height;
  const space = slide.clientHeight - line - 2 * parseFloat(style.paddingTop);
  for (const cell of cellsOf(slide)) {
    const margins = parseFloat(getComputedStyle(cell).marginTop) * 2;
    const height = cell.getBoundingClientRect().height + margins;
    const whole = cell.querySelector("iframe") !== null;  // the theatre wants a screen of its own
    if (!screens.length || (height > left && (whole || left < 0.6 * space))) {
      screens.push([]);
      left = space;
    }
    cell.classList.toggle("high", height > left);
    screens[screens.length - 1].push(cell);
    left -= height;
  }
  return screens;
}

// The steps through a screen: its first cell and what is no fragment, then each fragment.
function stepsOf(slide, screen, number) {
  const found = [];
  screen.forEach((cell, n) => {
    const next = screen[n + 1];
    if (!next || next.parentElement.classList.contains("fragment"))
      found.push({ slide, screen, shown: n + 1, first: number === 0 });
  });
  return found;
}

function layOut() {
  const at = steps[now] ? steps[now].screen[steps[now].shown - 1] : null;
  root.classList.toggle("deck", !small.matches);
  root.style.fontSize = small.matches ? "" : Math.min(innerWidth / 1280, innerHeight / 800) * 22 + "px";
  for (const cell of document.querySelectorAll(".cell")) cell.classList.remove("away", "later", "high");
  steps = slides.flatMap((slide) => screensOf(slide).flatMap((screen, n) => stepsOf(slide, screen, n)));
  const same = steps.findIndex((step) => at && step.screen.slice(0, step.shown).includes(at));
  show(Math.max(same, 0));
}

function show(n) {
  now = Math.min(Math.max(n, 0), steps.length - 1);
  const { slide, screen, shown, first } = steps[now];
  slide.querySelector(".continued").style.visibility = first ? "hidden" : "";
  for (const other of slides) other.classList.toggle("shown", other === slide);
  for (const cell of cellsOf(slide)) {
    const place = screen.indexOf(cell);
    cell.classList.toggle("away", place < 0);
    cell.classList.toggle("later", place >= shown);
  }
  const texts = [...slide.querySelectorAll(".notes")].map((note) => note.innerHTML);
  notes.querySelector("div").innerHTML = texts.join("") || "none for this slide";
  document.getElementById("count").textContent = now + 1 + " / " + steps.length;
  history.replaceState(null, "", "#" + (now + 1));
}

// Up and down scroll first, where there is something to scroll.
function scrolled(key) {
  const high = steps[now].screen.slice(0, steps[now].shown).find((cell) => cell.classList.contains("high"));
  const before = high ? high.scrollTop : 0;
  if (high && key === "ArrowDown") high.scrollTop += innerHeight / 4;
  if (high && key === "ArrowUp") high.scrollTop -= innerHeight / 4;
  return high && high.scrollTop !== before;
}

const go = { back: () => now - 1, next: () => now + 1, first: () => 0, last: () => steps.length - 1 };
const keys = { ArrowLeft: "back", PageUp: "back", ArrowUp: "back", ArrowRight: "next", PageDown: "next",
  ArrowDown: "next", " ": "next", Home: "first", End: "last" };

for (const button of document.querySelectorAll("[data-go]"))
  button.onclick = () => show(go[button.dataset.go]());
addEventListener("keydown", (event) => {
  if (small.matches || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.closest("summary, button") && event.key === " ") return;
  if (event.key === "s") { notes.hidden = !notes.hidden; layOut(); }
  else if (scrolled(event.key)) event.preventDefault();
  else if (keys[event.key]) { event.preventDefault(); show(go[keys[event.key]]()); }
});
addEventListener("hashchange", () => show(parseInt(location.hash.slice(1), 10) - 1 || 0));
addEventListener("resize", layOut);
small.addEventListener("change", layOut);
const asked = parseInt(location.hash.slice(1), 10) - 1 || 0;
layOut();
show(asked);
