// Makes the answer of a turn what its end says, which has the whole text. Usually the pieces have it already.
// They do not if the store has replaced them (`folded`), or if text arrived late.

export function settle(all, turn, text, event) {
  if (!turn.isFolded && turn.length === text.length) return;
  if (turn.kept) return; // its beginning is not loaded, so it can only have the end of the text
  const known = turn.answers.map((row) => row.text).join("");
  if (known && !turn.isFolded && text.startsWith(known)) append(all, turn.answers.at(-1), text.slice(known.length));
  else replace(all, turn, text, event);
  turn.length = text.length;
  turn.isFolded = false;
}

function append(all, row, text) {
  row.text += text;
  all.touch(row);
}

// Where each piece of the text was is no longer known, so all of it is where the last one was.
function replace(all, turn, text, event) {
  const row = turn.answers.pop() ?? all.put({ kind: "answer", text: "" }, turn, event);
  for (const other of turn.answers) all.remove(other);
  row.text = "";
  append(all, row, text);
  turn.answers = [row];
}
