import type { Words } from "./contract.ts";

/** Who is who: credentials, keys, users, tokens. */
export const accountWords: Words = {
  authenticate: {
    summary: "Tells the hub who you are, for as long as the connection lasts.",
    params: {
      auth_token: "the API key; the four below are other spellings of it",
      token: "the same, of older clients; also asks for failures inside `result` (see Dialects)",
      api_key: "the same",
      key: "the same",
      jwt: "the same",
      auth_type: "`api_key` or `jwt`: try only that kind",
    },
    example: { auth_token: "camera_service_sk_0123456789" },
    errors: ["auth_failed"],
  },
  login: {
    summary: "Extension: a token for a user name and a password. Pass it to `authenticate`.",
    params: { username: "the name", password: "the password" },
    example: { username: "alice", password: "correct horse battery" },
    errors: ["auth_failed", "rate_limited"],
  },
  create_token: {
    summary: "Extension: a token for a program or a user, which ends with the key or user that made it.",
    params: {
      role: "what it may do; the user's role otherwise, or `viewer`",
      ttl: "seconds it is good for",
      cameras: "only these cameras, by any of their names; all otherwise",
      username: "for this user: it gives no more than the user has",
    },
    example: { ttl: 3600, role: "viewer" },
    errors: ["camera_not_found"],
  },
  refresh_token: {
    summary:
      "Extension: for a connection that came with a token of this hub, a new one that is good for as long; up to 30 days after the login.",
    errors: ["unsupported"],
  },
  create_api_key: {
    summary: "Extension: a new API key. `api_key` of the answer is the only place where it can be read.",
    params: {
      name: "for people",
      role: "what it may do",
      expires_in_days: "it ends by itself after so many days",
      expires_at: "or at this time",
      cameras: "only these cameras, by any of their names; all otherwise",
      username: "it belongs to this user, gives no more than the user has, and ends with the user",
    },
    example: { name: "wall display", role: "viewer", expires_in_days: 90 },
    errors: ["camera_not_found"],
  },
  list_api_keys: { summary: "Extension: all API keys, without secrets, oldest first." },
  revoke_api_key: {
    summary: "Extension: ends a key at once, also for connections that are open.",
    params: { key_id: "as in the list" },
    example: { key_id: "key_1" },
    errors: ["not_found"],
  },
  rotate_api_key: {
    summary: "Extension: a new key with the rights of an old one, which ends at once.",
    params: { key_id: "as in the list" },
    example: { key_id: "key_1" },
    errors: ["not_found"],
  },
  create_user: {
    summary: "Extension: a new user, who then can `login`.",
    params: {
      username: "1 to 100 characters; large and small letters are one name",
      password: "10 to 256 characters",
      role: "what the user may do",
      cameras: "only these cameras, by any of their names; all otherwise",
    },
    example: { username: "alice", password: "correct horse battery", role: "operator" },
    errors: ["camera_not_found", "rate_limited"],
  },
  list_users: { summary: "Extension: all users, by name." },
  update_user: {
    summary:
      "Extension: changes what a user may do. Tokens and open connections of the user end when it does change.",
    params: {
      username: "the name, or the `user_id`",
      role: "what the user may do from now on",
      enabled: "false shuts the user out, keys included",
      cameras: "only these cameras; `all` takes the limit away",
    },
    example: { username: "alice", enabled: false },
    errors: ["not_found", "camera_not_found"],
  },
  set_user_password: {
    summary: "Extension: a new password. Tokens and open connections of the user end.",
    params: { username: "the name, or the `user_id`", password: "10 to 256 characters" },
    example: { username: "alice", password: "correct horse battery" },
    errors: ["not_found", "rate_limited"],
  },
  delete_user: {
    summary: "Extension: ends a user with all tokens and keys.",
    params: { username: "the name, or the `user_id`" },
    example: { username: "alice" },
    errors: ["not_found"],
  },
};
