/** A bare `ws` server: whatever comes is answered with the bytes of `ANSWER`. Nothing is read, checked or remembered. */
import type { AddressInfo } from "node:net";
import { WebSocketServer } from "ws";

const answer = process.env.ANSWER ?? "";
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false, backlog: 511 });
server.on("connection", (socket) => {
  socket.on("error", () => {});
  socket.on("message", () => socket.send(answer));
});
server.on("listening", () => console.log(`port ${(server.address() as AddressInfo).port}`));
process.stdin.on("end", () => process.exit(0)).resume();
