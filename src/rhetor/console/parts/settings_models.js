// Which models answer, what they take and cost, and the small models that the hub itself can run.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { get, post, remove } from "#client/api.js";
import { postLong } from "#client/api.js";
import { Trouble, useAction, useAnswer, Waiting } from "#parts/loaded.js";
import { bytesText } from "#parts/text.js";

export default function Models({ mayChange }) {
  const { answer, problem } = useAnswer(() => get("/api/v2/models"));
  return html`
    <${Waiting} answer=${answer} problem=${problem} />
    ${answer?.silent.map((one) => html`<p key=${one.provider} class="warning" dir="auto">${one.provider}: ${one.detail} ${one.hint}</p>`)}
    ${answer?.models.length === 0 && html`<p>No provider lists a model. Set an <a href="/settings?section=keys">API key</a>, or use a model on this machine.</p>`}
    ${answer?.models.length > 0 && html`<${List} models=${answer.models} />`}
    <h3>On this machine</h3>
    <${Local} mayChange=${mayChange} />
  `;
}

function List({ models }) {
  return html`
    <div class="settings-table" tabindex="0" role="region" aria-label="List of models">
      <table>
        <thead><tr><th scope="col">Model</th><th scope="col">Takes</th><th scope="col">USD per million tokens</th><th scope="col">Used by</th></tr></thead>
        <tbody>
          ${models.map(
            (one) => html`
              <tr key=${one.model}>
                <th scope="row" dir="auto">${one.model}${one.is_default && " (default)"}${one.error && html`<p class="problem">${one.error}</p>`}</th>
                <td>${one.takes?.join(", ") ?? "said by the agent"}</td>
                <td>${one.price ? `${one.price.input_per_1m} in, ${one.price.output_per_1m} out` : "unknown"}</td>
                <td>${one.peers.join(", ")}</td>
              </tr>
            `,
          )}
        </tbody>
      </table>
    </div>
  `;
}

function Local({ mayChange }) {
  const { answer, problem, reload } = useAnswer(() => get("/api/v2/models/local"));
  const { run, isBusy, problem: failed } = useAction();
  const [progress, setProgress] = useState(null);
  if (!answer) return html`<${Waiting} answer=${answer} problem=${problem} />`;
  const pull = (model) =>
    run(async () => {
      await postLong("/api/v2/models/local", { model }, { onProgress: (found) => setProgress({ model, ...found }) });
      await reload();
    }).then(() => setProgress(null));
  const path = (name) => `/api/v2/models/local/${encodeURIComponent(name)}`;
  const isHere = (name) => answer.models.some((one) => one.name === name);
  return html`
    ${!answer.installed && html`<p class="warning">Small models need the package xllamacpp, which is not installed.</p>`}
    ${failed && html`<${Trouble} problem=${failed} />`}
    ${progress && html`<p role="status">Fetching ${progress.model}: ${bytesText(progress.done)}${progress.total && ` of ${bytesText(progress.total)}`} <progress max=${progress.total ?? undefined} value=${progress.total ? progress.done : undefined} aria-label="Progress"></progress></p>`}
    <ul class="cards">
      ${answer.models.map(
        (one) => html`
          <li key=${one.name} class="card">
            <h4 dir="auto">${one.name}</h4>
            <p class="muted">${bytesText(one.bytes)}${one.in_use ? ", used if nothing better answers" : ""}${one.pid ? `, process ${one.pid}` : ""}</p>
            ${mayChange && html`<p class="buttons">
              ${!one.in_use && html`<button disabled=${isBusy} onClick=${() => run(() => post(`${path(one.name)}/use`).then(reload))}>Use ${one.name}</button>`}
              <button class="danger" disabled=${isBusy} onClick=${() => run(() => remove(path(one.name)).then(reload))}>Remove ${one.name}</button>
            </p>`}
          </li>
        `,
      )}
      ${answer.known.filter(({ name }) => !isHere(name)).map(
        (one) => html`
          <li key=${one.name} class="card">
            <h4 dir="auto">${one.name}</h4>
            <p class="muted">${bytesText(one.bytes)}, from ${one.source}</p>
            ${mayChange && html`<button disabled=${isBusy} onClick=${() => pull(one.name)}>Fetch ${one.name}</button>`}
          </li>
        `,
      )}
    </ul>
  `;
}
