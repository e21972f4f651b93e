/** Cameras by the names people gave them ("Door"), wherever an id is asked for. */
import { OcelliError } from "@ocelli/protocol";

/** Of the argument of all commands that take a camera. */
export const cameraHelp = "camera0, /dev/video0, or its name";

interface Named {
  readonly device: string;
  readonly name: string;
}

/** What the hub understands by itself: ids, device nodes and their links. */
const understood = /^(camera\d+|video\d+|\/.*)$/;

/**
 * The id of the camera meant. A name counts when just one camera has it, in capitals or not; one that no camera has is
 * left as it is, for the hub to say so.
 * @throws OcelliError `invalid_params` naming the cameras of that name
 */
export async function cameraNamed(
  name: string,
  list: () => Promise<{ readonly cameras: readonly Named[] }>,
): Promise<string> {
  if (understood.test(name)) return name;
  const wanted = folded(name);
  const { cameras } = await list();
  const found = cameras.filter((camera) => folded(camera.name) === wanted);
  const [first, ...others] = found;
  if (first === undefined) return name;
  if (others.length === 0) return first.device;
  const ids = found.map(({ device }) => device).join(", ");
  throw new OcelliError(
    "invalid_params",
    `${found.length} cameras are called "${first.name}": ${ids}. Name the one you mean by its id.`,
    { details: { cameras: found.map(({ device }) => device) } },
  );
}

function folded(name: string): string {
  return name.normalize("NFKC").trim().toLowerCase();
}
