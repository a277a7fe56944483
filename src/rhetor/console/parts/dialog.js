// A modal dialog. The browser keeps the focus inside, and Escape closes it.
import { html } from "htm/preact";
import { useEffect, useId, useRef } from "preact/hooks";

export function Dialog({ title, onClose, children, className = "" }) {
  const dialog = useRef(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    dialog.current.showModal();
    return () => queueMicrotask(() => before?.isConnected && before.focus()); // nothing below an open dialog takes the focus
  }, []);
  const onClick = (event) => event.target === dialog.current && onClose(); // on the backdrop
  return html`
    <dialog ref=${dialog} class=${className} aria-labelledby=${id} onClose=${onClose} onClick=${onClick}>
      <header><h2 id=${id}>${title}</h2><button class="close" aria-label="Close" onClick=${onClose}>✕</button></header>
      <div class="dialog-body">${children}</div>
    </dialog>
  `;
}
