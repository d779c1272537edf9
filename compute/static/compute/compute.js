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
