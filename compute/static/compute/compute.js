// What makes a page live: it asks for parts of itself (htmx) as long as it is looked at.

// A part stays as it is while its tab is hidden, or while somebody is in the middle of it.
function isInUse(part) {
  const selection = document.getSelection();
  const selected = selection && !selection.isCollapsed && selection.containsNode(part, true);
  return selected || part.contains(document.activeElement);
}

document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden || isInUse(event.target)) event.preventDefault();
});

document.addEventListener("htmx:afterSwap", () => {
  announce();
  offerCopying();
  tellLocalTimes();
});

// What was unfolded stays so in the part that comes in its place.
let unfolded = [];
document.addEventListener("htmx:beforeSwap", (event) => {
  unfolded = [...event.detail.target.querySelectorAll("details[id][open]")].map((each) => each.id);
});
document.addEventListener("htmx:afterSwap", () => {
  for (const id of unfolded) document.getElementById(id)?.setAttribute("open", "");
});

// A run that has ended has other buttons: whoever was at one of them goes on at the title.
let wasInUse = false;
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  wasInUse = event.detail.target.contains(document.activeElement);
});
document.addEventListener("htmx:oobAfterSwap", () => {
  tellLocalTimes();
  if (!wasInUse) return;
  const title = document.querySelector("h1");
  title.tabIndex = -1;
  title.focus({ preventScroll: true });
});

// A screen reader is told of each quarter, and of the end; not of every second.
function announce() {
  const announcer = document.getElementById("announcer");
  const news = document.querySelector("[data-announce]");
  if (announcer && news && announcer.textContent !== news.dataset.announce) {
    announcer.textContent = news.dataset.announce;
  }
}

// A time is that of its reader's place; its title has it in UTC, as pages say it without scripts.
function tellLocalTimes() {
  for (const element of document.querySelectorAll("time[datetime]:not([title])")) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const two = (number) => String(number).padStart(2, "0");
    const day = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join("-");
    const seconds = /:\d\d:\d\d/.test(element.textContent) ? `:${two(at.getSeconds())}` : "";
    element.textContent = `${day} ${two(at.getHours())}:${two(at.getMinutes())}${seconds}`;
    element.title = `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`;
  }
}

function offerCopying() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = !navigator.clipboard;
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  button.textContent = "Copied";
});

document.addEventListener("DOMContentLoaded", () => {
  announce();
  offerCopying();
  tellLocalTimes();
});

// A grid of very many cells is one picture: a click leads to the chunk whose cell it hits.
document.addEventListener("click", (event) => {
  const grid = event.target.closest("svg[data-chunk-at]");
  if (!grid) return;
  const { chunkAt, columns, chunks } = grid.dataset;
  const hit = new DOMPoint(event.clientX, event.clientY);
  const { x, y } = hit.matrixTransform(grid.getScreenCTM().inverse());
  const [column, row] = [Math.floor(x / 10), Math.floor(y / 10)];
  const number = row * columns + column + 1;
  const isCell = column >= 0 && column < columns && row >= 0 && number <= chunks;
  if (isCell) location.href = chunkAt + number;
});

// How long the sum will take, while its n is typed.
function inWords(seconds) {
  if (seconds < 0.05) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

// After how many seconds so much work is done, by how many workers there are from when on.
function along(curve, work) {
  const steps = curve.split(" ").map((step) => step.split(":").map(Number));
  for (const [i, [since, gets]] of steps.entries()) {
    const until = steps[i + 1]?.[0] ?? Infinity;
    if (work <= gets * (until - since)) return since + work / gets;
    work -= gets * (until - since);
  }
}

let typed;
document.addEventListener("input", (event) => {
  const estimate = document.getElementById("estimate");
  if (event.target.id !== "id_n" || !estimate) return;
  clearTimeout(typed);
  typed = setTimeout(() => {
    const { speed, workers, curve, wait, starts, portion } = estimate.dataset;
    const known = /^[0-9]{1,18}$/.test(event.target.value) && speed > 0;
    const alone = event.target.value / speed;
    const [split, whole] = [along(curve, alone), alone].map((each) => inWords(each + Number(wait ?? 0)));
    if (!known) estimate.textContent = "";
    else if (starts)
      estimate.textContent = `Starts ${starts}, done in about ${split}: you get ${portion} of the workers. As one task ${whole}.`;
    else
      estimate.textContent = `About ${split} split among ${workers} worker${workers === "1" ? "" : "s"}, ${whole} as one task.`;
  }, 400);
});
