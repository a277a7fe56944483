// The questions of a request: one or several options each, or an answer in the user's own words.
import { html } from "htm/preact";
import { useId, useState } from "preact/hooks";
import { useSubmit } from "#parts/submit.js";

const ANSWER = "answer"; // the id of the option that stands for answering the questions

export function Questions({ request, answering, refusals }) {
  const [given, setGiven] = useState({}); // id of a question → {labels, text}
  const answers = Object.fromEntries(request.questions.map((one) => [one.id, answerOf(one, given[one.id])]));
  const isComplete = Object.values(answers).every((one) => one.length > 0);
  const submit = useSubmit(() => isComplete && answering.send({ answers }));
  const name = request.options.find(({ option_id: id }) => id === ANSWER)?.name ?? "Answer";
  return html`
    <form class="questions" onSubmit=${submit}>
      ${request.questions.map(
        (one) => html`
          <${Question}
            key=${one.id}
            question=${one}
            given=${given[one.id] ?? {}}
            onGiven=${(value) => setGiven((all) => ({ ...all, [one.id]: value }))}
          />
        `,
      )}
      <div class="options">
        <button class="option primary" disabled=${!isComplete || answering.isBusy}>${name}</button>
        ${refusals.map(
          (option) => html`
            <button
              key=${option.option_id}
              type="button"
              class="option ${option.kind}"
              disabled=${answering.isBusy}
              onClick=${() => answering.send({ option_id: option.option_id })}
              dir="auto"
            >${option.name}</button>
          `,
        )}
      </div>
    </form>
  `;
}

function Question({ question, given, onGiven }) {
  const name = useId();
  const { labels = [], text = "" } = given;
  if (question.options.length === 0) return html`<${OwnWords} question=${question} text=${text} onText=${(text) => onGiven({ text })} />`;
  const choose = (label, isChosen) => {
    const others = question.multi_select ? labels.filter((one) => one !== label) : [];
    onGiven({ labels: isChosen ? [...others, label] : others, text: "" });
  };
  return html`
    <fieldset class="question">
      <legend dir="auto">${question.question}${question.multi_select && html` <span class="muted">One or more</span>`}</legend>
      ${question.options.map(
        ({ label, description }) => html`
          <label key=${label} class="choice">
            <input
              type=${question.multi_select ? "checkbox" : "radio"}
              name=${name}
              checked=${labels.includes(label)}
              onChange=${(event) => choose(label, event.target.checked)}
            />
            <span dir="auto">${label}${description && html`<span class="description">${description}</span>`}</span>
          </label>
        `,
      )}
      <label class="own">
        <span>Or in your own words</span>
        <input value=${text} dir="auto" onInput=${(event) => onGiven({ labels: [], text: event.target.value })} />
      </label>
    </fieldset>
  `;
}

function OwnWords({ question, text, onText }) {
  const onInput = (event) => onText(event.target.value);
  return html`
    <label class="question own">
      <span dir="auto">${question.question}</span>
      ${question.secret
        ? html`<input type="password" autocomplete="off" value=${text} onInput=${onInput} />`
        : html`<textarea rows="2" dir="auto" value=${text} onInput=${onInput}></textarea>`}
    </label>
  `;
}

// As the hub expects it: a list of labels, or a text; empty if there is no answer yet.
function answerOf(question, { labels = [], text = "" } = {}) {
  if (labels.length === 0) return text.trim();
  return question.options.map(({ label }) => label).filter((label) => labels.includes(label));
}
