// Sound and desktop notifications for permission requests: off until the user turns them on, in this browser.
import { signal } from "@preact/signals";
import { describe } from "#model/tools.js";

const SOUND = "notify.sound";
const DESKTOP = "notify.desktop";
const ON = "on";
const NOTES = [[660, 0], [880, 0.14]]; // hertz, and seconds after the beginning
const NOTE_SECONDS = 0.22;

export const hasSound = signal(localStorage.getItem(SOUND) === ON);
export const hasDesktop = signal(localStorage.getItem(DESKTOP) === ON && globalThis.Notification?.permission === "granted");

let audio = null;

export function setSound(isOn) {
  hasSound.value = isOn;
  localStorage.setItem(SOUND, isOn ? ON : "off");
  if (isOn) play();
}

// Turn notifications on or off. Returns why the browser does not show them, or null. Call it for a click: the
// browser asks the user only then.
export async function setDesktop(isOn) {
  let problem = null;
  if (isOn) problem = await whyNot();
  hasDesktop.value = isOn && !problem;
  localStorage.setItem(DESKTOP, hasDesktop.value ? ON : "off");
  return problem;
}

// Tell of a request that the user does not see.
export function alert(request) {
  if (hasSound.value) play();
  if (hasDesktop.value) show(request);
}

async function whyNot() {
  if (!globalThis.Notification) return "This browser has no notifications. On a phone, install the console as an app first.";
  const answer = await Notification.requestPermission();
  return answer === "granted" ? null : "The browser blocks notifications of this page. Allow them in the settings of the page, beside its address.";
}

function show(request) {
  const { pause, lines, changes } = describe(request.detail, request.tool);
  const isAsking = request.questions?.length > 0;
  const title = isAsking ? `${request.peer} asks` : pause ? `${request.peer} is paused` : `${request.peer} asks to use ${request.tool}`;
  const body = isAsking ? request.questions[0].question : pause?.reason ?? changes[0]?.path ?? lines[0]?.text ?? "";
  const options = { body: body.slice(0, 200), tag: request.request_id, data: { url: "/permissions" } };
  try {
    const shown = new Notification(title, options);
    shown.onclick = () => (window.focus(), shown.close());
  } catch {
    navigator.serviceWorker?.ready.then((worker) => worker.showNotification(title, options)); // phones allow only this
  }
}

// Two short tones. A page that the user has not touched yet may not make a sound.
function play() {
  audio ??= new AudioContext();
  audio.resume().catch(() => {});
  for (const [hertz, after] of NOTES) {
    const at = audio.currentTime + after;
    const tone = new OscillatorNode(audio, { frequency: hertz });
    const volume = new GainNode(audio, { gain: 0 });
    volume.gain.setValueAtTime(0, at);
    volume.gain.linearRampToValueAtTime(0.2, at + 0.02);
    volume.gain.exponentialRampToValueAtTime(0.001, at + NOTE_SECONDS);
    tone.connect(volume).connect(audio.destination);
    tone.start(at);
    tone.stop(at + NOTE_SECONDS);
  }
}
