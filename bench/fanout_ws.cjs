// A broadcast server with Node's `ws`, for comparison with bench/fanout_hub.py. It reads from stdin how many
// events to send (`COUNT`: at once; `COUNT RATE`: RATE per second). It stores nothing. Each event is encoded once
// and sent to each client with `send`.
"use strict";
const { createServer } = require("node:http");
const { createInterface } = require("node:readline");
const { WebSocketServer } = require(require.resolve("ws", { paths: [process.argv[2]] }));

const text = "x".repeat(Number(process.argv[3]));
const server = createServer();
const sockets = new WebSocketServer({ server, perMessageDeflate: false });

function broadcast() {
  const stamp = String(process.hrtime.bigint()).padStart(20, "0");
  const event = Buffer.from(JSON.stringify({ type: "output.delta", data: { text: `|${stamp}|${text}` } }));
  for (const client of sockets.clients) client.send(event, { binary: false });
}

function paced(count, rate) {
  const began = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    const due = Math.min(count, Math.floor(((performance.now() - began) * rate) / 1000) + 1);
    for (; sent < due; sent++) broadcast();
    if (sent === count) clearInterval(timer);
  }, 0);
}

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const [count, rate] = line.split(" ").map(Number);
    if (rate) paced(count, rate);
    else for (let left = count; left > 0; left--) broadcast();
  })
  .on("close", () => process.exit(0));
server.listen(0, "127.0.0.1", () => console.log(`${server.address().port}`));
