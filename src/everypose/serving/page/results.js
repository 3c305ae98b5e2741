// One card for each photo, clip or webcam session: the picture with its people, downloads, and a table.

import { drawPeople } from "./draw.js";
import { asCsv, asJson, download, stem } from "./save.js";

const LONGEST_SIDE = 2048; // canvas pixels; phones refuse much larger canvases

/** Skeleton of an answer with the side of each keypoint, for drawing. */
export function drawable(skeleton) {
  const sides = skeleton.keypoints.map((name) => (/^(left|right)_/.exec(name) ?? ["", ""])[1]);
  return { keypoints: skeleton.keypoints, links: skeleton.links, sides };
}

/** The answer without people whose score is below the threshold. */
export function above(answer, threshold) {
  return { ...answer, people: answer.people.filter((person) => person.score >= threshold) };
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function button(text, action) {
  const made = element("button", { type: "button", textContent: text });
  made.addEventListener("click", action);
  return made;
}

export function peopleCount(count) {
  return count === 1 ? "1 person" : `${count} people`;
}

/** The result of one image. */
export class ImageCard {
  constructor(file) {
    this.file = file;
    this.answer = null;
    this.bitmap = null;
    this.threshold = 0;
    this.title = element("h3", { textContent: file.name });
    this.canvas = element("canvas", { hidden: true });
    this.canvas.setAttribute("role", "img");
    this.caption = element("p", { className: "hint", textContent: "waiting" });
    this.actions = element("div", { className: "actions", hidden: true },
      button("Save picture", () => this.savePicture()),
      button("Save JSON", () => download(asJson(this.visible()), `${stem(file.name)}.json`)),
      button("Save CSV", () => this.saveCsv()));
    this.rows = element("tbody");
    const heads = ["Person", "Score", "Box", "Keypoints"].map((text) => element("th", { scope: "col", textContent: text }));
    this.details = element("details", { hidden: true }, element("summary", { textContent: "People as a table" }),
      element("div", { className: "scroll" }, element("table", {}, element("thead", {}, element("tr", {}, ...heads)), this.rows)));
    this.root = element("article", { className: "result" }, this.title, this.caption, this.canvas, this.actions, this.details);
    for (const action of this.actions.children) action.setAttribute("aria-label", `${action.textContent}: ${file.name}`);
  }

  async show(answer) {
    this.answer = answer;
    try {
      this.bitmap ??= await createImageBitmap(this.file);
    } catch {
      this.bitmap = null; // a kind of image that the browser cannot show, such as TIFF
    }
    this.canvas.hidden = this.bitmap === null;
    this.actions.hidden = this.details.hidden = false;
    this.redraw();
  }

  fail(error) {
    this.caption.textContent = error.message;
    this.caption.className = "error";
    this.canvas.hidden = true;
  }

  setThreshold(threshold) {
    this.threshold = threshold;
    if (this.answer) this.redraw();
  }

  visible() {
    return above(this.answer, this.threshold);
  }

  redraw() {
    const { people } = this.visible();
    const text = peopleCount(people.length);
    this.caption.textContent = this.bitmap ? text : `${text}; this browser cannot show the image`;
    this.caption.className = "hint";
    this.canvas.setAttribute("aria-label", `${this.file.name} with ${text} drawn`);
    if (this.bitmap) this.paint(this.canvas, Math.min(1, LONGEST_SIDE / Math.max(this.bitmap.width, this.bitmap.height)));
    this.rows.replaceChildren(...people.map((person, position) => this.row(person, position)));
  }

  row(person, position) {
    const points = Object.values(person.keypoints);
    const best = Math.max(...points.map((point) => point[2]));
    const seen = points.filter((point) => point[2] > 0.3 * best).length;
    const cells = [person.id ?? position + 1, person.score.toFixed(3), person.box.map(Math.round).join(", "),
                   `${seen} of ${points.length}`];
    return element("tr", {}, ...cells.map((text) => element("td", { textContent: text })));
  }

  paint(canvas, scale) {
    canvas.width = Math.max(1, Math.round(this.bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(this.bitmap.height * scale));
    const context = canvas.getContext("2d");
    context.drawImage(this.bitmap, 0, 0, canvas.width, canvas.height);
    drawPeople(context, this.visible().people, drawable(this.answer.skeleton), canvas.width / this.answer.image.width);
  }

  savePicture() {
    const canvas = document.createElement("canvas");
    this.paint(canvas, 1);
    canvas.toBlob((blob) => download(blob, `${stem(this.file.name)}-poses.png`), "image/png");
  }

  saveCsv() {
    const frames = [{ source: this.file.name, frame: null, time: null, answer: this.visible() }];
    download(asCsv(frames), `${stem(this.file.name)}.csv`);
  }
}

/** The result of a clip or of the webcam: the newest frame with its people, and all answers for saving. */
export class LiveCard {
  constructor(name) {
    this.name = name;
    this.frames = [];
    this.threshold = 0;
    this.title = element("h3", { textContent: name });
    this.canvas = element("canvas", { hidden: true });
    this.canvas.setAttribute("role", "img");
    this.caption = element("p", { className: "hint", textContent: "starting" });
    this.actions = element("div", { className: "actions", hidden: true },
      button("Save picture", () => this.canvas.toBlob((blob) => download(blob, `${stem(name)}-poses.png`), "image/png")),
      button("Save JSON", () => download(asJson(this.visible()), `${stem(name)}.json`)),
      button("Save CSV", () => download(asCsv(this.visible()), `${stem(name)}.csv`)));
    for (const action of this.actions.children) action.setAttribute("aria-label", `${action.textContent}: ${name}`);
    this.root = element("article", { className: "result live" }, this.title, this.caption, this.canvas, this.actions);
  }

  /** Show a frame (a canvas of its pixels) with its answer. */
  show(frame, answer, time, rate) {
    this.frames.push({ source: this.name, frame: this.frames.length, time, answer });
    const { people } = above(answer, this.threshold);
    this.canvas.hidden = false;
    this.canvas.width = frame.width;
    this.canvas.height = frame.height;
    const context = this.canvas.getContext("2d");
    context.drawImage(frame, 0, 0);
    drawPeople(context, people, drawable(answer.skeleton), frame.width / answer.image.width);
    const text = peopleCount(people.length);
    this.caption.textContent = `${text}, ${rate.toFixed(1)} frames a second`;
    this.canvas.setAttribute("aria-label", `${this.name} with ${text} drawn`);
    this.actions.hidden = false;
  }

  fail(error) {
    this.caption.textContent = error.message;
    this.caption.className = "error";
  }

  setThreshold(threshold) {
    this.threshold = threshold;
  }

  visible() {
    return this.frames.map((frame) => ({ ...frame, answer: above(frame.answer, this.threshold) }));
  }
}
