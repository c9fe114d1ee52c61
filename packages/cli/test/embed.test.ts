import { writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { openEmbedder } from "../src/index.js";
import { thermocline } from "./support/command.js";
import { temporaryFolder } from "./support/paths.js";
import { tinyEmbeddingModel } from "./support/tiny-embedding-model.js";

const inFolder = temporaryFolder();
const path = inFolder("bert.gguf");
writeFileSync(path, tinyEmbeddingModel());

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

  it("reads texts from a file or stdin, one a line", async () => {
    const file = inFolder("texts.txt");
    writeFileSync(file, texts.join("\r\n"));
    const [fromFile, fromInput, fromArguments] = await Promise.all([
      thermocline(["embed", path, "--backend", "reference", "--file", file]),
      thermocline(["embed", path, "--backend", "reference"], `${texts.join("\n")}\n`),
      thermocline(["embed", path, "--backend", "reference", ...texts]),
    ]);
    expect(fromFile).toMatchObject({ exitCode: 0, stdout: fromArguments.stdout });
    expect(fromInput).toMatchObject({ exitCode: 0, stdout: fromArguments.stdout });
  });

  it("refuses a text that is longer than the context, and to generate text with such a model", async () => {
    const long = await thermocline(["embed", path, "--backend", "reference", "a ".repeat(40), "--json"]);
    expect(long).toMatchObject({ exitCode: 1, stdout: "" });
    expect(JSON.parse(long.stderr).error.code).toBe("invalid-request");
    const others = [["chat"], ["run", "--prompt", "hi"], ["eval", "--text", "/none"], ["bench"]];
    for (const [command, ...rest] of others) {
      const refused = await thermocline([command!, path, ...rest, "--backend", "reference"]);
      expect(refused).toMatchObject({ exitCode: 1, stdout: "" });
      expect(refused.stderr).toMatch(/makes vectors of texts and generates nothing; use the command embed/);
    }
  });
});
