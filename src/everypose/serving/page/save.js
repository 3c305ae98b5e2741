// Results as files: a picture, JSON as the service answers, and a long table with one row for each keypoint.

const COLUMNS = ["file", "frame", "time_s", "person", "track_id", "person_score", "box_x1", "box_y1", "box_x2",
                 "box_y2", "skeleton", "keypoint", "x", "y", "score"];

/** Offer a Blob as a download. */
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export function asJson(content) {
  return new Blob([JSON.stringify(content, null, 1)], { type: "application/json" });
}

/** @param {Array<{source: string, frame: number|null, time: number|null, answer: object}>} frames */
export function asCsv(frames) {
  const rows = [COLUMNS.join(",")];
  for (const { source, frame, time, answer } of frames) {
    answer.people.forEach((person, position) => {
      const before = [quoted(source), frame ?? "", time ?? "", position, person.id ?? "", person.score, ...person.box,
                      answer.skeleton.name];
      for (const [name, point] of Object.entries(person.keypoints)) rows.push([...before, name, ...point].join(","));
    });
  }
  return new Blob([rows.join("\n") + "\n"], { type: "text/csv" });
}

function quoted(text) {
  // A spreadsheet would compute a name that begins like a formula.
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return `"${safe.replaceAll('"', '""')}"`;
}

/** The file's name without its suffix. */
export function stem(name) {
  return name.replace(/\.[^.]*$/, "") || "image";
}
