import { settings } from "./settings.ts";

const show = (value: unknown): string => {
  if (value === undefined) return "none";
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.join(",");
  return String(value);
};

/** The text of `--help`: every setting with its flag, environment name, default, unit and what it does. */
export function settingsHelp(): string {
  const lines = settings.map((setting) => {
    const unit = setting.unit === undefined ? "" : ` ${setting.unit}`;
    return [
      `  ${setting.flag}  (${setting.key}, ${setting.env})`,
      `      ${setting.description}.`,
      `      Default ${show(setting.fallback)}${setting.fallback === undefined ? "" : unit}; ${setting.allowed}.`,
    ].join("\n");
  });
  return [
    "Settings, as flags, in the YAML file, or in the environment (flags win over the environment, which wins over the file):",
    "",
    "  --config FILE  (OCELLI_CONFIG)",
    "      The YAML file; ocelli.yaml in the current folder is read if it exists.",
    ...lines,
  ].join("\n");
}
