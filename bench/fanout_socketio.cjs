// A broadcast server with Node's `socket.io`, for comparison with bench/fanout_hub.py. It reads from stdin how many
// events to send (`COUNT`: at once; `COUNT RATE`: RATE per second). It stores nothing.
"use strict";
const { createServer } = require("node:http");
const { serve, stamped } = require("./broadcasting.cjs");
const { Server } = require(require.resolve("socket.io", { paths: [process.argv[2]] }));

const text = "x".repeat(Number(process.argv[3]));
const server = createServer();
const never = 3_600_000; // the followers do not answer pings
const io = new Server(server, { perMessageDeflate: false, pingInterval: never, pingTimeout: never });

function broadcast() {
  io.emit("event", { type: "output.delta", data: { text: stamped(text) } });
}

serve(server, broadcast);
