/** Runs the built examples in plain Node, from the root of the repository, on the embedded model. */
import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const repositoryRoot = resolve(import.meta.dirname, "../..");

async function run(example: string): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [`examples/dist/${example}.js`], { cwd: repositoryRoot });
  return stdout;
}

describe("examples", () => {
  it("01-generate continues the prompt with a story", async () => {
    const output = await run("01-generate");
    expect(output).toMatch(/^Once upon a time, there was a little girl named Lily\. /);
    expect(output.split(" ").length).toBeGreaterThan(40);
  });

  it("02-batch answers every prompt, in the steps of the longest one, and no differently than alone", async () => {
    const lines = (await run("02-batch")).trimEnd().split("\n");
    const answers = lines.filter((line) => line.startsWith("- "));
    expect(answers.map((line) => line.split(" ").slice(1, 3).join(" "))).toEqual(["Once upon", "The little", "Tom had"]);
    for (const answer of answers) expect(answer.length).toBeGreaterThan(60);
    expect(lines.at(-2)).toBe("3 answers in 24 steps; the first alone in 24");
    expect(lines.at(-1)).toBe("alone it is the same text");
  });

  it("03-two-devices puts neurons on both devices and tells the story of one", async () => {
    const output = await run("03-two-devices");
    const textOf = (name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(output)![1];
    expect(textOf("dense")).toMatch(/^, there was a little girl named Lily\. /);
    expect(textOf("split")).toBe(textOf("dense"));
    expect(output).toMatch(/^(cpu|reference):0 +\d+\.\d MiB/m);
    expect(output).toMatch(/^(cpu|reference):1 +\d+\.\d MiB/m);
    expect(output).toMatch(/both devices at work for \d+ % /);
  });

  it("04-own-backend passes every case of the ops it declares and refuses the others", async () => {
    const output = await run("04-own-backend");
    expect(output).not.toContain("FAILED");
    for (const op of ["add", "rmsNorm", "activate", "copy"]) expect(output).toMatch(new RegExp(`^${op}: [1-9]\\d* cases passed$`, "m"));
    expect(output).toMatch(/refused, as its traits say: .*matmul.*attention/);
  });
});
