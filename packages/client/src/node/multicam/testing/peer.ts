import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { CommandMessage, type CommandType, MessageDecoder } from "@ocelli/protocol/multicam";

/** What a device does when it is sent a command; `count` times it has been, this one included. */
export type Answer = (socket: Socket, command: CommandMessage, count: number) => void;

/** A device that answers as it is told, and notes what it was asked. */
export class Peer {
  readonly seen: CommandMessage[] = [];
  readonly server: Server;
  readonly #sockets = new Set<Socket>();
  #most = 0;
  readonly answers: Partial<Record<CommandType, Answer>>;

  constructor(answers: Partial<Record<CommandType, Answer>>) {
    this.answers = answers;
    this.server = createServer((socket) => {
      this.#sockets.add(socket);
      this.#most = Math.max(this.#most, this.#sockets.size);
      socket.on("close", () => this.#sockets.delete(socket)).on("error", () => undefined);
      const decoder = new MessageDecoder();
      socket.on("data", (chunk) => {
        for (const { text } of decoder.push(chunk)) {
          const command = CommandMessage.fromJson(text);
          this.seen.push(command);
          this.answers[command.command]?.(socket, command, this.countOf(command.command));
        }
      });
    });
  }

  /** Now, and the most there were at once. */
  get connections(): { readonly now: number; readonly most: number } {
    return { now: this.#sockets.size, most: this.#most };
  }

  countOf(command: CommandType): number {
    return this.seen.filter((one) => one.command === command).length;
  }

  async open(): Promise<number> {
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    const address: AddressInfo | string | null = this.server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    return address.port;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
