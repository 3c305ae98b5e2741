// The page: input, options and results.

import { findPeople, getJson, setToken } from "./client.js";
import { cameras, follow, playCamera, playFile, release } from "./live.js";
import { ImageCard, LiveCard, peopleCount } from "./results.js";

const AT_ONCE = 2; // photos in flight
const $ = (id) => document.getElementById(id);
const cards = [];
let models = [];
let session = null; // the clip or webcam that is running
let camera = null;

function say(text, isError = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", isError);
}

function options() {
  return { model: $("model").value, skeleton: $("skeleton").value };
}

function threshold() {
  return Number($("threshold").value);
}

function showThreshold() {
  $("threshold-value").textContent = threshold().toFixed(3);
  for (const card of cards) card.setThreshold(threshold());
}

async function loadModels() {
  const { models: loaded, skeletons } = await getJson("v1/models");
  models = loaded;
  $("model").replaceChildren(...models.map((model) => new Option(model.name, model.name)));
  $("skeleton").replaceChildren(new Option("the model's own", ""), ...skeletons.map((name) => new Option(name, name)));
  modelChanged();
}

function modelChanged() {
  const model = models.find((one) => one.name === $("model").value);
  if (!model) return;
  $("threshold").min = model.min_score;
  $("threshold").value = Math.max(threshold(), model.min_score);
  showThreshold();
}

function add(card) {
  card.setThreshold(threshold());
  cards.unshift(card);
  $("results").prepend(card.root);
  $("clear").hidden = false;
  $("no-results").hidden = true;
}

async function processImage(card) {
  try {
    await card.show(await findPeople(card.file, options()));
  } catch (error) {
    card.fail(error);
  }
}

async function processImages(found) {
  const waiting = [...found];
  let finished = 0;
  const work = async () => {
    for (let card = waiting.shift(); card; card = waiting.shift()) {
      await processImage(card);
      finished += 1;
      if (found.length > 1) say(`${finished} of ${found.length} photos finished`);
    }
  };
  say(found.length > 1 ? `Working on ${found.length} photos` : `Working on ${found[0].file.name}`);
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const people = found.reduce((sum, card) => sum + (card.answer ? card.visible().people.length : 0), 0);
  const failed = found.filter((card) => !card.answer).length;
  const done = found.length - failed;
  say(`Done: ${peopleCount(people)} in ${done} ${done === 1 ? "photo" : "photos"}` + (failed ? `; ${failed} failed` : ""), failed > 0);
}

async function take(files) {
  const clips = files.filter((file) => file.type.startsWith("video/"));
  const photos = files.filter((file) => !file.type.startsWith("video/")).map((file) => new ImageCard(file));
  photos.toReversed().forEach(add);
  if (photos.length) await processImages(photos);
  for (const clip of clips) await run(clip.name, () => playFile(clip));
}

/** Run a clip or the webcam until it ends. */
async function run(name, play) {
  stop();
  const mine = (session = { stopped: false });
  const card = new LiveCard(name);
  add(card);
  $("stop").hidden = false;
  say(`Working on ${name}`);
  let video = null;
  try {
    video = await play();
    await follow(video, card, options(), mine);
    say(`${name}: ${card.frames.length} frames`);
  } catch (error) {
    card.fail(error);
    say(error.message, true);
  } finally {
    if (video) release(video);
    if (session === mine) {
      session = null;
      $("stop").hidden = true;
    }
  }
}

function stop() {
  if (session) session.stopped = true;
}

async function startWebcam() {
  await run("webcam", () => playCamera(camera));
}

async function offerOtherCameras() {
  $("other-camera").hidden = !navigator.mediaDevices || (await cameras()).length < 2;
}

async function otherCamera() {
  const all = await cameras();
  camera = all[(all.indexOf(camera) + 1) % all.length];
  await startWebcam();
}

function clear() {
  stop();
  cards.splice(0);
  $("results").replaceChildren();
  $("clear").hidden = true;
  $("no-results").hidden = false;
  say("");
  $("files").focus();
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
  $("other-camera").addEventListener("click", otherCamera);
  $("stop").addEventListener("click", stop);
  $("clear").addEventListener("click", clear);
  $("threshold").addEventListener("input", showThreshold);
  $("options").addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["model", "skeleton"]) {
    $(id).addEventListener("change", () => {
      if (id === "model") modelChanged();
      const photos = cards.filter((card) => card instanceof ImageCard);
      if (photos.length) processImages(photos);
    });
  }
  $("token").addEventListener("change", () => {
    setToken($("token").value);
    start();
  });
}

async function start() {
  try {
    const info = await getJson("info");
    $("token-field").hidden = !info.token_required;
    if (info.token_required && !$("token").value) {
      say("This service needs an access token.");
      $("token").focus();
      return;
    }
    await loadModels();
    await offerOtherCameras();
    say("Ready.");
  } catch (error) {
    say(error.status === 401 ? "The access token is not accepted." : error.message, true);
  }
}

listen();
start();
