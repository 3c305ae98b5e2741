// A worker that finds the people of images with onnxruntime-web, off the page's own thread.

import { boxAround, fit, resize, samePeople, suppress } from "./geometry.js";

// ONNX Runtime's fusion for WebGPU loses the first of two activations after a convolution, here the sigmoid before a clip.
const EXACT = { optimization: { disable_specified_optimizers: "ConvActivationFusion" } };

const address = new URLSearchParams(self.location.search);
let model = null;
let backend = null; // { name, session, Tensor }

/** Open the model: with float weights on WebGPU if that finds the people that Python finds, else on WebAssembly. */
async function start() {
  model = await (await fetch("model.json")).json();
  if (!model.float || address.has("wasm")) return useCpu();
  try {
    await useGpu();
  } catch (error) {
    await useCpu(`not on WebGPU: ${oneLine(error)}`);
  }
}

async function useGpu() {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) throw new Error("this browser offers none");
  if (adapter.info?.isFallbackAdapter && !address.has("webgpu")) throw new Error("the CPU would compute it");
  await open("webgpu", model.float.file, { executionProviders: ["webgpu", "wasm"], extra: EXACT });
  const { people } = await findPeople(await pixelsOf(model.float.picture));
  if (!samePeople(people, model.float.people)) throw new Error("it finds other people than Python");
  self.postMessage({ ready: { model, backend: "webgpu" } });
}

async function useCpu(reason = "") {
  const threads = await open("wasm", model.file, { executionProviders: ["wasm"] });
  self.postMessage({ ready: { model, backend: `wasm, ${threads} ${threads === 1 ? "thread" : "threads"}`, reason } });
}

/** Make a session of the runtime's build for a backend the one that finds people; the number of threads. */
async function open(name, file, options) {
  const unused = backend?.session;
  backend = null;
  await unused?.release().catch(() => {}); // a device that is lost cannot be released
  const { env, InferenceSession, Tensor } = await import(`./ort/ort.${name}.min.mjs`);
  env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
  env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;
  backend = { name, session: await InferenceSession.create(file, options), Tensor };
  return env.wasm.numThreads;
}

async function pixelsOf(file) {
  const blob = await (await fetch(file)).blob();
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

/** The answer to one image, as the service gives it. */
async function findPeople(image) {
  const canvas = fit(image.width, image.height, model.size, model.step);
  const { session, Tensor } = backend;
  const feeds = {
    images: new Tensor("uint8", resize(image, canvas), [1, canvas.height, canvas.width, 3]),
    mirrored: new Tensor("float32", new Float32Array(0), [0]),
    min_score: new Tensor("float32", new Float32Array([model.min_score]), []),
  };
  const found = await session.run(feeds);
  const count = found.scores.dims[0];
  const poses = Array.from({ length: count }, (_, index) => poseAt(found, index, canvas));
  const kept = suppress(poses, model.skeleton.sigmas, model.nms).filter((index) => poses[index].score >= model.min_score);
  return {
    model: model.name,
    image: { width: image.width, height: image.height },
    skeleton: model.skeleton,
    people: kept.map((index) => asPerson(poses[index])),
  };
}

/** One pose in image pixels. */
function poseAt(found, index, canvas) {
  const count = model.skeleton.keypoints.length;
  const values = found.keypoints.data.subarray(3 * count * index, 3 * count * (index + 1));
  const points = Array.from({ length: count }, (_, k) =>
    [(values[3 * k] - canvas.dx) / canvas.scale, (values[3 * k + 1] - canvas.dy) / canvas.scale, values[3 * k + 2]]);
  return { points, score: found.scores.data[index] };
}

function asPerson({ points, score }) {
  const rounded = points.map((point) => point.map(Math.fround));
  const seen = rounded.filter((point) => point[2] > 0);
  const keypoints = Object.fromEntries(model.skeleton.keypoints.map((name, k) => [name, rounded[k]]));
  return { score, box: seen.length ? boxAround(seen) : [0, 0, 0, 0], keypoints };
}

/** The answer to one image; from WebAssembly if WebGPU fails, as when its device is lost. */
async function answer(image) {
  if (!backend) throw new Error("the model could not be opened");
  try {
    return await findPeople(image);
  } catch (error) {
    if (backend.name !== "webgpu") throw error;
    await useCpu(`not on WebGPU: ${oneLine(error)}`);
    return findPeople(image);
  }
}

const oneLine = (error) => String(error.message ?? error).split("\n")[0];

// One thing after the other: a session runs one image at a time.
let last = start().catch((error) => self.postMessage({ error: oneLine(error) }));
self.onmessage = ({ data: { id, image } }) => {
  last = last.then(async () => {
    try {
      self.postMessage({ id, result: await answer(image) });
    } catch (error) {
      self.postMessage({ id, error: oneLine(error) });
    }
  });
};
