// Sends recordings to the dashboard's server, one after the other, each with its progress. Nothing is read into memory.

const senders = new WeakMap();

export default function (component) {
  const { parentElement, data } = component;
  const list = parentElement.querySelector("ul");
  if (!senders.has(list)) senders.set(list, new Sender(parentElement, list));
  senders.get(list).update(data, component.setTriggerValue);
  return () => setTimeout(() => list.isConnected || senders.get(list).stop(), 0);
}

class Sender {
  constructor(root, list) {
    this.list = list;
    this.limit = root.querySelector(".limit");
    this.waiting = [];
    const zone = root.querySelector(".zone");
    const input = root.querySelector("input");
    input.onchange = () => {
      this.add(input.files);
      input.value = "";
    };
    // Dragging over and dropping is the browser's own, as the input covers the zone.
    zone.ondragover = () => zone.classList.add("over");
    zone.ondragleave = zone.ondrop = () => zone.classList.remove("over");
    // A file that is dropped beside it must not take the page's place.
    this.refuse = (event) => event.composedPath().includes(zone) || event.preventDefault();
    for (const name of ["dragover", "drop"]) document.addEventListener(name, this.refuse);
  }

  update(data, tell) {
    this.data = data;
    this.tell = tell;
    this.limit.textContent = data.limit;
  }

  add(files) {
    for (const file of files) {
      const entry = this.show(file);
      if (file.size === 0) this.fail(entry, "The file is empty (0 bytes). Copy it again from where it was recorded.");
      else if (file.size > this.data.maxBytes) this.fail(entry, this.data.tooLarge);
      else this.queue(entry);
    }
  }

  queue(entry) {
    // What the page said when the file was chosen holds for it.
    Object.assign(entry, { url: this.data.url });
    entry.state.textContent = "waiting";
    this.waiting.push(entry);
    this.next();
  }

  show(file) {
    const item = document.createElement("li");
    const make = (tag, name) => item.appendChild(Object.assign(document.createElement(tag), { className: name }));
    const entry = {
      file,
      item,
      name: make("span", "name"),
      state: make("span", "state"),
      button: make("button", ""),
      progress: make("progress", ""),
      why: make("span", "why"),
    };
    entry.name.textContent = file.name;
    entry.state.setAttribute("role", "status");
    entry.button.type = "button";
    entry.progress.max = 1;
    entry.progress.value = 0;
    entry.progress.setAttribute("aria-label", `Upload of ${file.name}`);
    this.setButton(entry, "Cancel", () => this.cancel(entry));
    this.list.append(item);
    return entry;
  }

  setButton(entry, text, act) {
    entry.button.textContent = text;
    entry.button.setAttribute("aria-label", `${text} ${entry.file.name}`);
    entry.button.onclick = act;
  }

  next() {
    if (this.current || !this.waiting.length) return;
    const entry = (this.current = this.waiting.shift());
    const request = (entry.request = new XMLHttpRequest());
    const begun = performance.now();
    request.open("PUT", entry.url);
    request.setRequestHeader("X-File-Name", encodeURIComponent(entry.file.name.toWellFormed?.() ?? entry.file.name));
    request.upload.onprogress = ({ loaded, total }) => {
      const left = ((performance.now() - begun) / loaded) * (total - loaded) / 1000;
      entry.progress.value = loaded / total;
      const share = `${Math.floor((100 * loaded) / total)} %`;
      entry.state.textContent = left > 2 ? `${share}, about ${formatDuration(left)} left` : share;
    };
    request.onload = () => (request.status === 201 ? this.finish(entry) : this.fail(entry, request.responseText));
    request.onerror = () => this.fail(entry, this.data.away);
    request.onloadend = () => {
      this.current = undefined;
      this.next();
    };
    request.send(entry.file);
  }

  finish(entry) {
    entry.item.remove();
    this.tell("uploaded", entry.file.name);
  }

  fail(entry, why) {
    entry.state.textContent = "✕ not uploaded";
    entry.why.textContent = why;
    entry.progress.hidden = true;
    this.setButton(entry, "Dismiss", () => entry.item.remove());
  }

  cancel(entry) {
    this.waiting = this.waiting.filter((one) => one !== entry);
    entry.request?.abort();
    entry.item.remove();
  }

  stop() {
    for (const name of ["dragover", "drop"]) document.removeEventListener(name, this.refuse);
    this.waiting = [];
    this.current?.request.abort();
  }
}

function formatDuration(seconds) {
  return seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}
