/** The groups that are kept: who is in them. What they record is `sync-groups.ts`'s. */
import { randomUUID } from "node:crypto";
import { OcelliError } from "@ocelli/protocol";
import type { Cameras } from "../cameras/contract.ts";
import type { Clock } from "../clock/clock.ts";
import type { SyncGroup, SyncMember } from "./contract.ts";
import { keyOf } from "./session-state.ts";
import type { SyncStore } from "./store.ts";

export interface NewGroup {
  readonly name: string;
  readonly members: readonly SyncMember[];
  readonly toleranceMs?: number | undefined;
}

export interface GroupListOptions {
  readonly store: Pick<SyncStore, "groups" | "putGroup">;
  readonly cameras: Pick<Cameras, "find">;
  readonly clock: Pick<Clock, "wallUs">;
  /** Where devices may be. */
  readonly deviceNetworks: { has(address: string): boolean };
}

const maxMembers = 64;

export class GroupList {
  readonly #options: GroupListOptions;

  constructor(options: GroupListOptions) {
    this.#options = options;
  }

  all(): readonly SyncGroup[] {
    return this.#options.store.groups();
  }

  /** By id or name. @throws OcelliError `not_found` */
  find(key: string): SyncGroup {
    const groups = this.all();
    const found = groups.find(({ id }) => id === key) ?? groups.find(({ name }) => name === key);
    if (found !== undefined) return found;
    const known = groups.map(({ name }) => name).join(", ") || "none";
    throw new OcelliError("not_found", `There is no sync group ${key}. Known: ${known}.`, {
      details: { group: key },
    });
  }

  /**
   * A group of this name is replaced.
   * @throws OcelliError `invalid_params`, `camera_not_found`, `permission_denied` for a device in no allowed network
   */
  create({ name, members, toleranceMs }: NewGroup): SyncGroup {
    const { store, clock, cameras } = this.#options;
    for (const member of members) this.assertMayReach(member);
    const known = this.all().find((one) => one.name === name);
    const resolved = members.map(
      (member): SyncMember =>
        member.kind === "camera" ? { ...member, cameraId: cameras.find(member.cameraId).id } : member,
    );
    refuseUnlessDistinct(resolved);
    const group: SyncGroup = {
      id: known?.id ?? randomUUID(),
      name,
      members: resolved,
      createdAtUs: known?.createdAtUs ?? clock.wallUs(),
      ...(toleranceMs === undefined ? {} : { toleranceMs }),
    };
    store.putGroup(group);
    return group;
  }

  /** The settings may have changed since the group was made. @throws OcelliError `permission_denied` */
  assertMayReach(member: SyncMember): void {
    if (member.kind === "camera" || this.#options.deviceNetworks.has(member.host)) return;
    const { host } = member;
    throw new OcelliError(
      "permission_denied",
      `The hub may not speak with ${host}: it is in none of multicam.networks. Add its network there.`,
      { details: { host } },
    );
  }
}

function refuseUnlessDistinct(members: readonly SyncMember[]): void {
  if (members.length === 0 || members.length > maxMembers) {
    throw new OcelliError(
      "invalid_params",
      `A sync group has 1 to ${maxMembers} members, not ${members.length}.`,
    );
  }
  const keys = members.map(keyOf);
  const twice = keys.find((key, i) => keys.indexOf(key) !== i);
  if (twice !== undefined) throw new OcelliError("invalid_params", `${twice} is in the group twice.`);
}
