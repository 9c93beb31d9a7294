// A good client for Node, with its fetch. It sends the dump over HTTPS. PATIENCE is how often it tries what fails (default 10).
import { readFileSync, renameSync, writeFileSync } from "node:fs";

const env = process.env;
const told = (name) => env["UPGRADEMOCK_" + name.toUpperCase()];
const patience = Number(env.PATIENCE ?? 10);
const sleep = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

class Refused extends Error {}

class Trouble extends Error {
  constructor(message, wait) {
    super(message);
    this.wait = wait;
  }
}

async function reach(url, options) {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(10_000), ...options });
    return [answer, Buffer.from(await answer.arrayBuffer())];
  } catch (e) {
    throw new Trouble(e.name);
  }
}

async function call(method, params, body) {
  const query = new URLSearchParams(params);
  const [answer, data] = await reach(`${env.UPGRADE_URL}/database/v1/${method}?${query}`, { method: "POST", body });
  if (answer.status >= 500) throw new Trouble(`HTTP ${answer.status}`, Number(answer.headers.get("retry-after") ?? 1));
  let json;
  try {
    json = JSON.parse(data.toString());
  } catch {
    throw new Trouble("no JSON");
  }
  if (json.failures.length > 0) {
    const text = json.failures.map((f) => `${f.reason}: ${f.message}`).join("\n");
    throw json.failures.every((f) => f.reason === "SERVER:ERROR") ? new Trouble(text) : new Refused(text);
  }
  return json.request;
}

async function again(attempt) {
  for (let tries = 1, pause = 0.5; ; tries++, pause *= 2) {
    try {
      return await attempt();
    } catch (e) {
      if (!(e instanceof Trouble) || tries >= patience) throw e;
      console.log(`trouble (${e.message}), trying again`);
      await sleep(Math.max(pause, e.wait ?? 0));
    }
  }
}

async function main() {
  const params = Object.fromEntries(["contract", "email", "target", "aim", "filename"].map((name) => [name, told(name)]));
  const { id, key } = await call("create", { ...params, timezone: "Europe/Brussels" });
  const login = { request: id, key };
  const status = () => again(() => call("status", login));
  await again(() => call("upload", login, readFileSync(told("dump"))));
  await status();
  await again(async () => {
    try {
      await call("process", login);
    } catch (e) {
      if (!(e instanceof Trouble) || (await status()).state === "draft") throw e;
    }
  });
  let request;
  for (;;) {
    request = await status();
    console.log("state:", request.state);
    if (request.state === "done" || request.state === "delivered") break;
    if (request.state === "invalid") throw new Refused(request.customer_message);
    await sleep(1);
  }
  await again(async () => {
    const [answer, data] = await reach(request.upgraded_dump_url);
    if (answer.status !== 200) throw new Trouble(`HTTP ${answer.status}`);
    writeFileSync(told("out") + ".part", data);
  });
  renameSync(told("out") + ".part", told("out"));
}

main().catch((e) => {
  console.error(e.message);
  process.exitCode = 1;
});
