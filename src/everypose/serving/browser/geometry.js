// How an image enters a single-stage network and how poses leave it: the arithmetic of everypose's Python, step by step.

const SMALLEST_SIDE = 64;
const LONGEST_RATIO = 8;
const LARGEST_SIDE = 32704;
const EPSILON = Number.EPSILON;
const SAME_POSITION = 0.1; // pixels between keypoints of the same person, computed by two backends
const SAME_SCORE = 1e-3;

const roundUp = (length, step) => Math.floor((length + step - 1) / step) * step;

/** Scale and offset from image to canvas that take the rounded middle of the image to the middle of the canvas. */
function centered(width, height, canvasWidth, canvasHeight, scale) {
  const x = Math.trunc(width / 2 + 0.5);
  const y = Math.trunc(height / 2 + 0.5);
  return { width: canvasWidth, height: canvasHeight, scale, dx: canvasWidth / 2 - scale * x, dy: canvasHeight / 2 - scale * y };
}

/** Size of the canvas for an image, and the scale and offset (dx, dy) from image pixels to canvas pixels. */
export function fit(width, height, size, step) {
  const [shortSide, longSide] = [Math.min(width, height), Math.max(width, height)];
  const short = roundUp(size, step);
  const long = roundUp((short / shortSide) * longSide, step);
  const pixels = LONGEST_RATIO * short ** 2;
  if (short * long <= pixels) {
    const [w, h] = width <= height ? [short, long] : [long, short];
    return centered(width, height, w, h, short / shortSide);
  }
  const less = Math.max(SMALLEST_SIDE, Math.floor(Math.trunc(Math.sqrt((pixels * shortSide) / longSide)) / step) * step);
  const longest = Math.min(Math.floor(Math.floor(pixels / less) / step) * step, LARGEST_SIDE);
  const scale = Math.min(less / shortSide, longest / longSide);
  const padded = (side) => Math.max(SMALLEST_SIDE, Math.ceil(Number((scale * side).toFixed(6)) / step) * step);
  return centered(width, height, padded(width), padded(height), scale);
}

/**
 * Resize an image for the network: bilinear in 32 bits, black outside.
 * @param {{width: number, height: number, data: Uint8ClampedArray}} image RGBA
 * @returns {Uint8Array} (height, width, 3) RGB of the canvas
 */
export function resize(image, canvas) {
  const { width, height, data } = image;
  const f = Math.fround;
  const out = new Uint8Array(canvas.width * canvas.height * 3);
  const inverse = 1 / canvas.scale;
  const columns = sourcePositions(canvas.width, inverse, -canvas.dx * inverse);
  const rows = sourcePositions(canvas.height, inverse, -canvas.dy * inverse);
  const value = (x, y, channel) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : data[4 * (y * width + x) + channel]);
  let target = 0;
  for (let y = 0; y < canvas.height; y++) {
    const [y0, fy] = [rows.floor[y], rows.part[y]];
    for (let x = 0; x < canvas.width; x++) {
      const [x0, fx] = [columns.floor[x], columns.part[x]];
      for (let channel = 0; channel < 3; channel++) {
        const [a, b] = [value(x0, y0, channel), value(x0 + 1, y0, channel)];
        const [c, d] = [value(x0, y0 + 1, channel), value(x0 + 1, y0 + 1, channel)];
        const top = f(a + f(fx * (b - a)));
        const bottom = f(c + f(fx * (d - c)));
        out[target++] = roundToEven(f(top + f(fy * f(bottom - top))));
      }
    }
  }
  return out;
}

/** Integer and fractional part of the source position of each canvas column or row. */
function sourcePositions(length, scale, offset) {
  const floor = new Int32Array(length);
  const part = new Float32Array(length);
  for (let k = 0; k < length; k++) {
    const position = Math.fround(scale * k + offset);
    floor[k] = Math.floor(position);
    part[k] = Math.fround(position - floor[k]);
  }
  return { floor, part };
}

function roundToEven(value) {
  const down = Math.floor(value);
  const part = value - down;
  return part > 0.5 || (part === 0.5 && down % 2 === 1) ? down + 1 : down;
}

/** Indices of the poses that remain after greedy suppression by OKS, best first. */
export function suppress(poses, sigmas, threshold) {
  const order = poses.map((_, index) => index).sort((a, b) => poses[b].score - poses[a].score || a - b);
  const areas = poses.map((pose) => area(pose.points));
  const kept = [];
  for (const index of order) {
    const similar = kept.some((one) =>
      oks(poses[one].points, poses[index].points, (areas[one] + areas[index]) / 2, sigmas) > threshold);
    if (!similar) kept.push(index);
  }
  return kept;
}

function area(points) {
  const box = boxAround(points);
  return Math.max(0, box[2] - box[0]) * Math.max(0, box[3] - box[1]);
}

/** x1, y1, x2, y2 around points. */
export function boxAround(points) {
  const xs = points.map((point) => point[0]);
  const ys = points.map((point) => point[1]);
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

function oks(first, second, pairArea, sigmas) {
  const terms = first.map(([x, y], k) => {
    const squared = (x - second[k][0]) ** 2 + (y - second[k][1]) ** 2;
    return Math.exp(-squared / (2 * (2 * sigmas[k]) ** 2 * pairArea + EPSILON));
  });
  return terms.reduce((sum, term) => sum + term, 0) / terms.length;
}

/** Whether each of the expected people was found, and no one else. */
export function samePeople(found, expected) {
  return found.length === expected.length && expected.every((one) => found.some((other) => samePerson(one, other)));
}

function samePerson(one, other) {
  return Math.abs(one.score - other.score) <= SAME_SCORE && Object.entries(one.keypoints).every(([name, [x, y]]) =>
    Math.hypot(x - other.keypoints[name][0], y - other.keypoints[name][1]) <= SAME_POSITION);
}
