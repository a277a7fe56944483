// Following a session of the hub with `socket.io-client`: it comes back with its cursor whenever it is cut, and gives
// all events up to the session's end.
"use strict";

// node follow_socketio.js FOLDER URL TOKEN SESSION TRANSPORT[,TRANSPORT]
const [folder, url, token, session, transports] = process.argv.slice(2);
const { io } = require(require.resolve("socket.io-client", { paths: [folder] }));

const seen = [];
let cursor = null;
const socket = io(url, {
  auth: { token },
  transports: transports.split(","),
  reconnectionDelay: 20,
  reconnectionDelayMax: 100,
});

socket.on("connect", async () => {
  if (isOver) return;
  const answer = await socket.emitWithAck("subscribe", { session_id: session, cursor, events: ["event"] });
  if (answer.outcome !== "ok") throw new Error(JSON.stringify(answer));
});
socket.on(`event:${session}`, (event) => {
  seen.push(event);
  cursor = event.cursor;
  if (event.type === "session.state" && event.data.state === "stopped") {
    isOver = true;
    endIfUpgraded();
  }
});
let last = "";
let isOver = false;
// on a busy machine, the session may end before the transport has changed
const endIfUpgraded = () => {
  if (!isOver || last !== transports.split(",").pop()) return;
  socket.disconnect();
  process.stdout.write(JSON.stringify({ seen, transport: last }));
};
socket.on("connect", () => {
  last = socket.io.engine.transport.name;
  socket.io.engine.on("upgrade", (transport) => {
    last = transport.name;
    endIfUpgraded();
  });
  endIfUpgraded();
});
socket.on("connect_error", (error) => {
  if (error.data) throw error; // the hub refused; others are cuts
});
