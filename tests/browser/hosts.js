// The hosts that a site is read on. Each has it at /atlas/, and says how it answers an address without a file: with the site's page
// for that (`page`), with its own words (`words`), or, if a packed neuron would be there, with the page that shows it (`neuron`).
import { spawn } from "node:child_process";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { serve } from "./server.js";

const BASE = "/atlas/";

/** Runs a program that serves `folder`, until it says at which address; the folder goes with it. */
async function run(folder, program, ...words) {
  const child = spawn(program, words, { stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  const lines = [];
  const said = new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", () => reject(new Error(`${program} has ended: ${lines.join("\n")}`)));
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        lines.push(line);
        const [origin] = /http:\/\/127\.0\.0\.1:\d+/.exec(line) ?? [];
        if (origin) resolve(origin);
      });
    }
  });
  const close = async () => {
    child.kill();
    await ended;
    await rm(folder, { recursive: true });
  };
  return { origin: await said, close };
}

/** A folder that has the site at /atlas/. */
async function under(site) {
  const folder = await mkdtemp(join(tmpdir(), "hosts-"));
  await cp(site, join(folder, BASE), { recursive: true });
  await cp(join(site, "404.html"), join(folder, "404.html"));
  return folder;
}

const HOSTS = {
  "python's http.server": ["words", async (site) => {
    const folder = await under(site);
    return run(folder, "python3", "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", folder);
  }],
  "neuroscope serve": ["neuron", async (site) => {
    const folder = await under(site);
    return run(folder, process.env.NEUROSCOPE, "--project", folder, "serve", "--no-build", "--out", folder, "--port", "0");
  }],
  "as GitHub Pages": ["page", (site) => serve(site, BASE, { published: true })],
  "with .gz as Content-Encoding": ["page", (site) => serve(site, BASE, { published: true, unpacks: true })],
};
export const NAMES = Object.keys(HOSTS);

/** Serves a site. */
export async function open(name, site) {
  const [missing, start] = HOSTS[name];
  const { origin, close } = await start(site);
  return { root: origin + BASE, missing, close };
}
