// What a page shows when the hub no longer accepts its login. The view below keeps what was typed.
import { html } from "htm/preact";
import { hurry } from "#client/connection.js";

export function LoggedOut() {
  return html`
    <section class="logged-out" role="alert">
      <h1>You are logged out</h1>
      <p>The login has ended: it expired, or it was ended or revoked. Nothing that was sent is lost.</p>
      <p>Run <code>aish console</code> to log in again, or enter a code from <code>aish console --print</code>:</p>
      <form action="/login" method="get">
        <label>Code <input name="code" autocomplete="off" required spellcheck="false" /></label>
        <button>Log in</button>
        <button type="button" onClick=${hurry}>Try again</button>
      </form>
    </section>
  `;
}
