/** Worker thread that may be held up by a driver: says `ready`, then takes one question at a time, one answer each. */
import { constants } from "node:fs";
import { parentPort } from "node:worker_threads";
import koffi from "koffi";
import { askControls, type ControlCalls, type ControlsAnswer } from "./ask-controls.ts";
import { askNode, type NodeAnswer } from "./ask-node.ts";

export interface Question {
  readonly node: string;
  /** Asks for the controls, after a change of one if there is one; for the capabilities otherwise. */
  readonly controls?: { readonly change?: { readonly id: number; readonly value: number } };
}

export type Answer = NodeAnswer | ControlsAnswer;

const libc = koffi.load(null);
const openCall: (path: string, flags: number) => number = libc.func(
  "int open(const char *path, int flags, ...)",
);
const ioctlCall: (fd: number, request: number, argument: Buffer) => number = libc.func(
  "int ioctl(int fd, unsigned long request, void *argument)",
);
const closeCall: (fd: number) => number = libc.func("int close(int fd)");

/** O_CLOEXEC of the asm-generic headers (x86-64, arm64, riscv64); Node has no constant for it. */
const closeOnExec = 0o2000000;
const interrupted: number = koffi.os.errno.EINTR ?? 4;

const calls: ControlCalls = {
  open(path) {
    const fd = openCall(path, constants.O_RDWR | constants.O_NONBLOCK | closeOnExec);
    return fd >= 0 ? fd : -koffi.errno();
  },
  ioctl(fd, request, argument) {
    for (;;) {
      if (ioctlCall(fd, request, argument) >= 0) return 0;
      const errno = koffi.errno();
      if (errno !== interrupted) return -errno;
    }
  },
  close(fd) {
    closeCall(fd);
  },
  address: (buffer) => koffi.address(buffer),
};

parentPort?.postMessage("ready");
parentPort?.on("message", (question: Question) => {
  const answer: Answer =
    question.controls === undefined
      ? askNode(question.node, calls)
      : askControls(question.node, calls, question.controls.change);
  parentPort?.postMessage(answer);
});
