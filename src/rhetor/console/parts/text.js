// How times, amounts and sizes are written.
const clock = once(() => new Intl.DateTimeFormat(undefined, { timeStyle: "short" }));
const day = once(() => new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" }));
const count = once(() => new Intl.NumberFormat());

// The first format takes a browser some time, so it is made when it is needed.
function once(make) {
  let made;
  return () => (made ??= make());
}

// A time in RFC 3339, shortly: with the date unless it is today.
export function timeText(text) {
  if (!text) return "";
  const at = new Date(text);
  if (Number.isNaN(at.valueOf())) return typeof text === "string" ? text : JSON.stringify(text); // it is not from the hub
  return at.toDateString() === new Date().toDateString() ? clock().format(at) : day().format(at);
}

export function secondsText(seconds) {
  if (seconds == null) return "";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
}

// How long ago a time in RFC 3339 was.
export function agoText(text, now = Date.now()) {
  if (!text) return "";
  const seconds = Math.max(0, Math.round((now - Date.parse(text)) / 1000));
  return seconds < 10 ? `${seconds} s` : secondsText(seconds);
}

// USD as the hub writes them, a decimal string; an unknown price is never 0.
export function moneyText(cost) {
  if (cost == null) return "unknown";
  const dollars = Number(cost);
  return dollars !== 0 && dollars < 0.01 ? `$${dollars.toPrecision(2)}` : `$${dollars.toFixed(2)}`;
}

export const countText = (number) => (number == null ? "" : count().format(number));

export function bytesText(bytes) {
  if (bytes == null) return "";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) [bytes, unit] = [bytes / 1024, unit + 1];
  return `${unit ? bytes.toFixed(1) : bytes} ${units[unit]}`;
}
