// A broadcast server with Node's `ws`, for comparison with bench/fanout_hub.py. It reads from stdin how many
// events to send (`COUNT`: at once; `COUNT RATE`: RATE per second). It stores nothing. Each event is encoded once
// and sent to each client with `send`.
"use strict";
const { createServer } = require("node:http");
const { serve, stamped } = require("./broadcasting.cjs");
const { WebSocketServer } = require(require.resolve("ws", { paths: [process.argv[2]] }));

const text = "x".repeat(Number(process.argv[3]));
const server = createServer();
const sockets = new WebSocketServer({ server, perMessageDeflate: false });

function broadcast() {
  const event = Buffer.from(JSON.stringify({ type: "output.delta", data: { text: stamped(text) } }));
  for (const client of sockets.clients) client.send(event, { binary: false });
}

serve(server, broadcast);
