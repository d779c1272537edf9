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
});

// A run that has ended has other buttons: whoever was at one of them goes on at the title.
let wasInUse = false;
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  wasInUse = event.detail.target.contains(document.activeElement);
});
document.addEventListener("htmx:oobAfterSwap", () => {
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
});

// How long the sum will take, while its n is typed.
function inWords(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

let typed;
document.addEventListener("input", (event) => {
  const estimate = document.getElementById("estimate");
  if (event.target.id !== "id_n" || !estimate) return;
  clearTimeout(typed);
  typed = setTimeout(() => {
    const { speed, workers } = estimate.dataset;
    const known = /^[0-9]{1,18}$/.test(event.target.value) && speed > 0;
    const alone = event.target.value / speed;
    estimate.textContent = known
      ? `About ${inWords(alone / workers)} split among ${workers} worker${workers === "1" ? "" : "s"}, ${inWords(alone)} as one task.`
      : "";
  }, 400);
});
