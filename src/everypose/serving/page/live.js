// Frames of a clip or the webcam through a stream, one at a time: the next is taken when the last is answered.

import { openStream } from "./client.js";

const LONGEST_SIDE = 1280;
const QUALITY = 0.85;

/** The current frame of a video element on a canvas, no side longer than `LONGEST_SIDE`. */
function grab(video, canvas) {
  const scale = Math.min(1, LONGEST_SIDE / Math.max(video.videoWidth, video.videoHeight));
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
}

/** Answer frames of a playing video element until it ends or `session.stopped` is set. */
export async function follow(video, card, options, session) {
  const stream = await openStream(options);
  const canvas = document.createElement("canvas");
  try {
    while (!session.stopped && !video.ended) {
      const begin = performance.now();
      const time = video.currentTime;
      const answer = await stream.ask(await grab(video, canvas));
      if (answer.detail) throw new Error(answer.detail);
      card.show(canvas, answer, time, 1000 / (performance.now() - begin));
      await new Promise(requestAnimationFrame);
    }
  } finally {
    stream.close();
  }
}

/** A muted video element that plays a file. */
export async function playFile(file) {
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  video.src = URL.createObjectURL(file);
  await new Promise((resolve, reject) => {
    video.onloadeddata = resolve;
    video.onerror = () => reject(new Error("this browser cannot play the clip"));
  });
  await video.play();
  return video;
}

/** A video element that shows a camera. */
export async function playCamera(deviceId) {
  if (!navigator.mediaDevices) throw new Error("the webcam needs https, or this page on localhost");
  const wanted = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "environment" };
  const stream = await navigator.mediaDevices.getUserMedia({ video: { ...wanted, width: { ideal: 1280 } } });
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  video.srcObject = stream;
  await video.play();
  return video;
}

export async function cameras() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((device) => device.kind === "videoinput").map((device) => device.deviceId);
}

/** End a video element's file or camera. */
export function release(video) {
  video.pause();
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  if (video.src) URL.revokeObjectURL(video.src);
}
