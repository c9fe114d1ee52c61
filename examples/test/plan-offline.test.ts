/** Plans without any native package: one file in a folder of its own, then the page in a real browser. */
import { execFile } from "node:child_process";
import { accessSync, constants, copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { serveFiles } from "./file-server.js";

const repositoryRoot = resolve(import.meta.dirname, "../..");
const model = join(repositoryRoot, "models/stories15M-q8_0.gguf");
const page = join(repositoryRoot, "docs/plan-offline/index.html");

/** A folder with nothing but the example, so that no package of ours, native or not, is within its reach. */
const folder = mkdtempSync(join(tmpdir(), "plan-offline-"));
const script = join(folder, "plan-offline.mjs");

beforeAll(() => copyFileSync(join(repositoryRoot, "examples/dist/05-plan-offline.js"), script));
afterAll(() => rmSync(folder, { recursive: true }));

async function runAlone(...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [script, model, ...args], { cwd: folder });
  return stdout;
}

describe("05-plan-offline", () => {
  it("plans where no package is installed", async () => {
    const map = join(folder, "map.svg");
    const output = await runAlone("8", "32", "128", map);
    expect(output).toMatch(/^settings: context 128/m);
    expect(output).toMatch(/^weights +\d+\.\d MiB$/m);
    expect(output).toMatch(/^longest context that fits: 256 tokens$/m);
    expect(output).toMatch(/^with 16 GiB of VRAM: \d+\.\d tokens a second$/m);
    expect(readFileSync(map, "utf8")).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/);
  });

  it("says what is wrong with a wish, and what to do", async () => {
    await expect(runAlone("8", "32", "512")).rejects.toMatchObject({
      stderr: expect.stringMatching(/trained for 256 tokens; give at most 256/),
    });
  });
});

/** The browser that CHROMIUM_PATH names, or one on the path. */
function findChromium(): string | undefined {
  const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
  const onPath = (process.env.PATH ?? "").split(delimiter).flatMap((directory) => names.map((name) => join(directory, name)));
  return [process.env.CHROMIUM_PATH, ...onPath].find((path) => {
    if (!path || !existsSync(path)) return false;
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

const executablePath = findChromium();
if (executablePath === undefined)
  console.warn("The page of 05-plan-offline is not tested: no Chromium (CHROMIUM_PATH, or chromium on the path).");

describe.runIf(executablePath !== undefined)("the page of 05-plan-offline, opened as a file", () => {
  let browser: Browser;
  let tab: Page;
  const complaints: string[] = [];

  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: executablePath!, args: ["--no-sandbox"] });
    tab = await browser.newPage({ viewport: { width: 1100, height: 1400 } });
    tab.setDefaultTimeout(20_000);
    tab.on("pageerror", (error) => complaints.push(String(error)));
    tab.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    tab.on("request", (request) => request.url().startsWith("http") && complaints.push(`asked for ${request.url()}`));
    await tab.goto(pathToFileURL(page).href);
  });
  afterAll(() => browser?.close());

  it("shows the map and the figures that Node prints, of the same model and machine", async () => {
    await tab.fill("#vram", "6");
    await tab.fill("#ram", "16");
    await tab.setInputFiles("#file", model);
    await tab.waitForSelector("#map svg.tc-map");
    const figures = await tab.textContent("#figures");
    const printed = await runAlone("6", "16");
    expect(figures).toMatch(/^stories15M/);
    expect(printed.startsWith(`${figures}\n`)).toBe(true);
    expect(await tab.locator("#map svg title").allTextContents()).toContainEqual(expect.stringMatching(/^layer 5 attention on cuda:0: /));
    await tab.waitForFunction(() => /^\d/.test(document.getElementById("longest")!.textContent!));
    expect(await tab.textContent("#longest")).toBe("256 tokens");
    await tab.waitForSelector("#curve tr.chosen");
    expect(await tab.textContent("#curve tr.chosen")).toMatch(/^6 GiB.*tokens\/s$/);
  });

  it("plans anew when a wish changes", async () => {
    await tab.fill("#context", "64");
    await tab.locator("#context").blur();
    await tab.waitForFunction(() => document.getElementById("figures")!.textContent!.includes("context 64,"));
    await tab.selectOption("#kv", "f32");
    await tab.waitForFunction(() => document.getElementById("figures")!.textContent!.includes("keys and values f32"));
  });

  it("shows what is wrong with a wish, with what to do, and the plan again once it is right", async () => {
    await tab.fill("#context", "512");
    await tab.locator("#context").blur();
    await tab.locator("#problem:visible").waitFor();
    expect(await tab.textContent("#problem")).toMatch(/trained for 256/);
    expect(await tab.textContent("#cure")).toMatch(/at most 256/);
    await tab.fill("#context", "256");
    await tab.locator("#context").blur();
    await tab.locator("#map svg.tc-map:visible").waitFor();
  });

  it("offers the change that makes it fit, and makes it", async () => {
    await tab.fill("#vram", "0");
    await tab.fill("#ram", "1.01");
    await tab.locator("#ram").blur();
    await tab.locator("#apply:visible").waitFor();
    expect(await tab.textContent("#apply")).toMatch(/^Set GiB of RAM to 1\.0[2-9]$/);
    await tab.click("#apply");
    await tab.locator("#map svg.tc-map:visible").waitFor();
    expect(Number(await tab.inputValue("#ram"))).toBeGreaterThan(1.01);
  });

  it("refuses a file that is no model, in words", async () => {
    await tab.setInputFiles("#file", join(repositoryRoot, "models/README.md"));
    await tab.locator("#problem:visible").waitFor();
    expect((await tab.textContent("#problem"))!.length).toBeGreaterThan(20);
    expect(await tab.textContent("#cure")).not.toBe("");
  });

  it("asked the network for nothing and complained of nothing", () => {
    expect(complaints).toEqual([]);
  });

  it("works from a server of static files, and reads of a model by its address no more than the header and what comes along", async () => {
    const folderOfPage = join(repositoryRoot, "docs/plan-offline");
    await using server = await serveFiles({
      "/plan/index.html": page,
      "/plan/planner.js": join(folderOfPage, "planner.js"),
      "/models/story.gguf": model,
    });
    const served = await browser.newPage();
    await served.goto(`${server.origin}/plan/index.html`);
    await served.fill("#address", `${server.origin}/models/story.gguf`);
    await served.locator("#address").blur();
    await served.locator("#map svg.tc-map:visible").waitFor();
    expect(await served.textContent("#figures")).toMatch(/^stories15M/);
    expect(server.sentBytes.get("/models/story.gguf")!).toBeLessThan(statSync(model).size / 4);
    await served.close();
  });
});
