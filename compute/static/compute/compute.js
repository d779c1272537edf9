// A page in a hidden tab does not ask; it goes on when it is looked at again.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden) event.preventDefault();
});
