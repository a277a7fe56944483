// Places in a line. The hub counts characters, and JavaScript counts UTF-16 units.

export const charactersBefore = (text, unit) => [...text.slice(0, unit)].length;

export function unitOf(text, character) {
  let unit = 0;
  let count = 0;
  for (const one of text) {
    if (count === character) break;
    unit += one.length;
    count += 1;
  }
  return unit;
}

// The line with a candidate in it: {text, at}, `at` in units. A blank follows what is complete.
export function completed(line, { start, end }, candidate) {
  const [from, to] = [unitOf(line, start), unitOf(line, end)];
  const rest = line.slice(to);
  const blank = /[=:@]$/.test(candidate) || rest.startsWith(" ") ? "" : " ";
  const before = line.slice(0, from) + candidate + blank;
  return { text: before + rest, at: before.length };
}

// The candidates that still fit after more was typed. `at`: the cursor, in characters.
export function narrowed(list, line, at) {
  const typed = [...line].slice(list.start, at).join("").toLowerCase();
  const fits = ({ text }) => text.toLowerCase().startsWith(typed) && text.toLowerCase() !== typed;
  return { ...list, end: at, active: -1, candidates: at < list.start ? [] : list.candidates.filter(fits) };
}

// The parts of a line, with the problem of each: [{text, problem}]. A problem without length is one character, at
// the end of the line a blank.
export function withProblems(line, problems) {
  const characters = [...line];
  const parts = [];
  let at = 0;
  for (const problem of [...problems].sort((one, other) => one.start - other.start)) {
    const start = Math.max(at, problem.start);
    const end = Math.max(start + 1, problem.start + problem.length);
    parts.push({ text: characters.slice(at, start).join(""), problem: null });
    parts.push({ text: characters.slice(start, end).join("") || " ", problem });
    at = end;
  }
  parts.push({ text: characters.slice(at).join(""), problem: null });
  return parts.filter(({ text }) => text);
}

const STORED = "lines";
const MOST = 100;

// The lines that were run in this browser, the last one first: [{line, plan, at}].
export function linesIn(storage) {
  try {
    const found = JSON.parse(storage.getItem(STORED));
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

export function addLine(storage, entry) {
  const lines = [entry, ...linesIn(storage).filter(({ plan }) => plan !== entry.plan)].slice(0, MOST);
  storage.setItem(STORED, JSON.stringify(lines));
  return lines;
}
