// Where each row of a long list is: the sums of their heights, computed as far as they are asked for.
//
// A row whose height is not measured has an estimated one. Only what is behind the first change is added up
// again, so that a list that grows at its end costs the same however long it is.
export class Offsets {
  constructor(estimate) {
    this.estimate = estimate;
    this.sums = new Float64Array(1024); // sums[i]: the top of row i
    this.valid = 0; // sums[0…valid] are right
    this.rows = [];
  }

  // Take the rows as they are now. Those before `changedFrom` are the same as before.
  take(rows, changedFrom) {
    this.rows = rows;
    this.valid = Math.min(this.valid, changedFrom, rows.length);
  }

  // The height of a row is known now. Returns whether it differs from what it was.
  measured(index, height) {
    const row = this.rows[index];
    if (row.height === height) return false;
    row.height = height;
    this.valid = Math.min(this.valid, index);
    return true;
  }

  top(index) {
    this.#reach(index);
    return this.sums[index];
  }

  get total() {
    return this.top(this.rows.length);
  }

  // The row at this distance from the top.
  at(distance) {
    this.#reach(this.rows.length);
    let [low, high] = [0, this.rows.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.sums[middle] <= distance) low = middle;
      else high = middle - 1;
    }
    return Math.max(0, low);
  }

  #reach(index) {
    if (index <= this.valid) return;
    if (this.rows.length >= this.sums.length) this.#grow();
    for (let next = this.valid; next < index; next += 1) {
      const row = this.rows[next];
      this.sums[next + 1] = this.sums[next] + (row.height ?? this.estimate(row));
    }
    this.valid = index;
  }

  #grow() {
    const sums = new Float64Array(this.rows.length * 2);
    sums.set(this.sums);
    this.sums = sums;
  }
}
