// Plays a recording beside its timeline. A click on the chart seeks the video; the video's time moves a line over the
// chart; the faces' boxes and labels are drawn over the pictures. All of it happens here, without a run of the page.

const CHUNK_S = 10; // faces are asked for in such stretches of time
const MAX_CHUNKS = 30;
const CLICK_PX = 4; // a pointer that moves farther drags
const LOST_S = 20; // between two requests for a new link

const players = new WeakMap();

export default function (component) {
  const { parentElement, data } = component;
  const video = parentElement.querySelector("video");
  if (!players.has(video)) players.set(video, new Player(parentElement, video));
  const player = players.get(video);
  player.update(data, component.setTriggerValue);
  return () => player.detach();
}

class Player {
  constructor(root, video) {
    this.video = video;
    this.screen = root.querySelector(".screen");
    this.canvas = root.querySelector("canvas");
    this.problem = root.querySelector(".problem");
    this.told = root.querySelector(".told");
    this.withFaces = root.querySelector(".with-faces");
    this.chunks = new Map(); // number of the stretch: its faces, or null while they are on their way
    this.cursor = document.createElement("div");
    this.cursor.className = "emotrace-cursor";
    this.cursor.setAttribute("aria-hidden", "true");
    this.seekTo = null;
    this.lostAt = -Infinity;
    this.draw = this.draw.bind(this);
    this.press = this.press.bind(this);
    this.release = this.release.bind(this);
    root.querySelector(".fix").onclick = () => this.tell("moment", this.time());
    this.withFaces.onchange = () => this.redraw();
    video.onerror = () => this.explain();
    video.onloadedmetadata = () => {
      this.problem.hidden = true;
      this.screen.hidden = false;
      if (this.seekTo !== null) this.seek(this.seekTo);
    };
    video.onseeked = () => this.redraw();
    // The page's own keys move the chart; those pressed here are the player's.
    this.screen.onkeydown = (event) => event.stopPropagation();
    new ResizeObserver(() => this.redraw()).observe(video);
  }

  update(data, tell) {
    const before = this.data;
    this.data = data;
    this.tell = tell;
    if (data.version !== before?.version) this.chunks.clear(); // faces are other persons' by now
    this.video.setAttribute("aria-label", data.label);
    if (data.src !== before?.src) {
      const time = before?.session === data.session ? this.time() : 0;
      if (before?.session !== data.session) this.chunks.clear();
      this.seekTo = time || null;
      this.video.src = data.src;
    }
    if (data.moment !== null && data.moment !== before?.moment && Math.abs(data.moment - this.time()) > 0.001) {
      this.seek(data.moment);
    }
    this.redraw();
    this.attach();
  }

  attach() {
    if (this.frame !== undefined) return;
    // While the page is busy drawing the chart anew, the listeners stay where they are.
    document.addEventListener("pointerdown", this.press, true);
    document.addEventListener("pointerup", this.release, true);
    this.frame = requestAnimationFrame(this.draw);
  }

  detach() {
    document.removeEventListener("pointerdown", this.press, true);
    document.removeEventListener("pointerup", this.release, true);
    cancelAnimationFrame(this.frame);
    this.frame = undefined;
    this.cursor.remove();
    if (!this.video.isConnected) this.video.pause();
  }

  time() {
    return this.seekTo ?? this.video.currentTime;
  }

  seek(time) {
    if (this.video.readyState === 0) {
      this.seekTo = time;
      return;
    }
    this.seekTo = null;
    this.video.currentTime = Math.min(Math.max(0, time), this.video.duration || time);
  }

  // --- the chart ---

  chart() {
    return document.querySelector(`.st-key-${this.data.chart} .js-plotly-plot`);
  }

  press(event) {
    const chart = event.target.closest?.(`.st-key-${this.data.chart} .js-plotly-plot`);
    this.pressed = chart && event.button === 0 ? { x: event.clientX, y: event.clientY, chart } : null;
  }

