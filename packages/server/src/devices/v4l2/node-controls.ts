/** The controls of a V4L2 camera: what may be set, checked before the driver is asked. */
import { constants } from "node:os";
import { OcelliError } from "@ocelli/protocol";
import type { DeviceControl, DeviceControls } from "../controls.ts";
import type { ControlsAnswer, NodeControl } from "./ask-controls.ts";
import { nodeProblem } from "./node-problem.ts";

export interface NodeControlsOptions {
  readonly node: string;
  readonly ask: (
    node: string,
    change?: { readonly id: number; readonly value: number },
  ) => Promise<ControlsAnswer>;
}

export class NodeControls implements DeviceControls {
  readonly #options: NodeControlsOptions;

  constructor(options: NodeControlsOptions) {
    this.#options = options;
  }

  async list(): Promise<readonly DeviceControl[]> {
    return (await this.#ask()).map(publicPart);
  }

  async set(name: string, value: number | boolean | string | undefined): Promise<DeviceControl> {
    const { node } = this.#options;
    const controls = await this.#ask();
    const control = controls.find((one) => one.name === name || one.title === name);
    if (control === undefined) {
      throw new OcelliError(
        "invalid_params",
        `${node} has no control "${name.slice(0, 100)}". It has ${controls.map((one) => one.name).join(", ") || "none"}.`,
        { details: { param: "control", controls: controls.map((one) => one.name) } },
      );
    }
    if (control.readOnly) {
      throw new OcelliError("unsupported", `${control.name} of ${node} can only be read.`, {
        details: { control: control.name },
      });
    }
    const now = await this.#ask({ id: control.id, value: numberFor(control, value) }, control);
    return publicPart(now.find(({ id }) => id === control.id) ?? control);
  }

  async #ask(
    change?: { readonly id: number; readonly value: number },
    control?: NodeControl,
  ): Promise<readonly NodeControl[]> {
    const { node, ask } = this.#options;
    const answer = await ask(node, change);
    if (answer.kind === "controls") return answer.controls;
    const { errno, operation } = answer;
    const { ENODEV, ENXIO, ENOENT, ERANGE, EINVAL } = constants.errno;
    if (errno === ENODEV || errno === ENXIO || errno === ENOENT) {
      throw new OcelliError("camera_disconnected", `${node} is not there any more.`, { details: { node } });
    }
    if (control !== undefined && (errno === ERANGE || errno === EINVAL)) {
      throw new OcelliError(
        "invalid_params",
        `The driver of ${node} does not take this value of ${control.name}.`,
        {
          details: { param: "value", control: control.name },
        },
      );
    }
    const { code, message } = nodeProblem(node, errno, operation, undefined);
    const hint = control?.inactive === true ? ` ${control.name} has no effect now; is its automatic on?` : "";
    throw new OcelliError(code === "camera_busy" ? code : "capture_failed", message + hint, {
      details: { node, operation },
    });
  }
}

/** @throws OcelliError `invalid_params` */
function numberFor(control: NodeControl, value: number | boolean | string | undefined): number {
  const { name, type, min, max, step, menu } = control;
  const wrong = (allowed: string): OcelliError =>
    new OcelliError("invalid_params", `${name} must be ${allowed}.`, {
      details: {
        param: "value",
        control: name,
        ...(type === "menu" ? { menu: [...menu] } : { min, max, step }),
      },
    });
  switch (type) {
    case "button":
      return 0;
    case "bool":
      if (typeof value === "boolean") return value ? 1 : 0;
      if (value === 0 || value === 1) return value;
      throw wrong("true or false");
    case "menu": {
      const entry = menu.find((one) => one.value === value) ?? menu.find((one) => one.name === String(value));
      if (entry !== undefined) return entry.value;
      throw wrong(`one of ${menu.map((one) => `${one.value} (${one.name})`).join(", ")}`);
    }
    case "int": {
      const fits =
        typeof value === "number" &&
        Number.isInteger(value) &&
        value >= min &&
        value <= max &&
        (step <= 1 || (value - min) % step === 0);
      if (fits) return value;
      throw wrong(`a whole number from ${min} to ${max}${step > 1 ? ` in steps of ${step}` : ""}`);
    }
  }
}

function publicPart({ id: _id, ...control }: NodeControl): DeviceControl {
  return control;
}
