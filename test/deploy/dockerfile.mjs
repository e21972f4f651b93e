// Follows the project's Dockerfile in plain folders: what `docker build` would do, as far as that file goes. An
// instruction it does not know is an error, so that the Dockerfile cannot quietly do something untested.
import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { copyRoot, networkEnv, repository, run, runInside } from "./root.mjs";

/**
 * @param base folder of the image that every FROM names
 * @param work folder that gets one folder for each stage
 * @returns the folders of the stages, and how the image of the last one is to be run
 */
export function buildImage(base, work) {
  const text = readFileSync(join(repository, "deploy/Dockerfile"), "utf8");
  const image = { env: {}, user: undefined, workdir: "/", entrypoint: [], health: [] };
  const stages = [];
  const named = new Map();
  for (const line of text.split("\n").filter((one) => one !== "" && !one.startsWith("#"))) {
    const [, word, rest] = /^([A-Z]+) (.*)$/.exec(line) ?? [];
    const stage = stages.at(-1);
    switch (word) {
      case "FROM": {
        const [, from, name] = /^(\S+)(?: AS (\S+))?$/.exec(rest) ?? [];
        if (from !== "debian:trixie-slim") throw new Error(`the tests have no image ${from}`);
        const root = join(work, `stage${stages.length}`);
        copyRoot(base, root);
        stages.push(root);
        if (name !== undefined) named.set(name, root);
        break;
      }
      case "COPY": {
        const [, from, source, target] = /^(?:--from=(\S+) )?(\S+) (\S+)$/.exec(rest) ?? [];
        copy(
          from === undefined ? repository : named.get(from),
          source,
          join(stage, target),
          from === undefined,
        );
        break;
      }
      case "RUN":
        runInside(stage, ["sh", "-c", rest], { env: { ...image.env, ...networkEnv(stage) } });
        break;
      case "ENV": {
        const [, name, value] = /^(\w+)=(\S+)$/.exec(rest);
        image.env[name] = value;
        break;
      }
      case "USER":
        image.user = rest;
        break;
      case "WORKDIR":
        image.workdir = rest;
        break;
      case "ENTRYPOINT":
        image.entrypoint = JSON.parse(rest);
        break;
      case "HEALTHCHECK":
        image.health = JSON.parse(rest.slice(rest.indexOf("[")));
        break;
      case "VOLUME":
      case "EXPOSE":
      case "STOPSIGNAL":
        break;
      default:
        throw new Error(`the tests do not know this line of the Dockerfile: ${line}`);
    }
  }
  return { ...image, stages };
}

/** Of the build context comes what Dockerfile.dockerignore leaves. */
function copy(from, source, target, isContext) {
  const file = join(from, source);
  if (source !== ".") {
    mkdirSync(dirname(target), { recursive: true });
    run("cp", ["-a", file, target]);
    return;
  }
  if (!isContext) throw new Error("COPY --from of everything is not tested");
  const ignored = readFileSync(join(repository, "deploy/Dockerfile.dockerignore"), "utf8").trim().split("\n");
  const excludes = ignored.map((one) => `--exclude=${one.startsWith("**/") ? one.slice(3) : `./${one}`}`);
  mkdirSync(target, { recursive: true });
  const pack = ["-C", from, ...excludes, "-cf", "-", "."];
  const command = 'tar "$@" | tar -C "$0" -xf -';
  run("sh", ["-c", command, target, ...pack]);
}
