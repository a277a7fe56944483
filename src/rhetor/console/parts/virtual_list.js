// A list of rows of any heights, of which only those near the visible part are in the page.
//
// It stays at its end while rows are added, unless the user has scrolled away. Otherwise the row at the top of
// the visible part stays where it is, whatever is added before it and however rows above change their heights.
import { Component } from "preact";
import { html } from "htm/preact";
import { Offsets } from "#model/offsets.js";

const AHEAD = 1; // how many screens are in the page above and below the visible one
const NEAR_END = 32; // pixels; closer than this is at the end
const NEAR_START = 1.5; // screens; closer than this, earlier rows are asked for
const MOST_PASSES = 4; // of measuring, until the rows that are shown fill the screen

// `source`: has `rows`, objects with `key` and `version` in which the list stores `height`, and `changedFrom`, the
// index of the first row that is another one than at the last time. `render(row)`: its content, which depends on
// nothing but the row and its version. `estimate(row)`: its height in pixels before it is shown. `onNearStart()`
// asks for earlier rows, `onEnd(isAtEnd)` says whether the end is shown. `revision`: changes with the rows. `handle`:
// a ref, through which the view scrolls.
export class VirtualList extends Component {
  constructor(props) {
    super(props);
    this.offsets = new Offsets(props.estimate);
    this.first = this.last = 0; // the rows that are in the page
    this.isAtEnd = true;
    this.anchor = null; // {row, delta}: the row at the top, and how far it is above it
    this.vnodes = new WeakMap(); // row → {version, vnode}
    this.passes = 0;
    this.setScroller = (element) => (this.scroller = element);
    this.setWindow = (element) => (this.window = element);
  }

  componentDidMount() {
    this.props.handle.current = this;
    this.observer = new ResizeObserver(() => this.settle());
    this.observer.observe(this.scroller);
    this.observer.observe(this.window);
    this.settle();
  }

  componentWillUnmount() {
    if (this.props.handle.current === this) this.props.handle.current = null;
    this.observer.disconnect();
  }

  componentDidUpdate() {
    this.settle();
  }

  render({ source, label, render }) {
    this.take(source);
    [this.first, this.last] = this.choose();
    this.shown = source.rows.slice(this.first, this.last);
    return html`
      <div class="list" ref=${this.setScroller} onScroll=${this.onScroll} tabindex="0" role="region" aria-label=${label}>
        <div class="list-space"><div class="list-window" ref=${this.setWindow}>${this.shown.map((row) => this.vnode(row, render))}</div></div>
      </div>
    `;
  }

  // Take the rows as they are now; they may have changed since the list was drawn.
  take(source) {
    if (source === this.source && source.rows === this.offsets.rows && source.changedFrom === Infinity) return;
    this.offsets.take(source.rows, source === this.source ? source.changedFrom : 0);
    source.changedFrom = Infinity;
    this.source = source;
  }

  // The content of a row is made again only if the row has changed.
  vnode(row, render) {
    const known = this.vnodes.get(row);
    if (known?.version === row.version && known.render === render) return known.vnode;
    const vnode = html`<div class="list-row" key=${row.key} data-seq=${row.seq}>${render(row)}</div>`;
    this.vnodes.set(row, { version: row.version, vnode, render });
    return vnode;
  }

  // The rows that should be in the page, from where the visible part is: the first one, and the one after the last.
  choose() {
    const { rows } = this.offsets;
    const height = this.scroller?.clientHeight || 800;
    const top = this.wanted(height);
    if (!rows.length) return [0, 0];
    return [this.offsets.at(top - height * AHEAD), Math.min(rows.length, this.offsets.at(top + height * (1 + AHEAD)) + 1)];
  }

  // How far from the top the visible part should begin.
  wanted(height) {
    const furthest = Math.max(0, this.offsets.total - height);
    if (this.isAtEnd || !this.anchor) return furthest;
    const index = this.indexOf(this.anchor.row);
    return index < 0 ? Math.min(this.top ?? 0, furthest) : Math.min(furthest, this.offsets.top(index) + this.anchor.delta);
  }

