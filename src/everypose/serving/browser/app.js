// The page: photos and the webcam, answered by the worker of infer.js.

import { ImageCard, LiveCard, peopleCount } from "./results.js";

const $ = (id) => document.getElementById(id);
const worker = new Worker("infer.js" + location.search, { type: "module" });
const waiting = new Map();
const cards = [];
let session = null; // the webcam session that is running

worker.onmessage = ({ data: { id, result, error, ready } }) => {
  if (ready) return showReady(ready);
  if (id === undefined) return say(error, true);
  const { resolve, reject } = waiting.get(id);
  waiting.delete(id);
  if (error) reject(new Error(error));
  else resolve(result);
};
worker.onerror = (event) => say(event.message || "the worker could not be started", true);

/** Find the people in the pixels of a canvas context. */
export function findPeople(context) {
  const { width, height, data } = context.getImageData(0, 0, context.canvas.width, context.canvas.height);
  const id = crypto.randomUUID?.() ?? String(Math.random());
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    worker.postMessage({ id, image: { width, height, data } }, [data.buffer]);
  });
}

function say(text, isError = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", isError);
}

function showThreshold() {
  $("threshold-value").textContent = Number($("threshold").value).toFixed(3);
  for (const card of cards) card.setThreshold(Number($("threshold").value));
}

function add(card) {
  card.setThreshold(Number($("threshold").value));
  cards.unshift(card);
  $("results").prepend(card.root);
}

function canvasOf(source, width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0);
  return context;
}

async function processImage(card) {
  try {
    const bitmap = await createImageBitmap(card.file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
    await card.show(await findPeople(canvasOf(bitmap, bitmap.width, bitmap.height)));
  } catch (error) {
    card.fail(error instanceof DOMException ? new Error("this browser cannot read the image") : error);
  }
}

async function take(files) {
  const photos = files.map((file) => new ImageCard(file));
  photos.toReversed().forEach(add);
  say(`Working on ${photos.length === 1 ? photos[0].file.name : `${photos.length} photos`}`);
  const begin = performance.now();
  for (const card of photos) await processImage(card);
  const people = photos.reduce((sum, card) => sum + (card.answer ? card.visible().people.length : 0), 0);
  const seconds = ((performance.now() - begin) / 1000 / photos.length).toFixed(1);
  say(`Done: ${peopleCount(people)} in ${photos.length} ${photos.length === 1 ? "photo" : "photos"}, ${seconds} s each`);
}

async function startWebcam() {
  if (session) session.stopped = true;
  const mine = (session = { stopped: false });
  const card = new LiveCard("webcam");
  add(card);
  $("stop").hidden = false;
  say("Working on webcam");
  let camera = null;
  try {
    if (!navigator.mediaDevices) throw new Error("the webcam needs https, or this page on localhost");
    camera = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 } } });
    await follow(camera, card, mine);
    say(`webcam: ${card.frames.length} frames`);
  } catch (error) {
    card.fail(error);
    say(error.message, true);
  } finally {
    for (const track of camera?.getTracks() ?? []) track.stop();
    if (session === mine) {
      session = null;
      $("stop").hidden = true;
    }
  }
}

async function follow(camera, card, mine) {
  const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true, srcObject: camera });
  await video.play();
  while (!mine.stopped) {
    const begin = performance.now();
    const context = canvasOf(video, video.videoWidth, video.videoHeight);
    const answer = await findPeople(context);
    card.show(context.canvas, answer, video.currentTime, 1000 / (performance.now() - begin));
    await new Promise(requestAnimationFrame);
  }
}

function listen() {
  $("files").addEventListener("change", () => {
    const files = [...$("files").files];
    $("files").value = "";
    take(files);
  });
  $("drop").addEventListener("dragover", (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  });
  $("drop").addEventListener("dragleave", () => $("drop").classList.remove("over"));
  $("drop").addEventListener("drop", (event) => {
    event.preventDefault();
    $("drop").classList.remove("over");
    take([...event.dataTransfer.files]);
  });
  $("webcam").addEventListener("click", startWebcam);
  $("stop").addEventListener("click", () => {
    if (session) session.stopped = true;
  });
  $("threshold").addEventListener("input", showThreshold);
  $("options").addEventListener("submit", (event) => event.preventDefault());
}

/** The worker has opened the model; again when WebGPU has failed and it goes on without. */
function showReady({ model, backend, reason }) {
  $("threshold").min = model.min_score;
  $("threshold").value = Math.max(model.min_score, Number($("threshold").value));
  showThreshold();
  say(`Ready: ${model.name} on ${backend}${reason ? ` (${reason})` : ""}`);
}

listen();