  release(event) {
    const { pressed } = this;
    this.pressed = null;
    if (!pressed || Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) > CLICK_PX) return;
    const axis = pressed.chart._fullLayout?.xaxis;
    if (!axis) return;
    const share = (event.clientX - pressed.chart.getBoundingClientRect().left - axis._offset) / axis._length;
    if (share >= 0 && share <= 1) this.seek(axis.range[0] + share * (axis.range[1] - axis.range[0]));
  }

  moveCursor() {
    const chart = this.chart();
    const layout = chart?._fullLayout;
    const holder = chart?.querySelector(".svg-container");
    if (!layout?.xaxis || !holder) return;
    const { range, _offset, _length } = layout.xaxis;
    const share = (this.time() - range[0]) / (range[1] - range[0]);
    const place = [share, _offset, _length, layout._size.t, layout._size.h, this.data.cursor].join();
    if (this.cursor.parentNode === holder && place === this.placed) return;
    this.placed = place;
    if (this.cursor.parentNode !== holder) holder.append(this.cursor);
    Object.assign(this.cursor.style, {
      position: "absolute",
      zIndex: 5,
      pointerEvents: "none",
      width: "2px",
      background: this.data.cursor,
      top: `${layout._size.t}px`,
      height: `${layout._size.h}px`,
      left: `${_offset + share * _length - 1}px`,
      display: share >= 0 && share <= 1 ? "block" : "none",
    });
    this.cursor.dataset.time = this.time().toFixed(3);
  }

  // --- the faces ---

  draw() {
    if (!this.video.isConnected) return this.detach(); // the page has gone on without it
    this.frame = requestAnimationFrame(this.draw);
    this.moveCursor();
    const time = this.time();
    if (time === this.drawn) return;
    this.drawn = time;
    this.drawFaces(time);
  }

  redraw() {
    this.drawn = undefined;
  }

  drawFaces(time) {
    const { canvas, video, data } = this;
    const faces = this.findFaces(time);
    this.tellFaces(time, faces);
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    if (!this.withFaces.checked || !video.videoWidth) return;
    // The picture stands in the middle of the element, as large as its shape allows.
    const scale = Math.min(width / video.videoWidth, height / video.videoHeight);
    const shown = [video.videoWidth * scale, video.videoHeight * scale];
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.translate((width - shown[0]) / 2, (height - shown[1]) / 2);
    const [across, down] = [shown[0] / (data.width || video.videoWidth), shown[1] / (data.height || video.videoHeight)];
    for (const face of faces) {
      drawFace(pen, face, this.name(face.track), across, down, data.emotions[face.label]);
    }
  }

  // The newest face of each track, unless it is gone for longer than faces are held.
  findFaces(time) {
    const number = Math.floor(time / CHUNK_S);
    const newest = new Map();
    const chunks = [number - 1, number, number + 1].map((one) => (one < 0 ? [] : this.load(one)) ?? []);
    for (const row of [...chunks[0], ...chunks[1]]) {
      if (row[0] > time + 0.001) break;
      if (row[0] >= time - this.data.hold) newest.set(row[1], row);
    }
    return [...newest.values()].map(([, track, x1, y1, x2, y2, ...values]) => {
      const label = values.indexOf(Math.max(...values));
      return { track, box: [x1, y1, x2, y2], label, confidence: values[label] };
    });
  }

  load(number) {
    if (this.chunks.has(number)) return this.chunks.get(number);
    this.chunks.set(number, null);
    if (this.chunks.size > MAX_CHUNKS) this.chunks.delete(this.chunks.keys().next().value);
    const from = number * CHUNK_S;
    fetch(`${this.data.src}/faces?start=${from}&end=${from + CHUNK_S - 0.0001}`)
      .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(answer.status))))
      .then((rows) => {
        if (this.chunks.has(number)) this.chunks.set(number, rows);
        // While the recording is analysed, there is more to come.
        if (!this.data.complete) setTimeout(() => this.chunks.delete(number), 5000);
        this.redraw();
      })
      .catch(() => setTimeout(() => this.chunks.delete(number), 3000));
    return null;
  }

  // A track that is younger than this page's last run has no name yet.
  name(track) {
    return this.data.names[track] ?? `Face ${track}`;
  }

  tellFaces(time, faces) {
    const told = faces
      .map(({ track, label, confidence }) => {
        const doubt = confidence < this.data.uncertain ? "?" : "";
        return `${this.name(track)}: ${this.data.emotions[label].name}${doubt} ${Math.round(100 * confidence)} %`;
      })
      .join("   ·   ");
    this.told.textContent = `${formatTime(time)}   ·   ${told || "no face"}`;
  }

  // --- what goes wrong ---

  async explain() {
    const answer = await fetch(this.data.src, { method: "HEAD" }).catch(() => null);
    if (answer?.status === 403) {
      const now = performance.now() / 1000;
      if (now - this.lostAt > LOST_S) this.tell("lost", Date.now());
      this.lostAt = now;
      return;
    }
    this.screen.hidden = true;
    this.problem.hidden = false;
    this.problem.textContent = answer?.ok ? this.data.unplayable : (await answer?.text()) || this.data.away;
  }
}

function drawFace(pen, face, name, across, down, emotion) {
  const [x1, y1, x2, y2] = face.box.map((value, place) => value * (place % 2 ? down : across));
  pen.lineWidth = 2;
  pen.strokeStyle = emotion.colour;
  pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
  const text = `${name} ${emotion.name} ${Math.round(100 * face.confidence)} %`;
  pen.font = "600 12px system-ui, sans-serif";
  const width = pen.measureText(text).width + 8;
  const top = y1 >= 18 ? y1 - 18 : y2;
  pen.fillStyle = emotion.colour;
  pen.fillRect(x1 - 1, top, width, 18);
  pen.fillStyle = emotion.ink;
  pen.textBaseline = "middle";
  pen.fillText(text, x1 + 3, top + 9.5);
}

function formatTime(time) {
  const minutes = Math.floor(time / 60);
  return minutes ? `${minutes}:${(time % 60).toFixed(1).padStart(4, "0")}` : `${time.toFixed(2)} s`;
}
