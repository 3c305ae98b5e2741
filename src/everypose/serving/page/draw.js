// People drawn on a canvas, in the colors of everypose's own pictures: a hue for each person, left limbs lighter.

const HUES = [0.55, 0.09, 0.88, 0.33, 0.75, 0.15, 0.48, 0.97, 0.63, 0.24, 0.82, 0.04];
const WEAKEST = 0.3; // keypoints below this share of a person's best are not drawn

function color(index, side) {
  const hue = index < HUES.length ? HUES[index] : (HUES[0] + 0.618033988749895 * index) % 1;
  const lightness = side === "left" ? 68 : side === "right" ? 46 : 57;
  return `hsl(${Math.round(hue * 360)} 85% ${lightness}%)`;
}

/**
 * Draw people over whatever the canvas shows.
 * @param {CanvasRenderingContext2D} context
 * @param {Array} people as the service answers: score, box, keypoints by name, id
 * @param {{keypoints: string[], links: number[][], sides: string[]}} skeleton
 * @param {number} scale canvas pixels for each image pixel
 */
export function drawPeople(context, people, skeleton, scale) {
  context.lineCap = "round";
  context.lineJoin = "round";
  people.forEach((person, position) => drawPerson(context, person, skeleton, scale, person.id ?? position));
}

function drawPerson(context, person, skeleton, scale, index) {
  const points = skeleton.keypoints.map((name) => person.keypoints[name]);
  const best = Math.max(...points.map((point) => point[2]));
  const shown = points.map((point) => point[2] > WEAKEST * best);
  if (!shown.some(Boolean)) return drawHidden(context, person, scale, index);
  // Pixel centers are at whole numbers: the image's corner is at -0.5.
  const at = (k) => [(points[k][0] + 0.5) * scale, (points[k][1] + 0.5) * scale];
  const width = lineWidth(points, shown, context.canvas, scale);
  for (const outline of [true, false]) {
    for (const [from, to] of skeleton.links) {
      if (!shown[from] || !shown[to]) continue;
      const side = skeleton.sides[from] || skeleton.sides[to];
      context.strokeStyle = outline ? "rgb(24 24 32 / 0.9)" : color(index, side);
      context.lineWidth = outline ? width + 2 : width;
      context.beginPath();
      context.moveTo(...at(from));
      context.lineTo(...at(to));
      context.stroke();
    }
  }
  points.forEach((_, k) => {
    if (!shown[k]) return;
    context.beginPath();
    context.arc(...at(k), width * 0.8, 0, 2 * Math.PI);
    context.fillStyle = color(index, skeleton.sides[k]);
    context.fill();
    context.lineWidth = 1;
    context.strokeStyle = "rgb(24 24 32 / 0.9)";
    context.stroke();
  });
  if (person.id !== undefined && person.id !== null) drawId(context, person, scale, index);
}

/** A person whom others hide: only a box where the tracker expects them. */
function drawHidden(context, person, scale, index) {
  const [x1, y1, x2, y2] = person.box.map((value) => (value + 0.5) * scale);
  context.setLineDash([6, 6]);
  context.lineWidth = 1.5;
  context.strokeStyle = color(index, "");
  context.strokeRect(x1, y1, x2 - x1, y2 - y1);
  context.setLineDash([]);
  if (person.id !== undefined && person.id !== null) drawId(context, person, scale, index);
}

function lineWidth(points, shown, canvas, scale) {
  const xs = points.filter((_, k) => shown[k]).map((point) => point[0]);
  const ys = points.filter((_, k) => shown[k]).map((point) => point[1]);
  const size = scale * Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys));
  const largest = Math.max(canvas.width, canvas.height) / 120;
  return Math.max(1.5, Math.min(size / 45, largest));
}

function drawId(context, person, scale, index) {
  const size = Math.max(12, context.canvas.width / 60);
  context.font = `600 ${size}px system-ui, sans-serif`;
  const text = String(person.id);
  const x = (person.box[0] + 0.5) * scale;
  const y = Math.max(size, (person.box[1] + 0.5) * scale - size * 0.3);
  context.lineWidth = size / 4;
  context.strokeStyle = "rgb(24 24 32 / 0.9)";
  context.strokeText(text, x, y);
  context.fillStyle = color(index, "left");
  context.fillText(text, x, y);
}
