import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Conversation } from "../../../src/rhetor/console/model/conversation.js";
import { called, completed, event, restart, returned, said, seen, started, text } from "./events.mjs";

const conversationOf = (...events) => {
  const conversation = new Conversation();
  for (const one of events) conversation.add(one);
  return conversation;
};

beforeEach(restart);

test("a turn has its message, its pieces of text joined, and its end", () => {
  const all = conversationOf(said("hi"), started(), text("Hel"), text("lo"), completed("Hello"));
  assert.deepEqual(seen(all), [["message", "hi"], ["answer", "Hello"], ["end", "completed"]]);
  assert.equal(all.running, undefined);
});

test("a tool call divides the text, and has its result", () => {
  const all = conversationOf(said("hi"), started(), text("a"), called("c"), text("b"), returned("c", "x"), text("c"));
  assert.deepEqual(seen(all).slice(1), [["answer", "a"], ["tool", "Bash"], ["answer", "bc"]]);
  const tool = all.rows[2];
  assert.equal(tool.result, "x");
  assert.ok(tool.isDone && !tool.isError);
});

test("reasoning is a row of its own, and error output does not divide the answer", () => {
  const all = conversationOf(said("hi"), started(), text("r", "reasoning"), text("a"), text("!", "stderr"), text("b"), text("s", "reasoning"));
  assert.deepEqual(seen(all).slice(1), [["reasoning", "r"], ["answer", "ab"], ["stderr", "!"], ["reasoning", "s"]]);
});

test("what the running turn does comes before the messages that wait", () => {
  const all = conversationOf(said("one"), started(), said("two", "t2"), event("turn.queued", { position: 1 }, "t2"), text("answer"));
  assert.deepEqual(seen(all), [["message", "one"], ["answer", "answer"], ["message", "two"]]);
  assert.equal(all.running.id, "t1");
  assert.deepEqual(all.queued.map(({ id }) => id), ["t2"]);
});

test("a permission request is pending until it is answered, and the turn waits", () => {
  const asked = { request_id: "r", tool: "Bash", detail: {}, options: [{ option_id: "y", name: "Yes", kind: "allow_once" }], expires_at: null };
  const all = conversationOf(said("hi"), started(), event("permission.asked", asked));
  assert.equal(all.running.state, "waiting");
  assert.deepEqual(all.pending.map(({ request_id: id, tool, peer }) => [id, tool, peer]), [["r", "Bash", "apollo"]]);
  all.add(event("permission.answered", { request_id: "r", option_id: "y", by: "me" }));
  assert.equal(all.running.state, "running");
  assert.deepEqual(all.pending, []);
  assert.equal(all.rows.at(-1).answer.by, "me");
});

test("a failed turn has its error, and keeps the part of the answer", () => {
  const failed = event("turn.failed", { code: "provider_failed", detail: "502", retryable: true, data: { hint: "try again" } });
  const all = conversationOf(said("hi"), started(), text("Hal"), event("output.partial", { text: "Half" }), failed);
  assert.deepEqual(seen(all), [["message", "hi"], ["answer", "Half"], ["end", "failed"]]);
  assert.deepEqual([all.rows[2].code, all.rows[2].hint], ["provider_failed", "try again"]);
});

test("text that arrives after the end is added to the answer", () => {
  const all = conversationOf(said("hi"), started(), text("a"), completed("a"), said("next", "t2"), event("output.partial", { text: "a and b" }));
  assert.deepEqual(seen(all), [["message", "hi"], ["answer", "a and b"], ["end", "completed"], ["message", "next"]]);
});

test("a turn whose pieces were folded has the text of its end", () => {
  const fold = event("folded", { from_seq: 3, to_seq: 9 });
  const all = conversationOf(said("hi"), started(), fold, called("c"), returned("c"), event("folded", { from_seq: 12, to_seq: 20 }), completed("The whole answer"));
  assert.deepEqual(seen(all), [["message", "hi"], ["tool", "Bash"], ["answer", "The whole answer"], ["end", "completed"]]);
});

test("the tokens of all model calls are added up, and an unknown price is not 0", () => {
  const usage = (cost) => event("usage.reported", { model: "m", input_tokens: 10, output_tokens: 5, cost });
  const all = conversationOf(said("hi"), started(), usage("0.01"), usage(null));
  assert.deepEqual(all.running.usage, { input: 20, output: 10, cached: 0, cost: 0.01, isPriced: false, calls: 2 });
});

test("an event of an unknown type is shown as it is", () => {
  const all = conversationOf(event("comet.seen", { tail: 3 }, null));
  assert.equal(all.rows[0].kind, "raw");
  assert.equal(all.rows[0].event.data.tail, 3);
});

