// Follow a session of the hub with a browser's WebSocket, whose API Node's `ws` also has: reconnect with the
// cursor after each cut, and return all events up to the end of the session.
"use strict";

function follow(WebSocket, url, options, session) {
  return new Promise((resolve, reject) => {
    const seen = [];
    let cursor = null;
    let over = false;

    function connect() {
      const socket = new WebSocket(url, ...options);
      socket.onopen = () => {
        const params = { session_id: session, cursor };
        socket.send(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "subscribe", params }));
      };
      socket.onmessage = ({ data }) => {
        const frame = JSON.parse(data);
        if (frame.id === 1 && frame.result?.outcome !== "ok") reject(new Error(data));
        if (frame.method !== "event") return;
        seen.push(frame.params);
        cursor = frame.params.cursor;
        if (frame.params.type === "session.state" && frame.params.data.state === "stopped") {
          over = true;
          socket.close();
          resolve(seen);
        }
      };
      socket.onerror = () => {}; // a close event follows
      socket.onclose = () => {
        if (!over) setTimeout(connect, 20);
      };
    }

    connect();
  });
}

// The same with the EventSource of a browser, which reconnects by itself.
function follow_source(EventSource, url) {
  return new Promise((resolve, reject) => {
    const seen = [];
    const source = new EventSource(url);
    source.onmessage = ({ data, lastEventId }) => {
      const event = JSON.parse(data);
      if (event.cursor !== lastEventId) reject(new Error(`${event.cursor} has the id ${lastEventId}`));
      seen.push(event);
      if (event.type === "session.state" && event.data.state === "stopped") {
        source.close();
        resolve(seen);
      }
    };
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) reject(new Error("the browser gave up"));
    };
  });
}

if (typeof module !== "undefined") {
  // node follow.js FOLDER_OF_WS URL TOKEN SESSION
  const [folder, url, token, session] = process.argv.slice(2);
  const { WebSocket } = require(require.resolve("ws", { paths: [folder] }));
  const options = [[], { headers: { Authorization: `Bearer ${token}` } }];
  follow(WebSocket, url, options, session).then((seen) => process.stdout.write(JSON.stringify(seen)));
}
