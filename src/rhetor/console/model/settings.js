// The settings with what their values may be: which description fits a key, what a typed text means, and the
// JSON Merge Patch that changes a value in the configuration file.

// Join `config` (key, value, origin) with `schema`. Returns [{key, group, value, origin, path, about}]; `about`
// is the description, `path` the members that lead to the value. What has no description cannot be changed here.
export function settingsOf(config, schema) {
  const patterns = schema.map((about) => ({ about, pattern: patternOf(about.key) }));
  return config.map(({ key, value, origin }) => {
    const found = patterns.find(({ pattern }) => pattern.test(key));
    const path = found ? pathOf(found.about.key, found.pattern.exec(key)) : null;
    return { key, group: key.split(".")[0], value, origin, about: found?.about ?? null, path };
  });
}

// The sections whose entries have names that the user chooses: [{prefix, members}].
export function namedSections(schema) {
  const sections = new Map();
  for (const about of schema) {
    const [prefix, rest] = about.key.split(".NAME");
    if (rest === undefined) continue;
    if (!sections.has(prefix)) sections.set(prefix, []);
    sections.get(prefix).push({ ...about, member: rest.slice(1) });
  }
  return [...sections].map(([prefix, members]) => ({ prefix, members }));
}

function patternOf(key) {
  const parts = key.split(".").map((part) => (part === "NAME" ? "(.+)" : part === "N" ? "(\\d+)" : part.replace(/\W/g, "\\$&")));
  return new RegExp(`^${parts.join("\\.")}$`);
}

// Entries of a list have no place of their own in a Merge Patch.
function pathOf(key, [, ...names]) {
  const parts = key.split(".");
  return parts.includes("N") ? null : parts.map((part) => (part === "NAME" ? names.shift() : part));
}

export function patchOf(path, value) {
  return path.reduceRight((inner, part) => ({ [part]: inner }), value);
}

// Whether a setting is found by what the user typed.
export function matches({ key, about, value }, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const all = `${key} ${about?.description ?? ""} ${JSON.stringify(value)}`.toLowerCase();
  return words.every((word) => all.includes(word));
}

// How a value is shown for editing.
export function editable(value, { type, items, or_else: other }) {
  if (value == null) return "";
  if (Array.isArray(value) && (items ?? other?.items)?.type === "string") return value.join("\n");
  if (type === "object" || typeof value === "object") return JSON.stringify(value, null, 2);
  return String(value);
}

// What a typed text means: {value}, or {problem}. An empty text stands for the built-in value (null).
export function parsed(text, about) {
  const trimmed = text.trim();
  if (trimmed === "") return about.type === "array" ? { value: [] } : { value: null };
  const read = { boolean, integer: number, number, array, object }[about.type] ?? string;
  return read(trimmed, about, text);
}

function boolean(text) {
  return text === "true" || text === "false" ? { value: text === "true" } : { problem: "Choose true or false." };
}

function number(text, { type, minimum, maximum, above }) {
  const value = Number(text);
  if (!Number.isFinite(value)) return { problem: "Enter a number." };
  if (type === "integer" && !Number.isSafeInteger(value)) return { problem: "Enter a whole number." };
  const least = type === "integer" && above != null ? above + 1 : minimum;
  if (least != null && value < least) return { problem: `Enter at least ${least}.` };
  if (above != null && value <= above) return { problem: `Enter more than ${above}.` };
  if (maximum != null && value > maximum) return { problem: `Enter at most ${maximum}.` };
  return { value };
}

function array(text, about) {
  if (about.items?.type !== "string") return json(text, Array.isArray, "Enter a JSON list, such as [].");
  const list = text.split("\n").map((line) => line.trim()).filter(Boolean);
  const wrong = list.find((one) => string(one, about.items).problem);
  return wrong === undefined ? { value: list } : { problem: `${wrong}: ${string(wrong, about.items).problem}` };
}

function object(text) {
  return json(text, (value) => value && typeof value === "object" && !Array.isArray(value), "Enter a JSON object, such as {}.");
}

function json(text, isRight, problem) {
  try {
    const value = JSON.parse(text);
    return isRight(value) ? { value } : { problem };
  } catch {
    return { problem };
  }
}

function string(text, about) {
  const { choices, pattern, expected, or_else: other } = about;
  if (other && text.startsWith(other.type === "array" ? "[" : "{")) return (other.type === "array" ? array : object)(text, { ...other, items: null });
  if (choices && !choices.includes(text)) return { problem: `Enter ${choices.join(" or ")}.` };
  if (pattern && !matchesPattern(pattern, text)) return { problem: `Enter ${expected ?? `a value that matches ${pattern}`}.` };
  return { value: text };
}

// The hub checks a pattern that browsers do not know.
function matchesPattern(pattern, text) {
  try {
    return new RegExp(pattern, "u").test(text);
  } catch {
    return true;
  }
}