test("earlier events in front give the same rows as all events at once, wherever they are cut", () => {
  const events = [
    said("one"), started(), text("r", "reasoning"), text("a"), called("c1"), said("two", "t2"), event("turn.queued", { position: 1 }, "t2"),
    returned("c1"), text("b"), event("checkpoint.made", { checkpoint_id: "k", name: "", parent: "" }, null), completed("ab"),
    started("t2"), called("c2", "t2", "caller"), completed("", "t2"), said("three", "t3"), returned("c2", "x", "t3"), started("t3"), text("x", "answer", "t3"),
  ];
  const plain = (all) => all.rows.map(({ kind, text: said, content, name, seq, isDone, result }) => ({ kind, said, content, name, seq, isDone, result }));
  const whole = plain(conversationOf(...events));
  for (let cut = 1; cut < events.length; cut += 1) {
    const all = conversationOf(...events.slice(cut));
    all.prepend(events.slice(0, cut));
    assert.deepEqual(plain(all), whole, `cut before event ${cut + 1}`);
    assert.equal(all.running.id, "t3");
  }
  for (let first = 5; first < events.length - 5; first += 1) {
    const all = conversationOf(...events.slice(first + 5));
    all.prepend(events.slice(first, first + 5));
    all.prepend(events.slice(0, first));
    assert.deepEqual(plain(all), whole, `pages from ${first}`);
  }
});

test("however turns wait, start, are cancelled and are cut, earlier events in front give the same rows", () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const events = randomEvents(seed);
    const whole = seen(conversationOf(...events));
    for (let cut = 1; cut < events.length; cut += 1) {
      const all = conversationOf(...events.slice(cut));
      all.prepend(events.slice(Math.floor(cut / 2), cut));
      if (cut > 1) all.prepend(events.slice(0, Math.floor(cut / 2)));
      assert.deepEqual(seen(all), whole, `seed ${seed}, cut before event ${cut + 1}`);
    }
  }
});

// A session with up to three waiting messages; one turn runs at a time.
function randomEvents(seed) {
  restart();
  const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
  const events = [];
  const waiting = [];
  let [running, count, answer] = [null, 0, ""];
  while (events.length < 60) {
    const choice = random(10);
    if (choice < 2 && waiting.length < 3) {
      waiting.push(`t${(count += 1)}`);
      events.push(said(`m${count}`, waiting.at(-1)), event("turn.queued", { position: waiting.length }, waiting.at(-1)));
    } else if (choice === 2 && waiting.length) events.push(event("turn.cancelled", { by: "me" }, waiting.splice(random(waiting.length), 1)[0]));
    else if (choice === 3 && waiting.length) events.push(event("context.injected", { prompts: ["p"], metadata: {} }, waiting[0]));
    else if (choice === 4) events.push(event("checkpoint.made", { checkpoint_id: "k", name: `k${seed}`, parent: "" }, null));
    else if (!running && waiting.length) {
      [running, answer] = [waiting.splice(random(waiting.length), 1)[0], ""];
      events.push(started(running));
    } else if (running && choice < 7) {
      answer += "x";
      events.push(text("x", "answer", running));
    } else if (running && choice < 9) events.push(called(`c${events.length}`, running), returned(`c${events.length}`, "r", running));
    else if (running) {
      events.push(completed(answer, running), event("session.state", { state: "active" }, null));
      running = null;
    }
  }
  return events;
}

test("what is forgotten begins and ends with whole turns, and can be loaded again", () => {
  const events = [];
  for (let turn = 0; turn < 40; turn += 1) events.push(said(`m${turn}`, `t${turn}`), started(`t${turn}`), text("a", "answer", `t${turn}`), completed("a", `t${turn}`));
  const all = conversationOf(...events);
  const whole = seen(all);
  const gone = all.trim(30) - 1;
  assert.ok(all.rows.length <= 30 && all.rows.length > 20);
  assert.equal(all.rows[0].kind, "message");
  assert.equal(events[gone].type, "message.accepted");
  all.prepend(events.slice(0, gone));
  assert.deepEqual(seen(all), whole);
});

test("a running turn is not forgotten", () => {
  const all = conversationOf(said("hi"), started());
  for (let count = 0; count < 100; count += 1) [all.add(called(`c${count}`)), all.add(returned(`c${count}`))];
  assert.equal(all.trim(10), null);
});

test("an event costs the same at the end of a long conversation", () => {
  const all = new Conversation();
  const time = (count) => {
    const begun = process.hrtime.bigint();
    for (let turn = 0; turn < count; turn += 1) {
      const id = `${all.rows.length}`;
      for (const one of [said("m", id), started(id), text("a", "answer", id), called(`c${id}`, id), returned(`c${id}`, "x", id), completed("a", id)]) all.add(one);
    }
    return Number(process.hrtime.bigint() - begun) / count;
  };
  time(1000);
  const early = time(1000);
  time(15_000);
  const late = time(1000);
  assert.ok(late < early * 5 + 20_000, `${early} ns, later ${late} ns`);
});
