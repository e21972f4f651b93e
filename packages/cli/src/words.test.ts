import { expect, it } from "vitest";
import { pictureText } from "./words.ts";

it("tells of a picture what is known", () => {
  expect(pictureText("640x480", 29.97)).toBe("640x480 at 29.97 fps");
  expect(pictureText("640x480", null)).toBe("640x480");
  expect(pictureText("640x480", 0)).toBe("640x480");
  expect(pictureText(null, 30)).toBe("");
});
