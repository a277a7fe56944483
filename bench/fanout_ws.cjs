// A broadcast server on Node's `ws`: the peer of bench/fanout_hub.py, told on stdin how many events to send.
// It keeps nothing. Each event is encoded once, and is sent to each client with `send`.
"use strict";
const { createServer } = require("node:http");
const { createInterface } = require("node:readline");
const { WebSocketServer } = require(require.resolve("ws", { paths: [process.argv[2]] }));

const text = "x".repeat(300);
const server = createServer();
const sockets = new WebSocketServer({ server, perMessageDeflate: false });

function broadcast() {
  const stamp = String(process.hrtime.bigint()).padStart(20, "0");
  const event = Buffer.from(JSON.stringify({ type: "output.delta", data: { text: `@${stamp}@${text}` } }));
  for (const client of sockets.clients) client.send(event, { binary: false });
}

createInterface({ input: process.stdin })
  .on("line", (line) => {
    for (let count = Number(line); count > 0; count--) broadcast();
  })
  .on("close", () => process.exit(0));
server.listen(0, "127.0.0.1", () => console.log(`${server.address().port}`));
