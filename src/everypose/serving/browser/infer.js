// A worker that finds the people of images with onnxruntime-web, off the page's own thread.

import { boxAround, fit, resize, suppress } from "./geometry.js";

let session = null;
let model = null;

/** Load the runtime and the model: the float file on WebGPU if the address ends in ?webgpu, else the other on WebAssembly. */
async function load() {
  model = await (await fetch("model.json")).json();
  const wanted = new URLSearchParams(self.location.search).has("webgpu");
  const adapter = wanted && model.float_file && navigator.gpu ? await navigator.gpu.requestAdapter() : null;
  const ort = await import(adapter ? "./ort/ort.webgpu.min.mjs" : "./ort/ort.wasm.min.mjs");
  ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;
  const executionProviders = adapter ? ["webgpu", "wasm"] : ["wasm"];
  session = await ort.InferenceSession.create(adapter ? model.float_file : model.file, { executionProviders });
  session.Tensor = ort.Tensor;
  return { model, backend: executionProviders[0], threads: ort.env.wasm.numThreads };
}

/** The answer to one image, as the service gives it. */
async function findPeople(image) {
  const canvas = fit(image.width, image.height, model.size, model.step);
  const { Tensor } = session;
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

self.onmessage = async ({ data: { id, image } }) => {
  try {
    self.postMessage({ id, result: image ? await findPeople(image) : await load() });
  } catch (error) {
    self.postMessage({ id, error: String(error.message ?? error).split("\n")[0] });
  }
};
