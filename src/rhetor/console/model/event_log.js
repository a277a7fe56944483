// The events of a session as rows of a list, without any meaning that they have.
const MOST_CHARACTERS = 300; // of the data in one line

export class EventLog {
  constructor() {
    this.rows = [];
    this.changedFrom = 0;
  }

  add(events) {
    for (const event of events) this.rows.push(rowOf(event));
    this.changedFrom = Math.min(this.changedFrom, this.rows.length - events.length);
  }

  prepend(events) {
    const first = this.rows[0]?.seq ?? Infinity;
    this.rows = events.filter(({ seq }) => seq < first).map(rowOf).concat(this.rows);
    this.changedFrom = 0;
  }

  // Forget the oldest rows beyond `most`. Returns the number of the first one that is left, or null.
  trim(most) {
    if (this.rows.length <= most * 1.2) return null;
    this.rows = this.rows.slice(-most);
    this.changedFrom = 0;
    return this.rows[0].seq;
  }

  // The row with this number, or the next one after it.
  at(seq) {
    let [low, high] = [0, this.rows.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.rows[middle].seq < seq) low = middle + 1;
      else high = middle;
    }
    return this.rows[low];
  }
}

function rowOf(event) {
  return { key: event.seq, kind: "event", seq: event.seq, version: 0, event };
}

// The data of an event in one line.
export function lineOf({ data }) {
  const text = JSON.stringify(data);
  return text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}…` : text;
}
