/** Who may do what, in the three roles of the camera service. A higher role includes the lower ones. */

export const roles = ["viewer", "operator", "admin"] as const;
export type Role = (typeof roles)[number];

/** What a method asks of its caller; `public` methods need no credential. */
export type Access = Role | "public";

const rank: Readonly<Record<Access, number>> = { public: 0, viewer: 1, operator: 2, admin: 3 };

export function roleIncludes(have: Role, wanted: Access): boolean {
  return rank[have] >= rank[wanted];
}

/** The `permissions` list that `authenticate` answers. */
export function permissionsOf(role: Role): ("view" | "control" | "admin")[] {
  const all = ["view", "control", "admin"] as const;
  return all.slice(0, rank[role]);
}