  indexOf(row) {
    const { rows } = this.offsets;
    if (rows[this.anchorIndex] !== row) this.anchorIndex = rows.indexOf(row);
    // a row may have been made again, from earlier events, too
    if (this.anchorIndex < 0) this.anchorIndex = rows.findIndex(({ seq, kind }) => seq === row.seq && kind === row.kind);
    return this.anchorIndex;
  }

  // Measure what is in the page, put it at its place, and scroll so that what the user reads stays.
  settle() {
    if (!this.scroller?.clientHeight) return;
    this.take(this.props.source);
    if (this.offsets.rows[this.first] !== this.shown[0]) return this.forceUpdate(); // they have moved; draw first
    for (const [index, element] of [...this.window.children].entries()) {
      this.offsets.measured(this.first + index, element.getBoundingClientRect().height);
    }
    this.place();
    const [first, last] = this.choose();
    const isFilled = first >= this.first && last <= this.last;
    if (!isFilled && (this.passes += 1) <= MOST_PASSES) return this.forceUpdate();
    this.passes = 0;
    this.tell();
  }

  place() {
    const height = this.scroller.clientHeight;
    const top = this.wanted(height);
    this.window.parentNode.style.height = `${this.offsets.total}px`;
    this.window.style.transform = `translateY(${this.offsets.top(Math.min(this.first, this.offsets.rows.length))}px)`;
    if (Math.abs(this.scroller.scrollTop - top) >= 1) this.scroller.scrollTop = top;
    this.top = this.scroller.scrollTop;
    if (!this.anchor) this.keepAnchor();
  }

  onScroll = () => {
    const top = this.scroller.scrollTop;
    if (Math.abs(top - this.top) < 1) return; // we did it ourselves
    // rows that were added meanwhile are taken when they are drawn: here, it counts where the drawn ones are
    // a small step upwards leaves the end, or else rows that arrive would take the user back to it
    const isNear = top < this.top ? 1 : NEAR_END;
    this.isAtEnd = this.offsets.total - top - this.scroller.clientHeight <= isNear;
    this.top = top;
    this.keepAnchor();
    const height = this.scroller.clientHeight;
    const isCovered = this.offsets.top(this.first) <= Math.max(0, top - height / 2) &&
      this.offsets.top(Math.min(this.last, this.offsets.rows.length)) >= Math.min(this.offsets.total, top + height * 1.5);
    if (!isCovered) this.forceUpdate();
    this.tell();
  };

  keepAnchor() {
    const { rows } = this.offsets;
    if (!rows.length) return;
    this.anchorIndex = this.offsets.at(this.top);
    const bottom = this.top + this.scroller.clientHeight;
    let index = this.anchorIndex; // of the first visible row whose height is certain, because it was shown before
    while (index < rows.length - 1 && rows[index].height === undefined && this.offsets.top(index) < bottom) index += 1;
    if (rows[index].height !== undefined) this.anchorIndex = index;
    this.anchor = { row: rows[this.anchorIndex], delta: this.top - this.offsets.top(this.anchorIndex) };
  }

  tell() {
    if (this.wasAtEnd !== this.isAtEnd) this.props.onEnd?.((this.wasAtEnd = this.isAtEnd));
    if (this.top < this.scroller.clientHeight * NEAR_START) this.props.onNearStart?.();
  }

  // Scroll to the end, and stay there.
  toEnd() {
    this.isAtEnd = true;
    this.forceUpdate();
  }

  focus() {
    this.scroller.focus({ preventScroll: true });
  }

  toStart() {
    this.toRow(this.offsets.rows[0]);
  }

  // Scroll to a row, which is then below the top edge by a quarter of the screen if possible.
  toRow(row) {
    if (!row) return;
    this.isAtEnd = false;
    this.anchor = { row, delta: this.offsets.rows[0] === row ? 0 : -this.scroller.clientHeight / 4 };
    this.forceUpdate();
  }
}
