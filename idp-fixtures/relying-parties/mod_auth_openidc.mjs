// mod_auth_openidc (OpenID certified) in an Apache of its own against a running gateway. The module alone holds
// the tokens; what is seen of them is what its info hook tells.

import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { exportJWK } from "jose";
import { Browser, api, issuer, must, step, steps, wait } from "./house.mjs";

const APACHE = process.env.APACHE ?? "apache2";
const MODULES = process.env.APACHE_MODULES ?? "/usr/lib/apache2/modules";

const free = () =>
  new Promise((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });

const RUNS = [
  { method: "client_secret_basic", alg: "ES256", login: "ada@acme.example", mode: "query" },
  { method: "client_secret_post", alg: "RS256", login: "grace@globex.example", mode: "form_post" },
  // Debian's version names the token endpoint as the audience, which anybody could have asked for: refused by name.
  { method: "private_key_jwt", alg: "RS256", login: "ada@acme.example", mode: "query", refused: "oauth.assertion_audience" },
];

for (const { method, alg, login, mode, refused } of RUNS) {
  console.log(`mod_auth_openidc: ${method}, tokens by ${alg}, ${mode}`);
  const port = await free();
  const base = `http://localhost:${port}`;
  const folder = mkdtempSync(join(tmpdir(), "vestibule-apache-"));
  chmodSync(folder, 0o755);
  mkdirSync(join(folder, "htdocs/app"), { recursive: true });
  const echo = (name) => `${name}=<!--#echo encoding="none" var="${name}" -->\n`;
  const page = ["REMOTE_USER", "OIDC_CLAIM_sub", "OIDC_CLAIM_email", "OIDC_CLAIM_name", "OIDC_CLAIM_org_id", "OIDC_CLAIM_sid"].map(echo).join("");
  writeFileSync(join(folder, "htdocs/app/index.shtml"), page);
  writeFileSync(join(folder, "htdocs/left.html"), "left");
  let jwks, proof;
  if (method === "private_key_jwt") {
    const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: "apache", alg: "RS256", use: "sig" }] };
    writeFileSync(join(folder, "key.pem"), privateKey.export({ type: "pkcs8", format: "pem" }));
    writeFileSync(join(folder, "public.pem"), publicKey.export({ type: "spki", format: "pem" }));
    proof = `OIDCPublicKeyFiles apache#${folder}/public.pem\nOIDCPrivateKeyFiles apache#${folder}/key.pem`;
  }
  const app = await api("POST", "/apps", {
    name: `Apache ${method}`,
    redirect_uris: [`${base}/app/redirect`],
    post_logout_redirect_uris: [`${base}/left.html`],
    backchannel_logout_uri: `${base}/app/redirect?logout=backchannel`,
    orgs: "all",
    token_endpoint_auth_method: method,
    id_token_signed_response_alg: alg,
    ...(jwks && { jwks }),
  });
  const filled = {
    FOLDER: folder, PORT: port, MODULES, ISSUER: issuer, CLIENT_ID: app.client_id, ALG: alg, LOGIN_HINT: login,
    // The module knows private_key_jwt once it has been given a key.
    PROOF: `${proof ?? `OIDCClientSecret ${app.client_secret}`}\nOIDCProviderTokenEndpointAuth ${method}`,
    RESPONSE_MODE: mode, PASSPHRASE: randomBytes(24).toString("hex"),
  };
  const template = readFileSync(new URL("apache.conf", import.meta.url), "utf8");
  const conf = join(folder, "httpd.conf");
  writeFileSync(conf, template.replace(/@([A-Z_]+)@/g, (_, name) => filled[name]));
  const apache = (word) => execFileSync(APACHE, ["-f", conf, "-k", word], { stdio: "inherit" });
  const end = () => {
    try { apache("stop"); } catch { /* it never started */ }
    rmSync(folder, { recursive: true, force: true });
  };
  process.once("exit", (code) => {
    if (code !== 0) console.log(readFileSync(join(folder, "error.log"), "utf8").split("\n").slice(-40).join("\n"));
    end();
  });
  apache("start");
  await wait("Apache", () => fetch(`${base}/left.html`).then((sent) => sent.ok, () => false));

  const browser = new Browser();
  const said = (page, name) => new RegExp(`^${name}=(.*)$`, "m").exec(page.text)?.[1];
  const info = async () => {
    const page = await browser.ask(`${base}/app/redirect?info=json`);
    must(page.status === 200, `${page.status} ${page.text.slice(0, 300)}`);
    return JSON.parse(page.text);
  };
  if (refused) {
    await step(`refused: ${refused}`, async () => {
      const page = await browser.walk(`${base}/app/`, login);
      must(!said(page, "REMOTE_USER"), page.text);
      must(readFileSync(join(folder, "error.log"), "utf8").includes(refused), "another reason");
    });
    end();
    process.removeAllListeners("exit");
    continue;
  }
  let hook;
  await step("sign-in, and the claims it passes on", async () => {
    const page = await browser.walk(`${base}/app/`, login);
    must(page.status === 200 && said(page, "REMOTE_USER")?.startsWith(login), `${page.url} ${page.status} ${page.text.slice(0, 500)}`);
    return `${said(page, "OIDC_CLAIM_email")}, ${said(page, "OIDC_CLAIM_name")}`;
  });
  await step("userinfo", async () => {
    hook = await info();
    must(hook.userinfo.email === login && hook.userinfo.sub === hook.id_token.sub, JSON.stringify(hook));
  });
  await step("refresh", async () => {
    const before = hook;
    const back = encodeURIComponent(`${base}/left.html`);
    const page = await browser.ask(`${base}/app/redirect?refresh=${back}&access_token=${before.access_token}`);
    must(page.to === `${base}/left.html`, `${page.status} ${page.to} ${page.text}`);
    hook = await info();
    must(hook.access_token !== before.access_token, "the access token is the same");
    must(hook.refresh_token !== before.refresh_token, "the refresh token was not rotated");
  });
  await step("a logout token ends its session, and no other", async () => {
    const other = new Browser();
    await other.walk(`${base}/app/`, login);
    await api("DELETE", `/orgs/${hook.id_token.org_id ?? hook.userinfo.org_id}/sessions/${hook.id_token.sid}`);
    await wait("the end of the session", async () => {
      const page = await browser.ask(`${base}/app/`);
      return page.status === 302 && page.to.startsWith(`${issuer}/oauth2/authorize`);
    });
    must((await other.ask(`${base}/app/`)).status === 200, "another session ended too");
  });
  await step("RP-initiated logout, and the way back", async () => {
    const again = await browser.walk(`${base}/app/`, login);
    must(again.status === 200 && said(again, "REMOTE_USER"), `${again.status} ${again.text.slice(0, 300)}`);
    const { access_token: token } = await info();
    const page = await browser.walk(`${base}/app/redirect?logout=${encodeURIComponent(`${base}/left.html`)}`);
    must(page.url.startsWith(`${base}/left.html`), `${page.url} ${page.status} ${page.text.slice(0, 300)}`);
    const told = await fetch(`${issuer}/oauth2/userinfo`, { headers: { authorization: `Bearer ${token}` } });
    must(told.status === 401, `userinfo ${told.status}`);
    const next = await browser.ask(`${base}/app/`);
    must(next.status === 302, `${next.status}`);
  });
  end();
  process.removeAllListeners("exit");
}
console.log(`mod_auth_openidc: ${steps()} passed, 0 failed`);
