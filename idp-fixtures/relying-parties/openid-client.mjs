// openid-client (OpenID certified) against a running gateway: an app of each way to prove itself, each with
// tokens signed by another algorithm. What the library checks by itself (issuer, state, nonce, PKCE, at_hash,
// signature, RFC 9207's iss, max_age against auth_time) is checked by it here, not by us.

import { generateKeyPairSync } from "node:crypto";
import { createRemoteJWKSet, exportJWK, importPKCS8, jwtVerify } from "jose";
import * as client from "openid-client";
import { Browser, api, issuer, must, serve, step, steps, wait } from "./house.mjs";

const heard = [];
const ear = await serve((request, body) => {
  heard.push(new URLSearchParams(body).get("logout_token"));
  return [200, ""];
});
const callback = "http://localhost:9/callback";
const left = "http://localhost:9/left";

function keys(kind, options) {
  const { publicKey, privateKey } = generateKeyPairSync(kind, options);
  return { publicKey, pem: privateKey.export({ type: "pkcs8", format: "pem" }) };
}

/** How an app proves itself: what it is made with, and what the library is given. */
const WAYS = {
  client_secret_basic: async (app) => client.ClientSecretBasic(app.client_secret),
  client_secret_post: async (app) => client.ClientSecretPost(app.client_secret),
  none: async () => client.None(),
  private_key_jwt: async (_, own) => client.PrivateKeyJwt({ key: await importPKCS8(own.pem, own.alg), kid: "own" }),
};

const GRANTS = [
  { method: "client_secret_basic", alg: "ES256", login: "ada@acme.example" },
  { method: "client_secret_post", alg: "RS256", login: "grace@globex.example", formPost: true },
  { method: "private_key_jwt", alg: "EdDSA", login: "grace@globex.example", own: "ES256" },
  { method: "private_key_jwt", alg: "RS256", login: "ada@acme.example", own: "RS256" },
  { method: "private_key_jwt", alg: "ES256", login: "ada@acme.example", own: "EdDSA" },
  { method: "none", alg: "ES256", login: "ada@acme.example", formPost: true },
];

