// What every walk here needs: the running demo, apps made by its API, a browser without a screen, an ear for
// logout tokens, and steps that are counted. Nothing here knows a relying party's library.

import { createServer, request } from "node:http";

export const issuer = process.env.VESTIBULE_PUBLIC_URL;
const key = process.env.PLATFORM_KEY;
const PASSWORD = "demo";

/** One step of a walk: told with what was seen, or the end. */
let count = 0;
export async function step(name, work) {
  try {
    const seen = await work();
    count += 1;
    console.log(`  ok    ${name}${seen ? `: ${seen}` : ""}`);
  } catch (error) {
    const cause = error.cause ? ` (${JSON.stringify(error.cause?.body ?? error.cause?.message ?? error.cause)})` : "";
    console.log(`  FAIL  ${name}: ${error.message}${cause}`);
    process.exit(1);
  }
}
export const steps = () => count;

export function must(holds, what) {
  if (!holds) throw new Error(what);
}

/** A call of the API with the platform's key. */
export async function api(method, path, body) {
  const sent = await fetch(`${issuer}/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const text = await sent.text();
  must(sent.ok, `${method} ${path}: ${sent.status} ${text}`);
  return text ? JSON.parse(text) : null;
}

/** A server of this run's own, at a free port; `answer(request, body)` gives status, headers and text. */
export async function serve(answer) {
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    const [status, text] = await answer(request, body);
    response.writeHead(status, { "content-type": "text/plain", "cache-control": "no-store" }).end(text);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  server.unref();
  return `http://localhost:${server.address().port}`;
}

/** Waits until `seen()` is something. */
export async function wait(what, seen) {
  for (let i = 0; i < 200; i += 1) {
    const found = await seen();
    if (found) return found;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`${what} never came`);
}

const entities = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#x27;": "'", "&#39;": "'" };
const plain = (text) => text.replace(/&(amp|lt|gt|quot|#x27|#39);/g, (e) => entities[e]);
const attribute = (tag, name) => {
  const found = new RegExp(`\\s${name}="([^"]*)"`, "i").exec(tag);
  return found ? plain(found[1]) : null;
};

/** Cookies by host and port, redirects by hand, forms filled in until a page asks for nothing. */
export class Browser {
  jar = new Map();

  cookies(url) {
    const host = new URL(url).host;
    if (!this.jar.has(host)) this.jar.set(host, new Map());
    return this.jar.get(host);
  }

  /** One request; no redirect is followed. */
  async ask(url, form) {
    const jar = this.cookies(url);
    const body = form && new URLSearchParams(form).toString();
    const headers = {
      accept: "text/html",
      "sec-fetch-mode": "navigate",
      "sec-fetch-dest": "document",
      ...(jar.size && { cookie: [...jar].map(([n, v]) => `${n}=${v}`).join("; ") }),
      ...(form && { "content-type": "application/x-www-form-urlencoded", "content-length": Buffer.byteLength(body) }),
    };
    // Not fetch: it calls itself a script, and a relying party sends a script nowhere to sign in.
    const sent = await new Promise((done, failed) => {
      const asking = request(url, { method: form ? "POST" : "GET", headers, agent: false }, done);
      asking.on("error", failed).end(body);
    });
    let text = "";
    for await (const part of sent.setEncoding("utf8")) text += part;
    for (const line of sent.headers["set-cookie"] ?? []) {
      const [pair, ...rest] = line.split(";");
      const at = pair.indexOf("=");
      const gone = rest.some((part) => /^\s*max-age=0/i.test(part) || /^\s*expires=\w+, 01[ -]Jan[ -]1970/i.test(part));
      if (gone) jar.delete(pair.slice(0, at));
      else jar.set(pair.slice(0, at), pair.slice(at + 1));
    }
    const to = sent.headers.location;
    return { url, status: sent.statusCode, to: to && new URL(to, url).href, text };
  }

  /** Goes on until a page asks for nothing, or leads to `until`: then what leads there comes back. */
  async walk(start, login, until) {
    let page = await this.ask(start);
    for (let i = 0; i < 30; i += 1) {
      if (page.to) {
        if (until && page.to.startsWith(until)) return page;
        page = await this.ask(page.to);
        continue;
      }
      const form = this.form(page);
      if (!form) return page;
      if (until && form.action.startsWith(until)) return { ...page, posts: form };
      for (const [name, kind] of form.asked) form.fields.set(name, kind === "password" ? PASSWORD : login);
      page = await this.ask(form.action, [...form.fields]);
    }
    throw new Error(`the pages go in circles at ${page.url}`);
  }

  /** The page's first form: where it goes, what it carries, and what it asks for. */
  form(page) {
    const found = /<form\b[^>]*>[\s\S]*?<\/form>/i.exec(page.text);
    if (page.status >= 400 || !found || /data-idle/.test(page.text)) return null;
    const [open] = /<form\b[^>]*>/i.exec(found[0]);
    const fields = new Map();
    const asked = [];
    for (const [tag] of found[0].matchAll(/<(input|button)\b[^>]*>/gi)) {
      const name = attribute(tag, "name");
      if (!name) continue;
      const kind = (attribute(tag, "type") ?? "text").toLowerCase();
      fields.set(name, attribute(tag, "value") ?? "");
      if (["text", "email", "password"].includes(kind) && !/^<button/i.test(tag)) asked.push([name, kind]);
    }
    return { action: new URL(attribute(open, "action") || page.url, page.url).href, fields, asked };
  }
}
