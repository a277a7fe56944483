// A broadcast server with Node's `socket.io`, for comparison with bench/fanout_hub.py. It reads from stdin how many
// events to send (`COUNT`: at once; `COUNT RATE`: RATE per second). It stores nothing.
"use strict";
const { createServer } = require("node:http");
const { createInterface } = require("node:readline");
const { Server } = require(require.resolve("socket.io", { paths: [process.argv[2]] }));

const text = "x".repeat(Number(process.argv[3]));
const server = createServer();
const never = 3_600_000; // the followers do not answer pings
const io = new Server(server, { perMessageDeflate: false, pingInterval: never, pingTimeout: never });

function broadcast() {
  const stamp = String(process.hrtime.bigint()).padStart(20, "0");
  io.emit("event", { type: "output.delta", data: { text: `|${stamp}|${text}` } });
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
