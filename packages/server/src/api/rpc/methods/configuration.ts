/** The settings in force. */
import { OcelliError } from "@ocelli/protocol";
import type { MethodImplementation, MethodTable } from "./method.ts";

const getConfiguration: MethodImplementation<"get_configuration"> = {
  run({ key }, _call, { configuration }) {
    const all = configuration();
    const wanted = all.filter(
      ({ setting }) => key === undefined || setting.key === key || setting.key.startsWith(`${key}.`),
    );
    if (wanted.length === 0) {
      throw new OcelliError("invalid_params", "There is no such setting or group of settings.", {
        details: { param: "key", rule: "a setting such as recording.codec, or a group such as recording" },
      });
    }
    const settings = wanted.map(({ setting, value, source, origin }) => ({
      key: setting.key,
      value: value ?? null,
      source,
      origin: origin ?? null,
      secret: setting.secret,
      unit: setting.unit ?? null,
      description: setting.description,
      env: setting.env,
      flag: setting.flag,
    }));
    return { settings, total: settings.length };
  },
};

export const configurationImplementations = {
  get_configuration: getConfiguration,
} satisfies Partial<MethodTable>;
