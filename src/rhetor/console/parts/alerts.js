// Requests that the user does not see: a sound, a notification, and the oldest one at the edge of the page.
import { html } from "htm/preact";
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { useKeys } from "#app/keys.js";
import { address, match } from "#app/router.js";
import { isOfPlan, keyOfRequest, pathOf, peers, pending } from "#model/hub.js";
import { describe } from "#model/tools.js";
import { inView, Permission } from "#parts/permission.js";

// Sound and desktop notifications for permission requests: off until the user turns them on, in this browser.

const SOUND = "notify.sound";
const DESKTOP = "notify.desktop";
const ON = "on";
const NOTES = [[660, 0], [880, 0.14]]; // hertz, and seconds after the beginning
const NOTE_SECONDS = 0.22;

const hasSound = signal(localStorage.getItem(SOUND) === ON);
const hasDesktop = signal(localStorage.getItem(DESKTOP) === ON && globalThis.Notification?.permission === "granted");

let audio = null;

function setSound(isOn) {
  hasSound.value = isOn;
  localStorage.setItem(SOUND, isOn ? ON : "off");
  if (isOn) play();
}

// Turn notifications on or off. Returns why the browser does not show them, or null. Call it for a click: the
// browser asks the user only then.
async function setDesktop(isOn) {
  let problem = null;
  if (isOn) problem = await whyNot();
  hasDesktop.value = isOn && !problem;
  localStorage.setItem(DESKTOP, hasDesktop.value ? ON : "off");
  return problem;
}

// Tell of a request that the user does not see.
function alert(request) {
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

// The switches for the sound and the desktop notification of new permission requests.

export function AlertSettings() {
  const [problem, setProblem] = useState(null);
  return html`
    <fieldset class="alert-settings">
      <legend>When a request arrives that you do not see</legend>
      <label>
        <input type="checkbox" checked=${hasSound.value} onChange=${(event) => setSound(event.target.checked)} />
        Play a sound
      </label>
      <label>
        <input
          type="checkbox"
          checked=${hasDesktop.value}
          onChange=${async ({ target }) => {
            setProblem(await setDesktop(target.checked));
            target.checked = hasDesktop.value;
          }}
        />
        Show a notification on the desktop
      </label>
      ${problem && html`<p class="problem" role="alert">${problem}</p>`}
    </fieldset>
  `;
}

// The oldest request that the current view does not show, at the edge of the page, with its options.

const later = signal(new Set()); // keys of the requests that the user will answer later

// Make a sound or a notification for a new request, unless the user looks at it.
export function tell(request) {
  if (document.hidden || !isShown(request)) alert(request);
}

export function PermissionAlert() {
  const waiting = pending.value.filter((one) => !isShown(one) && !later.value.has(keyOfRequest(one)));
  const request = waiting[0];
  useKeys(request ? { w: { name: "Go to the waiting request", run: focusAlert } } : {}, [Boolean(request)]);
  if (!request) return null;
  const putOff = () => (later.value = new Set([...later.value, ...waiting.map(keyOfRequest)]));
  return html`
    <aside class="permission-alert" aria-label="Waiting request">
      <p class="visually-hidden" role="alert" key=${keyOfRequest(request)}>${request.peer} waits for an answer. Press w to go to it.</p>
      <${Permission} key=${keyOfRequest(request)} request=${request} needsFocus />
      <p class="alert-links">
        <a href=${pathOf(request)}>${isOfPlan(request) ? "Show the line" : "Show the session"}</a>
        ${waiting.length > 1 && html`<a href="/permissions">${waiting.length - 1} more</a>`}
        <button class="close" onClick=${putOff}>Later</button>
      </p>
    </aside>
  `;
}

function focusAlert() {
  document.querySelector(".permission-alert .permission")?.focus();
}

// Whether the view shows a request, or the session in which it was made.
function isShown(request) {
  const { path } = address.value;
  if (path === "/permissions" || inView.value.has(keyOfRequest(request))) return true;
  const found = match(address.value);
  return found?.route.name === "Sessions" && [request.session_id, nameOf(request)].includes(found.params.id ?? "");
}

function nameOf({ session_id: id }) {
  for (const peer of peers.value) for (const turn of peer.now ?? []) if (turn.session_id === id) return turn.session_name;
  return undefined;
}
