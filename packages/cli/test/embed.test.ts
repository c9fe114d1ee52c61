import { writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { openEmbedder } from "../src/index.js";
import { thermocline } from "./support/command.js";
import { temporaryFolder } from "./support/paths.js";
import { tinyBert } from "./support/tiny-bert.js";

const inFolder = temporaryFolder();
const path = inFolder("bert.gguf");
writeFileSync(path, tinyBert());

describe("embed", () => {
  const texts = ["lake", "sea", "a lake"];

  it("writes a vector a line, those that openEmbedder makes", async () => {
    await using embedder = await openEmbedder(path, { backend: "reference" });
    const expected = (await embedder.embed(texts)).map((vector) => [...vector]);
    const { exitCode, stdout } = await thermocline(["embed", path, "--backend", "reference", ...texts]);
    expect(exitCode).toBe(0);
    const vectors = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as number[]);
    expect(vectors.map((vector) => vector.map(Math.fround))).toEqual(expected);
    expect(vectors[0]).toHaveLength(embedder.dimension);
    expect(vectors[0]).not.toEqual(vectors[1]);
    // A unit vector, but for f32.
    for (const vector of vectors) expect(vector.reduce((sum, value) => sum + value * value, 0)).toBeCloseTo(1, 5);
  });

  it("reads texts from a file, one a line", async () => {
    const file = inFolder("texts.txt");
    writeFileSync(file, texts.join("\r\n"));
    const [fromFile, fromArguments] = await Promise.all([
      thermocline(["embed", path, "--backend", "reference", "--file", file]),
      thermocline(["embed", path, "--backend", "reference", ...texts]),
    ]);
    expect(fromFile).toMatchObject({ exitCode: 0, stdout: fromArguments.stdout });
  });

  it("refuses a text that is longer than the context, and a chat with such a model", async () => {
    const long = await thermocline(["embed", path, "--backend", "reference", "a".repeat(40), "--json"]);
    expect(long).toMatchObject({ exitCode: 1, stdout: "" });
    expect(JSON.parse(long.stderr).error.code).toBe("invalid-request");
    const chat = await thermocline(["chat", path, "--template", "plain", "--backend", "reference"], "hi\n");
    expect(chat).toMatchObject({
      exitCode: 1,
      stdout: "",
      stderr: expect.stringContaining("makes vectors of texts and generates nothing"),
    });
  });
});
