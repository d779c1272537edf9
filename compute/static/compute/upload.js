// Files go to the site in parts, before the form that names them: each takes a few seconds, however
// slow the line is, and goes on where it was after the line was cut.

const [LEAST_BYTES, MOST_BYTES, PART_S] = [256 * 1024, 8 * 1024 * 1024, 3];
const PAUSES_S = [1, 2, 4, 8, 15, 30];

// Why the site does not take a file; the message is for people.
class Refused extends Error {}

// Where the upload of a file is that was begun, so that "Start" goes on with it when pressed again.
const begun = new WeakMap();

// Sends a file to the address of a form and returns the upload's id. `tell` hears how many bytes
// the site has, or what is waited for.
async function upload(file, form, tell, signal) {
  const token = form.elements.csrfmiddlewaretoken?.value;
  const headers = { Accept: "application/json", ...(token && { "X-CSRFToken": token }) };
  const ask = (address, method, body, more) =>
    fetch(address, { method, body, signal: inTime(signal), headers: { ...headers, ...more } });
  let [at, offset, step, failures] = [begun.get(file), undefined, LEAST_BYTES, 0];
  for (;;) {
    try {
      const since = performance.now();
      let reply;
      if (!at) {
        const about = { name: file.name, size: file.size, type: file.type };
        const ours = { "HX-Request": "true" };
        reply = await ask(form.dataset.upload, "POST", new URLSearchParams(about), ours);
        takeToken(reply, form, headers);
      } else if (offset === undefined) {
        reply = await ask(at, "GET");
      } else {
        const part = await read(file, offset, offset + step);
        reply = await ask(at, "PATCH", part, { "Upload-Offset": offset });
        const seconds = (performance.now() - since) / 1000;
        const quicker = reply.status === 408 ? 0.5 : Math.min(4, PART_S / seconds);
        step = Math.round(Math.max(LEAST_BYTES, Math.min(MOST_BYTES, step * quicker)));
      }
      const has = reply.headers.get("Upload-Offset");
      if (has === null && reply.status >= 500) throw new Error(reply.statusText);
      if (has === null && reply.status === 404 && at) {
        at = offset = undefined; // removed meanwhile: from the beginning
        begun.delete(file);
        continue;
      }
      if (has === null) throw new Refused((await reply.json()).detail);
      if (!at) {
        at = new URL(reply.headers.get("Location")).pathname;
        begun.set(file, at);
      }
      offset = Number(has);
      failures = 0;
      tell(offset);
      if (offset === file.size) return at.split("/").at(-2);
    } catch (error) {
      if (error instanceof Refused || signal.aborted) throw error;
      const seconds = PAUSES_S[Math.min(failures++, PAUSES_S.length - 1)];
      offset = undefined;
      tell(undefined, `No answer; trying again in ${seconds} s.`);
      await pause(seconds, signal);
    }
  }
}

// A page without a session has one from here on, so that its requests need a token.
function takeToken(reply, form, headers) {
  const name = "csrfmiddlewaretoken";
  const value = reply.headers.get("X-CSRFToken");
  if (!value) return;
  headers["X-CSRFToken"] = value;
  if (!form.elements[name]) form.append(element("input", { type: "hidden", name }));
  form.elements[name].value = value;
}

// A line that is dead without a word is given up after a minute.
function inTime(signal) {
  return AbortSignal.any?.([signal, AbortSignal.timeout(60_000)]) ?? signal;
}

async function read(file, start, stop) {
  try {
    return await file.slice(start, stop).arrayBuffer();
  } catch {
    throw new Refused("This file can’t be read any more; choose it again.");
  }
}

// Ends early when the line is there again, or when nobody waits any more.
function pause(seconds, signal) {
  return new Promise((resolve) => {
    setTimeout(resolve, seconds * 1000);
    window.addEventListener("online", resolve, { once: true });
    signal.addEventListener("abort", resolve, { once: true });
  });
}

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// A bar below a file's field, and the words that a screen reader is told at each quarter.
function barFor(input, file) {
  const id = `${input.id}_sent${document.querySelectorAll("progress").length}`;
  const bar = element("progress", { id, max: file.size || 1, value: 0 });
  const label = element("label", { htmlFor: bar.id });
  const news = element("p", { className: "hidden", role: "status" });
  const box = element("div", { className: "bar" }, label, bar);
  const mega = (bytes) => (bytes / 2 ** 20).toLocaleString("en", { maximumFractionDigits: 1 });
  const tell = (bytes, words = "") => {
    if (bytes !== undefined) {
      bar.value = bytes;
      label.textContent = `${file.name}: ${mega(bytes)} of ${mega(file.size)} MB`;
      const quarters = file.size ? Math.floor((4 * bytes) / file.size) : 4;
      words = `${quarters * 25} % uploaded.`;
    }
    news.className = bytes === undefined ? "explain" : "hidden"; // the label says it more exactly
    if (news.textContent !== words) news.textContent = words;
  };
  const remove = () => [box, news].forEach((each) => each.remove());
  (input.closest(".field") ?? input.parentElement).append(box, news);
  tell(0);
  return { tell, remove };
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  const inputs = [...form.querySelectorAll('input[type="file"]')].filter((each) => each.files.length);
  if (!form.dataset.upload || !inputs.length) return;
  event.preventDefault();
  const stopping = new AbortController();
  const button = form.querySelector("button:not([type='button'])");
  const stop = element("button", { type: "button", textContent: "Stop" });
  stop.addEventListener("click", () => stopping.abort());
  button.hidden = true;
  button.after(stop);
  stop.focus();
  form.querySelectorAll(".error.upload").forEach((each) => each.remove());
  for (const input of inputs) {
    const ids = [];
    for (const file of input.files) {
      const bar = barFor(input, file);
      try {
        ids.push(await upload(file, form, bar.tell, stopping.signal));
      } catch (error) {
        const words = error instanceof Refused ? error.message : "Stopped; “Start” goes on with it.";
        const told = element("p", { className: "error upload", role: "alert" }, words);
        (input.closest(".field") ?? input.parentElement).append(told);
        bar.remove();
        stop.remove();
        button.hidden = false;
        button.focus();
        return;
      }
    }
    form.querySelectorAll(`[type="hidden"][name="${input.name}"]`).forEach((each) => each.remove());
    form.append(...ids.map((value) => element("input", { type: "hidden", name: input.name, value })));
    input.disabled = true; // the form sends its id, and not the file once more
  }
  form.submit();
});

// Whoever comes back by the browser's own button finds the form as it was.
window.addEventListener("pageshow", (event) => {
  const isDone = document.querySelector('input[type="file"]:disabled');
  if (event.persisted && isDone) location.reload();
});

// A file is not sent along while an estimate is asked for.
document.addEventListener("htmx:configRequest", ({ detail: { formData } }) => {
  for (const name of new Set(formData.keys())) {
    const values = formData.getAll(name);
    const texts = values.filter((each) => !(each instanceof File));
    if (texts.length === values.length) continue;
    formData.delete(name);
    for (const text of texts) formData.append(name, text);
  }
});
