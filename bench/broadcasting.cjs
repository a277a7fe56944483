// What the broadcast servers of the benchmarks have in common. They read from stdin how many events to send
// (`COUNT`: at once; `COUNT RATE`: RATE per second), and print their port.
"use strict";
const { createInterface } = require("node:readline");

function paced(broadcast, count, rate) {
  const began = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    const due = Math.min(count, Math.floor(((performance.now() - began) * rate) / 1000) + 1);
    for (; sent < due; sent++) broadcast();
    if (sent === count) clearInterval(timer);
  }, 0);
}

exports.stamped = (text) => `|${String(process.hrtime.bigint()).padStart(20, "0")}|${text}`;

exports.serve = (server, broadcast) => {
  createInterface({ input: process.stdin })
    .on("line", (line) => {
      const [count, rate] = line.split(" ").map(Number);
      if (rate) paced(broadcast, count, rate);
      else for (let left = count; left > 0; left--) broadcast();
    })
    .on("close", () => process.exit(0));
  server.listen(0, "127.0.0.1", () => console.log(`${server.address().port}`));
};
