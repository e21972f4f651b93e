import { describe, expect, it } from "vitest";
import { FakeClock } from "../../clock/fake-clock.ts";
import { Stay } from "./stay.ts";

const hourUs = 3_600_000_000;

describe("a stay", () => {
  it("is over when the credential ends, and not before", () => {
    const clock = new FakeClock();
    using stay = new Stay({ standings: [], endsAtUs: clock.wallUs() + hourUs }, clock);
    clock.advance(3_599_999);
    expect(stay.signal.aborted).toBe(false);
    expect(() => stay.assertLasts()).not.toThrow();
    clock.advance(1);
    expect(stay.signal.reason).toMatchObject({ code: "auth_required" });
    expect(() => stay.assertLasts()).toThrow(/has ended/);
  });

  it("follows a wall clock that is set", () => {
    const clock = new FakeClock();
    using stay = new Stay({ standings: [], endsAtUs: clock.wallUs() + hourUs }, clock);
    clock.step(-hourUs);
    clock.advance(3_600_000);
    expect(stay.signal.aborted).toBe(false);
    clock.step(hourUs);
    expect(stay.signal.aborted).toBe(true);
  });

  it("is over with what it hangs on", () => {
    const standing = { revoked: false };
    using stay = new Stay({ standings: [standing], endsAtUs: undefined }, new FakeClock());
    expect(() => stay.assertLasts()).not.toThrow();
    standing.revoked = true;
    expect(() => stay.assertLasts()).toThrow(/revoked/);
  });

  it("leaves nothing behind", () => {
    const clock = new FakeClock();
    const stay = new Stay({ standings: [], endsAtUs: clock.wallUs() + hourUs }, clock);
    stay[Symbol.dispose]();
    expect(clock.pending).toBe(0);
    clock.step(2 * hourUs);
    expect(stay.signal.aborted).toBe(false);
  });
});