for (const grant of GRANTS) {
  const { method, alg, login, formPost } = grant;
  console.log(`openid-client: ${method}${grant.own ? ` by ${grant.own}` : ""}, tokens by ${alg}${formPost ? ", form_post" : ""}`);
  const own = grant.own && { alg: grant.own, ...keys(...{ ES256: ["ec", { namedCurve: "P-256" }], RS256: ["rsa", { modulusLength: 2048 }], EdDSA: ["ed25519"] }[grant.own]) };
  const app = await api("POST", "/apps", {
    name: `${method} ${alg}`,
    redirect_uris: [callback],
    post_logout_redirect_uris: [left],
    backchannel_logout_uri: `${ear}/backchannel`,
    orgs: "all",
    token_endpoint_auth_method: method,
    id_token_signed_response_alg: alg,
    ...(own && { jwks: { keys: [{ ...(await exportJWK(own.publicKey)), kid: "own", alg: own.alg, use: "sig" }] } }),
  });
  const browser = new Browser();
  const jwks = createRemoteJWKSet(new URL(`${issuer}/oauth2/jwks`));
  let config, tokens, walked;

  await step("discovery", async () => {
    const metadata = { id_token_signed_response_alg: alg };
    const proof = await WAYS[method](app, own);
    config = await client.discovery(new URL(issuer), app.client_id, metadata, proof, { execute: [client.allowInsecureRequests] });
    if (formPost === undefined) client.enableNonRepudiationChecks(config);
    return config.serverMetadata().issuer;
  });

  /** One authorization: out with PKCE, state and nonce, and back with what the library makes of the answer. */
  async function authorize(more = {}, checks = {}) {
    const verifier = client.randomPKCECodeVerifier();
    const [state, nonce] = [client.randomState(), client.randomNonce()];
    const url = client.buildAuthorizationUrl(config, {
      redirect_uri: callback,
      scope: "openid profile email offline_access",
      code_challenge: await client.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
      login_hint: login,
      state,
      nonce,
      ...(formPost && { response_mode: "form_post" }),
      ...more,
    });
    walked = await browser.walk(url.href, login, callback);
    must(walked.to || walked.posts, `no way back to the app: ${walked.status} ${walked.text.slice(0, 300)}`);
    const answer = walked.posts
      ? new Request(callback, { method: "POST", body: new URLSearchParams([...walked.posts.fields]) })
      : new URL(walked.to);
    return client.authorizationCodeGrant(config, answer, {
      pkceCodeVerifier: verifier,
      expectedState: state,
      expectedNonce: nonce,
      idTokenExpected: true,
      ...checks,
    });
  }

  await step("code, PKCE, state, nonce, iss, ID token", async () => {
    tokens = await authorize();
    must(Boolean(walked.posts) === Boolean(formPost), "the answer came by another mode");
    const { protectedHeader } = await jwtVerify(tokens.access_token, jwks, { issuer, typ: "at+jwt" });
    must(protectedHeader.alg === alg, `access token by ${protectedHeader.alg}`);
    const claims = tokens.claims();
    return `sub ${claims.sub.slice(0, 4)}…, email ${claims.email}, expires in ${tokens.expiresIn()} s`;
  });
  await step("userinfo", async () => {
    const said = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub);
    must(said.email === login, JSON.stringify(said));
    return said.name;
  });
  await step("refresh, and the first token is spent", async () => {
    const first = tokens.refresh_token;
    const next = await client.refreshTokenGrant(config, first);
    must(next.refresh_token && next.refresh_token !== first, "the token was not rotated");
    tokens = { ...next, claims: () => next.claims() ?? tokens.claims(), id_token: next.id_token ?? tokens.id_token };
  });
  if (method !== "none") {
    await step("introspection", async () => {
      const said = await client.tokenIntrospection(config, tokens.access_token);
      must(said.active && said.client_id === app.client_id, JSON.stringify(said));
    });
  }
  await step("prompt=none with id_token_hint and max_age", async () => {
    const again = await authorize({ prompt: "none", max_age: "600", id_token_hint: tokens.id_token }, { maxAge: 600 });
    must(again.claims().sub === tokens.claims().sub, "another person");
  });
  await step("prompt=login asks again", async () => {
    const before = tokens.claims().auth_time;
    await new Promise((done) => setTimeout(done, 1100));
    const again = await authorize({ prompt: "login" }, { maxAge: 60 });
    must(again.claims().auth_time > before, `auth_time ${again.claims().auth_time}, before ${before}`);
    tokens = again;
  });
  await step("RP-initiated logout", async () => {
    const url = client.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: left, state: "s 1" });
    const page = await browser.walk(url.href, login, left);
    must(page.to && new URL(page.to).searchParams.get("state") === "s 1", `${page.status} ${page.to}`);
  });
  await step("back-channel logout token", async () => {
    const { sid, sub } = tokens.claims();
    const given = await wait("the logout token", async () => {
      for (const jwt of heard) {
        const said = await jwtVerify(jwt, jwks, { issuer, audience: app.client_id, typ: "logout+jwt" }).catch(() => null);
        if (said && said.payload.sid === sid) return said;
      }
      return null;
    });
    must(given.payload.sub === sub && given.payload.nonce === undefined, JSON.stringify(given.payload));
    must(given.protectedHeader.alg === alg, `logout token by ${given.protectedHeader.alg}`);
    must(given.payload.events["http://schemas.openid.net/event/backchannel-logout"], "no event");
  });
  await step("after it: prompt=none, refresh and access token are refused", async () => {
    const silent = await authorize({ prompt: "none" }).then(() => "granted", (error) => error.error);
    must(silent === "login_required", silent);
    const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token).then(() => "granted", (error) => error.error);
    must(refreshed === "invalid_grant", refreshed);
    const told = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub).then(() => "told", (error) => error.status ?? error.code);
    must(told !== "told", "userinfo still tells");
  });
}

console.log("openid-client: client_credentials");
await step("a service account's token", async () => {
  const audience = "https://reports.example/api";
  await api("POST", "/apps", { name: "Reports", redirect_uris: [callback], orgs: "all", audience });
  const made = await api("POST", "/orgs/acme/service-accounts", { name: "nightly", roles: [] });
  const config = await client.discovery(new URL(issuer), made.client_id, {}, client.ClientSecretBasic(made.client_secret), { execute: [client.allowInsecureRequests] });
  const given = await client.clientCredentialsGrant(config, { resource: audience });
  const jwks = createRemoteJWKSet(new URL(`${issuer}/oauth2/jwks`));
  const { payload } = await jwtVerify(given.access_token, jwks, { issuer, audience, typ: "at+jwt" });
  return `sub ${payload.sub.slice(0, 4)}…, ${given.expiresIn()} s`;
});
console.log(`openid-client: ${steps()} passed, 0 failed`);
